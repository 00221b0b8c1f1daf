package noid

import (
	"net/netip"
	"slices"
)

// A PeerView is what the peer says of itself on an association.
type PeerView struct {
	Listed []netip.Addr // addresses that it named
	Silent bool         // it named none
	Sealed bool         // the association is sealed: nobody else can have named them
}

// Permit returns V, the addresses of a peer that may be probed: h, which
// completed the handshake, and
//
//	no binding, or h is not one of the set's       nothing else
//	sealed                                         what the peer listed, filtered
//	the peer listed addresses                      those that the set has too
//	it listed none, the name is one host's         the set
//	it listed none, the name may be several hosts' nothing else
//
// What the trust mode does not let pass counts as no binding. Membership
// permits a probe, nothing more.
func (s *Set) Permit(h netip.Addr, peer PeerView) []Locator {
	h = h.Unmap()
	v := []Locator{{Addr: h, From: FromObserved}}
	add := func(l Locator) {
		if len(v) < maxLocators && !slices.ContainsFunc(v, func(x Locator) bool { return x.Addr == l.Addr }) {
			v = append(v, l)
		}
	}
	switch {
	case s.trust == Single:
	case peer.Sealed:
		for _, a := range peer.Listed {
			if a = a.Unmap(); s.filters == nil || s.filters.reject(s.Name, a) == "" {
				add(Locator{Addr: a, From: FromPeer})
			}
		}
	case !s.trust.enough(s.Binding, s.Channel) || !s.Contains(h):
	case !peer.Silent:
		for _, l := range s.Locators {
			if slices.ContainsFunc(peer.Listed, func(a netip.Addr) bool { return a.Unmap() == l.Addr }) {
				add(l)
			}
		}
	case s.hostLevel:
		for _, l := range s.Locators {
			add(l)
		}
	}
	return v
}
