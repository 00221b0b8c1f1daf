// Package testnet makes small internets of network namespaces: hosts joined by
// providers, each provider a router of its own. It needs Linux and nothing
// else, no privileges beyond those of a user namespace, and no tools: links,
// addresses and routes are made over netlink.
//
// A provider forwards with the kernel's own router. To cut a direction it gets
// a blackhole route for the hosts in that direction: packets vanish without a
// sign, and the carrier stays up, which is the hard case. TUN devices, which
// could add delay and loss, are not for ordinary users on most machines, and
// the demo has to run for everybody.
package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Net is a set of hosts and providers. Close removes all of it.
type Net struct {
	hosts []*Host
}

// A Host is a network namespace.
type Host struct {
	Name  string
	ns    netns.NsHandle
	nl    *netlink.Handle
	links []*Link
}

// A Link is a host's connection to a provider.
type Link struct {
	Device string
	Addrs  []netip.Addr // IPv4, then IPv6
	isp    *ISP
	far    netlink.Link // the provider's end
}

// An ISP is a provider: a router with subnets of its own.
type ISP struct {
	host  *Host
	index int
	rate  uint64 // octets a second each way, 0: any
	links []*Link
	ends  []*Host // whose links they are
}

// New returns an empty network.
func New() *Net { return &Net{} }

// Close removes every namespace. What still runs inside keeps its own until it
// ends.
func (n *Net) Close() {
	for _, h := range n.hosts {
		h.nl.Close()
		h.ns.Close()
	}
	n.hosts = nil
}

// Host adds a host.
func (n *Net) Host(name string) (*Host, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("network namespace for %s: %w", name, err)
	}
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("netlink in %s: %w", name, err)
	}
	h := &Host{Name: name, ns: ns, nl: nl}
	n.hosts = append(n.hosts, h)
	// Duplicate address detection would hold addresses back for a second.
	err = h.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/accept_dad", []byte("0"), 0),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: IPv6: %w", name, err)
	}
	lo, err := nl.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("%s: lo: %w", name, err)
	}
	return h, nl.LinkSetUp(lo)
}

// newNamespace makes a network namespace that lives as long as its handle.
func newNamespace() (ns netns.NsHandle, err error) {
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns, err = netns.Get()
		return err
	})
	return ns, err
}

// onThread runs f on a thread of its own, which ends with it: it may change
// the thread's namespace.
func onThread(f func() error) error {
	done := make(chan error)
	go func() { // ends with f
		runtime.LockOSThread() // never unlocked, so the thread goes too
		done <- f()
	}()
	return <-done
}

// Do runs f inside the host. Sockets that it opens and commands that it starts
// belong to the host; goroutines that it starts do not.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter %s: %w", h.Name, err)
		}
		return f()
	})
}

// Start starts a command inside the host.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

// Listen opens a TCP listener inside the host.
func (h *Host) Listen(addr string) (l net.Listener, err error) {
	err = h.Do(func() error { l, err = net.Listen("tcp", addr); return err })
	return l, err
}

// ListenPacket opens a UDP socket inside the host.
func (h *Host) ListenPacket(addr string) (c net.PacketConn, err error) {
	err = h.Do(func() error { c, err = net.ListenPacket("udp", addr); return err })
	return c, err
}

// Dial connects from inside the host.
func (h *Host) Dial(network, addr string) (c net.Conn, err error) {
	err = h.Do(func() error { c, err = net.Dial(network, addr); return err })
	return c, err
}

// Addrs returns the host's addresses, link by link.
func (h *Host) Addrs() (out []netip.Addr) {
	for _, l := range h.links {
		out = append(out, l.Addrs...)
	}
	return out
}

// ISP adds a provider. Its subnets are 10.INDEX.n.0/24 and fd00:INDEX:n::/64.
// rate limits each link towards its host, in octets a second; 0 does not.
func (n *Net) ISP(name string, index int, rate uint64) (*ISP, error) {
	h, err := n.Host(name)
	if err != nil {
		return nil, err
	}
	err = h.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: forwarding: %w", name, err)
	}
	return &ISP{host: h, index: index, rate: rate}, nil
}

