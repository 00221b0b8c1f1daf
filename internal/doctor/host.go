package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/config"
)

// A host is what the kernel says of this machine, read once.
type host struct {
	links    []*link
	locals   []*local
	explicit bool  // the locals were named by the user
	unbound  error // why sockets cannot be bound to devices; nil: they can
}

// A link is a network interface.
type link struct {
	name                  string
	index, mtu            int
	up, carrier, loopback bool
	hardware              bool // a device, neither virtual nor part of a bridge or bond
	asks                  bool // neighbours are asked for their hardware address (ARP)
	virtual               bool // holds addresses that are reached over other links
	addrs                 []netip.Prefix
}

// A local is an address that paths leave from.
type local struct {
	addr   netip.Addr
	subnet netip.Prefix
	link   *link // nil: no link has the address
	own    exit  // of the packets of a socket that is bound to the link
	plain  exit  // of the packets of any other socket
}

// leads reports whether packets for far hosts leave from the address.
func (l *local) leads() bool {
	return l.link != nil && l.link.up && l.link.carrier && l.own.err == nil
}

// survey reads links and routes. The locals are those that a daemon takes: the
// given ones, or every global address of every link that is up.
func survey(given []config.Address) (*host, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w: let this process use AF_NETLINK sockets", err)
	}
	defer nl.Close()
	h := &host{explicit: len(given) > 0}
	if h.links, err = readLinks(nl); err != nil {
		return nil, err
	}
	if h.explicit {
		for _, a := range given {
			h.locals = append(h.locals, h.find(a.Addr))
		}
	} else {
		h.takeAll()
	}
	for _, l := range h.locals {
		if l.link != nil {
			h.findExits(nl, l)
		}
	}
	return h, nil
}

func readLinks(nl *netlink.Handle) (out []*link, err error) {
	all, err := nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("read links: %w: try again", err)
	}
	for _, x := range all {
		a := x.Attrs()
		l := &link{
			name: a.Name, index: a.Index, mtu: a.MTU,
			up:       a.RawFlags&unix.IFF_UP != 0,
			carrier:  a.RawFlags&unix.IFF_LOWER_UP != 0,
			loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
			asks:     a.RawFlags&(unix.IFF_NOARP|unix.IFF_POINTOPOINT) == 0,
			hardware: x.Type() == "device" && a.MasterIndex == 0,
		}
		l.virtual = l.loopback || x.Type() == "dummy"
		addrs, err := nl.AddrList(x, netlink.FAMILY_ALL)
		if err != nil {
			return nil, fmt.Errorf("read the addresses of %s: %w: try again", l.name, err)
		}
		for _, a := range addrs {
			if p, ok := prefix(a); ok {
				l.addrs = append(l.addrs, p)
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// prefix returns an address with the length of its subnet.
func prefix(a netlink.Addr) (netip.Prefix, bool) {
	ip, ok := netip.AddrFromSlice(a.IP)
	bits, _ := a.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}

// find returns the local for an address that the user named.
func (h *host) find(a netip.Addr) *local {
	a = a.WithZone("")
	for _, l := range h.links {
		for _, p := range l.addrs {
			// On loopback an IPv4 address stands for its whole subnet.
			if p.Addr() == a || l.loopback && a.Is4() && p.Contains(a) {
				return &local{addr: a, subnet: p, link: l}
			}
		}
	}
	return &local{addr: a}
}

func (h *host) takeAll() {
	for _, l := range h.links {
		for _, p := range l.addrs {
			same := func(x *local) bool { return x.addr == p.Addr() }
			if l.up && !l.loopback && p.Addr().IsGlobalUnicast() && !slices.ContainsFunc(h.locals, same) {
				h.locals = append(h.locals, &local{addr: p.Addr(), subnet: p, link: l})
			}
		}
	}
}

// on returns the locals of a link that fit.
func (h *host) on(l *link, fit func(*local) bool) (out []*local) {
	for _, x := range h.locals {
		if x.link == l && fit(x) {
			out = append(out, x)
		}
	}
	return out
}

// leading returns the links by which locals lead out.
func (h *host) leading() (out []*link) {
	for _, l := range h.links {
		by := func(x *local) bool { return x.leads() && x.own.device == l.name }
		if slices.ContainsFunc(h.locals, by) {
			out = append(out, l)
		}
	}
	return out
}

// list joins what items are called.
func list[T any](items []T, name func(T) string) string {
	var names []string
	for _, x := range items {
		names = append(names, name(x))
	}
	return strings.Join(names, ", ")
}

func (l *local) String() string { return l.addr.String() }
