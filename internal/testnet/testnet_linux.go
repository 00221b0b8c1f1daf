// Package testnet makes small internets of network namespaces: hosts joined by
// providers, each provider a router of its own. It needs Linux and nothing
// else, no privileges beyond those of a user namespace, and no tools: links,
// addresses and routes are made over netlink.
//
// A provider forwards with the kernel's own router. To cut a direction it gets
// a blackhole route for the hosts in that direction: packets vanish without a
// sign, and the carrier stays up, which is the hard case. Delay, jitter and
// loss come from lines through which packets are pumped with packet sockets
// (see Line): those are free in any user namespace, TUN devices and netem are
// not there for everybody.
//
// Nothing outlives Close, and nothing outlives the process: the namespaces are
// held by descriptors, and commands inside are killed with their parent.
package testnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Net is a set of hosts and providers. Close removes all of it.
type Net struct {
	hosts  []*Host
	cables int
	closed chan struct{}  // closed by Close
	wg     sync.WaitGroup // what has to end before Close returns
}

// A Host is a network namespace.
type Host struct {
	Name  string
	net   *Net
	ns    netns.NsHandle
	nl    *netlink.Handle
	links []*Link
}

// A Link is a host's connection to a provider.
type Link struct {
	Device string
	Addrs  []netip.Addr // IPv4, then IPv6

	host   *Host        // whose link it is
	near   netlink.Link // the host's end
	far    netlink.Link // the provider's end
	edge   end          // what the host's end is plugged into: far, or a line's end
	prefix [2]string    // the host's addresses
	router [2]string    // the provider's
}

// An end is a device in a namespace.
type end struct {
	host *Host
	link netlink.Link
}

// An ISP is a provider: a router with subnets of its own.
type ISP struct {
	host  *Host
	index int
	rate  uint64 // octets a second each way, 0: any
	line  Line
	lines *Host // where packets of lines are pumped; nil without
	links []*Link
}

// New returns an empty network.
func New() *Net { return &Net{closed: make(chan struct{})} }

// Close kills what still runs inside and removes every namespace.
func (n *Net) Close() {
	select {
	case <-n.closed:
		return
	default:
	}
	close(n.closed)
	n.wg.Wait()
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
	h := &Host{Name: name, net: n, ns: ns, nl: nl}
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
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: %w", ErrForbidden, err)
	}
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
		if err := h.enter(); err != nil {
			return err
		}
		return f()
	})
}

// enter moves the current thread into the host.
func (h *Host) enter() error {
	if err := netns.Set(h.ns); err != nil {
		return fmt.Errorf("enter %s: %w", h.Name, err)
	}
	return nil
}

// Start starts a command inside the host. It is killed when the network is
// closed or this process ends, however that happens.
func (h *Host) Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	// The kernel sends it when the thread that started the command ends.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	h.net.wg.Go(func() { // ends with the network
		runtime.LockOSThread() // never unlocked, so the thread goes too
		err := h.enter()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			<-h.net.closed
		}
	})
	return <-started
}

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
	l := &Link{
		Device: fmt.Sprintf("isp%d", p.index), host: h,
		prefix: [2]string{fmt.Sprintf("10.%d.%d.2/24", p.index, sub), fmt.Sprintf("fd00:%d:%d::2/64", p.index, sub)},
		router: [2]string{fmt.Sprintf("10.%d.%d.1/24", p.index, sub), fmt.Sprintf("fd00:%d:%d::1/64", p.index, sub)},
	}
	for _, a := range l.prefix {
		l.Addrs = append(l.Addrs, netip.MustParsePrefix(a).Addr())
	}
	if err := p.wire(l, fmt.Sprintf("host%d", sub)); err != nil {
		return nil, err
	}
	if err := p.host.address(l.far, l.router); err != nil {
		return nil, err
	}
	if err := p.plugIn(l); err != nil {
		return nil, err
	}
	if p.rate > 0 {
		if err := p.host.limit(l.far, p.rate); err != nil {
			return nil, err
		}
	}
	h.links = append(h.links, l)
	p.links = append(p.links, l)
	return l, nil
}

