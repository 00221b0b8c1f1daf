package sctpmh

import (
	"net"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

// candidates pairs local with remote addresses in the order in which a dial
// tries them: each remote address first with the source that the kernel would
// take for it, and only then with the others, so that consecutive attempts
// differ in both ends.
func candidates(locals, remotes []netip.AddrPort, source func(netip.AddrPort) netip.Addr) []engine.Pair {
	var pairs []engine.Pair
	rows := make([][]netip.AddrPort, len(remotes))
	longest := 0
	for i, r := range remotes {
		rows[i] = sources(locals, r, source(r))
		longest = max(longest, len(rows[i]))
	}
	for k := range longest {
		for i, r := range remotes {
			if k < len(rows[i]) {
				pairs = append(pairs, engine.Pair{Local: rows[i][k], Remote: r})
			}
		}
	}
	return pairs
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
		return rank(a.Addr() == preferred) - rank(b.Addr() == preferred)
	})
	return fit
}

func rank(first bool) int {
	if first {
		return 0
	}
	return 1
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