// Attach joins a host to the provider. The host gets addresses of the
// provider and routes to everything behind it.
func (p *ISP) Attach(h *Host) (*Link, error) {
	sub := len(p.links) + 1
	device := fmt.Sprintf("isp%d", p.index)
	far := fmt.Sprintf("host%d", sub)
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: device, Namespace: netlink.NsFd(int(h.ns)), TxQLen: 1000},
		PeerName:  far, PeerNamespace: netlink.NsFd(int(p.host.ns)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, fmt.Errorf("link %s to %s: %w", h.Name, p.host.Name, err)
	}
	near, err := h.nl.LinkByName(device)
	if err != nil {
		return nil, err
	}
	farLink, err := p.host.nl.LinkByName(far)
	if err != nil {
		return nil, err
	}
	l := &Link{Device: device, isp: p, far: farLink}
	router := []string{fmt.Sprintf("10.%d.%d.1/24", p.index, sub), fmt.Sprintf("fd00:%d:%d::1/64", p.index, sub)}
	own := []string{fmt.Sprintf("10.%d.%d.2/24", p.index, sub), fmt.Sprintf("fd00:%d:%d::2/64", p.index, sub)}
	if err := errors.Join(p.host.address(farLink, router), h.address(near, own)); err != nil {
		return nil, err
	}
	for i, a := range own {
		l.Addrs = append(l.Addrs, netip.MustParsePrefix(a).Addr())
		if err := h.defaultRoute(near, netip.MustParsePrefix(router[i]).Addr(), p.index); err != nil {
			return nil, err
		}
	}
	if p.rate > 0 {
		if err := p.host.limit(farLink, p.rate); err != nil {
			return nil, err
		}
	}
	h.links = append(h.links, l)
	p.links = append(p.links, l)
	p.ends = append(p.ends, h)
	return l, nil
}

// address gives a link its addresses and brings it up.
func (h *Host) address(l netlink.Link, prefixes []string) error {
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := h.nl.AddrAdd(l, a); err != nil {
			return fmt.Errorf("%s: address %s: %w", h.Name, p, err)
		}
	}
	if err := h.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("%s: %s up: %w", h.Name, l.Attrs().Name, err)
	}
	return nil
}

// defaultRoute adds a default route over a link; the metric keeps those of
// several providers apart, and each provider's own subnets take their link
// anyway.
func (h *Host) defaultRoute(l netlink.Link, via netip.Addr, index int) error {
	everything := &net.IPNet{IP: make(net.IP, via.BitLen()/8), Mask: net.CIDRMask(0, via.BitLen())}
	routes := []*net.IPNet{everything, providerNet(via, index)}
	for _, dst := range routes {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst, Gw: via.AsSlice(), Priority: 100 + index}
		if err := h.nl.RouteAdd(r); err != nil {
			return fmt.Errorf("%s: route to %v: %w", h.Name, dst, err)
		}
	}
	return nil
}

// providerNet is all of a provider's addresses.
func providerNet(like netip.Addr, index int) *net.IPNet {
	s := fmt.Sprintf("10.%d.0.0/16", index)
	if like.Is6() {
		s = fmt.Sprintf("fd00:%d::/32", index)
	}
	_, n, _ := net.ParseCIDR(s) // it is a prefix
	return n
}

// limit shapes what leaves over a link to rate octets a second, with a queue
// of 50 ms, as an access line has.
func (h *Host) limit(l netlink.Link, rate uint64) error {
	burst := uint32(max(rate/100, 10_000))
	q := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate,
		Buffer:     tbfBuffer(rate, burst),
		Limit:      uint32(rate/20) + burst,
	}
	if err := h.nl.QdiscReplace(q); err != nil {
		return fmt.Errorf("%s: rate limit: %w", h.Name, err)
	}
	return nil
}

// tbfBuffer is a burst in the kernel's unit: the time that it takes at the
// rate, in ticks of 64 ns.
func tbfBuffer(rate uint64, burst uint32) uint32 {
	return uint32(float64(burst) / float64(rate) * 1e9 / 64)
}

// Cut has the provider lose every packet to the given hosts, all of them when
// none is given.
func (p *ISP) Cut(to ...*Host) error { return p.blackhole(to, p.host.nl.RouteAdd) }

// Restore ends a Cut.
func (p *ISP) Restore(to ...*Host) error { return p.blackhole(to, p.host.nl.RouteDel) }

func (p *ISP) blackhole(to []*Host, do func(*netlink.Route) error) error {
	for i, l := range p.links {
		if len(to) > 0 && !contains(to, p.ends[i]) {
			continue
		}
		for _, a := range l.Addrs {
			dst := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
			r := &netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE, Priority: 1}
			if err := do(r); err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("%s: blackhole for %v: %w", p.host.Name, a, err)
			}
		}
	}
	return nil
}

func contains(hosts []*Host, h *Host) bool {
	for _, x := range hosts {
		if x == h {
			return true
		}
	}
	return false
}

// Carrier takes a host's link to the provider down, or up again, at the
// provider's end: the host sees its carrier go.
func (p *ISP) Carrier(h *Host, up bool) error {
	for i, l := range p.links {
		if p.ends[i] != h {
			continue
		}
		if up {
			return p.host.nl.LinkSetUp(l.far)
		}
		return p.host.nl.LinkSetDown(l.far)
	}
	return fmt.Errorf("%s has no link to %s", h.Name, p.host.Name)
}

// Octets returns how many octets the provider has passed to a host.
func (p *ISP) Octets(h *Host) (uint64, error) {
	for i, l := range p.links {
		if p.ends[i] != h {
			continue
		}
		far, err := p.host.nl.LinkByIndex(l.far.Attrs().Index)
		if err != nil {
			return 0, err
		}
		return far.Attrs().Statistics.TxBytes, nil
	}
	return 0, fmt.Errorf("%s has no link to %s", h.Name, p.host.Name)
}