// wire joins the link's two ends, directly or by a line.
func (p *ISP) wire(l *Link, far string) (err error) {
	if p.lines == nil {
		l.near, l.far, err = p.host.net.cable(l.host, l.Device, p.host, far)
		l.edge = end{p.host, l.far}
		return err
	}
	var a, b netlink.Link
	if l.near, a, err = p.host.net.cable(l.host, l.Device, p.lines, far+"-near"); err != nil {
		return err
	}
	if b, l.far, err = p.host.net.cable(p.lines, far+"-far", p.host, far); err != nil {
		return err
	}
	l.edge = end{p.lines, a}
	// A burst that the kernel leaves in one piece would be lost as one.
	if err := errors.Join(l.host.nl.LinkSetGSOMaxSegs(l.near, 1), p.host.nl.LinkSetGSOMaxSegs(l.far, 1)); err != nil {
		return fmt.Errorf("%s: segments: %w", p.host.Name, err)
	}
	return p.pump(a, b)
}

// cable makes a pair of devices that are joined. The kernel counts devices
// anew in each namespace, and where both ends have the same number it takes up
// to a second to notice a carrier: numbers from 1000 are this network's own.
func (n *Net) cable(a *Host, aName string, b *Host, bName string) (la, lb netlink.Link, err error) {
	n.cables++
	veth := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: aName, Index: 1000 + n.cables, Namespace: netlink.NsFd(int(a.ns)), TxQLen: 1000},
		PeerName:  bName, PeerNamespace: netlink.NsFd(int(b.ns)),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("link %s to %s: %w", a.Name, b.Name, err)
	}
	if la, err = a.nl.LinkByName(aName); err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", a.Name, aName, err)
	}
	if lb, err = b.nl.LinkByName(bName); err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %w", b.Name, bName, err)
	}
	return la, lb, nil
}

// plugIn brings the host's end up, with its addresses and routes.
func (p *ISP) plugIn(l *Link) error {
	if err := l.host.address(l.near, l.prefix); err != nil {
		return err
	}
	for _, r := range l.router {
		if err := l.host.defaultRoute(l.near, netip.MustParsePrefix(r).Addr(), p.index); err != nil {
			return err
		}
	}
	return nil
}

// address gives a link its addresses and brings it up.
func (h *Host) address(l netlink.Link, prefixes [2]string) error {
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := h.nl.AddrReplace(l, a); err != nil {
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
		if err := h.nl.RouteReplace(r); err != nil {
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
	for _, l := range p.links {
		if len(to) > 0 && !slices.Contains(to, l.host) {
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

// linkTo returns the link to a host.
func (p *ISP) linkTo(h *Host) (*Link, error) {
	for _, l := range p.links {
		if l.host == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s has no link to %s", h.Name, p.host.Name)
}

// Carrier takes a host's link to the provider down, or up again, at the
// provider's end: the host sees its carrier go.
func (p *ISP) Carrier(h *Host, up bool) error {
	l, err := p.linkTo(h)
	if err != nil {
		return err
	}
	if up { // the router has lost its IPv6 address if that is its own device
		return errors.Join(l.edge.host.nl.LinkSetUp(l.edge.link), p.host.address(l.far, l.router))
	}
	return l.edge.host.nl.LinkSetDown(l.edge.link)
}

// Device switches a host's own device for the provider off, or on again, as a
// user does with Wi-Fi: the kernel forgets its routes and IPv6 addresses while
// it is off.
func (p *ISP) Device(h *Host, on bool) error {
	l, err := p.linkTo(h)
	if err != nil {
		return err
	}
	if on {
		return p.plugIn(l)
	}
	return h.nl.LinkSetDown(l.near)
}

// Unaddress takes a host's addresses of the provider away, as a lease that ends
// does. Its device stays on.
func (p *ISP) Unaddress(h *Host) error {
	l, err := p.linkTo(h)
	if err != nil {
		return err
	}
	addrs, err := h.nl.AddrList(l.near, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := h.nl.AddrDel(l.near, &a); err != nil {
			return fmt.Errorf("%s: address %v: %w", h.Name, a, err)
		}
	}
	return nil
}

// Unroute takes a host's routes by the provider's router away.
func (p *ISP) Unroute(h *Host) error {
	l, err := p.linkTo(h)
	if err != nil {
		return err
	}
	routes, err := h.nl.RouteList(l.near, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Gw == nil {
			continue
		}
		if err := h.nl.RouteDel(&r); err != nil {
			return fmt.Errorf("%s: route %v: %w", h.Name, r, err)
		}
	}
	return nil
}

// Octets returns how many octets the provider has passed to a host.
func (p *ISP) Octets(h *Host) (uint64, error) {
	l, err := p.linkTo(h)
	if err != nil {
		return 0, err
	}
	far, err := p.host.nl.LinkByIndex(l.far.Attrs().Index)
	if err != nil {
		return 0, err
	}
	return far.Attrs().Statistics.TxBytes, nil
}
