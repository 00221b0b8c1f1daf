package sctpmh

import (
	"net"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

// candidates pairs local with remote addresses in the order in which a dial
// tries them: next comes whichever has least in common with those before it, so
// that what keeps one from working, a dead uplink, a dead address or a family
// that nobody routes, rarely keeps the next. Among equals the source that the
// kernel would take goes first, then the order of the remote addresses decides.
func candidates(locals, remotes []netip.AddrPort, source func(netip.AddrPort) netip.Addr) []engine.Pair {
	type choice struct {
		engine.Pair
		common int  // with those in order
		other  bool // than the kernel would take
	}
	var rest []choice
	for _, r := range remotes {
		for k, l := range sources(locals, r, source(r)) {
			rest = append(rest, choice{Pair: engine.Pair{Local: l, Remote: r}, other: k > 0})
		}
	}
	var order []engine.Pair
	for len(rest) > 0 {
		best := 0
		for i, c := range rest {
			if b := rest[best]; c.common < b.common || c.common == b.common && b.other && !c.other {
				best = i
			}
		}
		p := rest[best].Pair
		order = append(order, p)
		rest = slices.Delete(rest, best, best+1)
		for i := range rest {
			rest[i].common += common(rest[i].Pair, p)
		}
	}
	return order
}

// common counts what two pairs have in common that can fail.
func common(p, q engine.Pair) int {
	return rank(p.Local == q.Local) + rank(p.Remote == q.Remote) + rank(p.Local.Addr().Is4() == q.Local.Addr().Is4())
}

// sources returns the local addresses that can reach r, the preferred first.
func sources(locals []netip.AddrPort, r netip.AddrPort, preferred netip.Addr) []netip.AddrPort {
	var fit []netip.AddrPort
	for _, l := range locals {
		if l.Addr().Is4() == r.Addr().Is4() && l.Addr().IsLoopback() == r.Addr().IsLoopback() {
			fit = append(fit, l)
		}
	}
	slices.SortStableFunc(fit, func(a, b netip.AddrPort) int {
		return rank(b.Addr() == preferred) - rank(a.Addr() == preferred)
	})
	return fit
}

func rank(is bool) int {
	if is {
		return 1
	}
	return 0
}

// kernelSource returns the source address that the kernel's routes give for a
// destination, none when it has no route. Nothing is sent.
func kernelSource(r netip.AddrPort) netip.Addr {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r))
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
