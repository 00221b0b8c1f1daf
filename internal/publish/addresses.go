package publish

import (
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh"
)

// Addresses are those of this host that could be published, and those that are
// left out.
type Addresses struct {
	Addrs []netip.Addr
	Left  []Left
}

// Left is an address that is not published.
type Left struct {
	Addr netip.Addr
	Why  string
}

// OfHost picks from the addresses by which this host leads out.
func OfHost(named []netip.Addr, reject func(netip.Addr) string) (Addresses, error) {
	uplinks, err := sctpmh.Uplinks()
	if err != nil {
		return Addresses{}, err
	}
	var candidates []netip.Addr
	for _, u := range uplinks {
		candidates = append(candidates, u.Addr)
	}
	passing, err := passing()
	if err != nil {
		return Addresses{}, err
	}
	return Choose(candidates, named, passing, reject), nil
}

// maxAddrs is how many addresses of a host peers use: a set of more is cut by
// them in an order of their own.
const maxAddrs = 8

// Choose picks what to publish. candidates are the addresses that lead out; of
// a host that has named its own only those count. passing are addresses that
// the host will not have for long; reject says which addresses peers would not
// take, and is empty for the others.
func Choose(candidates, named, passing []netip.Addr, reject func(netip.Addr) string) (c Addresses) {
	leave := func(a netip.Addr, why string) { c.Left = append(c.Left, Left{a, why}) }
	candidates = sorted(candidates)
	for _, a := range sorted(named) {
		if !slices.Contains(candidates, a) {
			leave(a, "named in transport.local, but it does not lead out now")
		}
	}
	for _, a := range candidates {
		switch why := reject(a); {
		case len(named) > 0 && !slices.Contains(named, a):
			leave(a, "not among those of transport.local")
		case slices.Contains(passing, a):
			leave(a, "temporary or deprecated (RFC 8981, RFC 4862): it will be gone soon")
		case why != "":
			leave(a, why)
		case len(c.Addrs) == maxAddrs:
			leave(a, "one too many: peers use eight")
		default:
			c.Addrs = append(c.Addrs, a)
		}
	}
	return c
}

// sorted returns the different addresses in order.
func sorted(addrs []netip.Addr) []netip.Addr {
	return slices.Compact(slices.SortedFunc(slices.Values(addrs), netip.Addr.Compare))
}
