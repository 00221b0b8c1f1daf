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
// What the trust mode does not let pass counts as no binding. Of locators that
// are stale only those count that an association has confirmed before.
// Membership permits a probe, nothing more.
func (s *Set) Permit(h netip.Addr, peer PeerView) []Locator {
	h = h.Unmap()
	v := []Locator{{Addr: h, From: FromObserved}}
	for _, l := range s.others(h, peer, s.Contains(h)) {
		if len(v) < maxLocators && l.Addr != h {
			v = append(v, l)
		}
	}
	return v
}

// Keep is Permit for an association that has h since the set contained it.
// What the set has lost since is not kept, h neither.
func (s *Set) Keep(h netip.Addr, peer PeerView) (v []Locator) {
	h = h.Unmap()
	if i := slices.IndexFunc(s.Locators, func(l Locator) bool { return l.Addr == h }); i >= 0 {
		v = append(v, s.Locators[i])
	}
	for _, l := range s.others(h, peer, true) {
		if len(v) < maxLocators && l.Addr != h {
			v = append(v, l)
		}
	}
	return v
}

// others returns what may be probed beside h. contained says whether the name
// was tied to h.
func (s *Set) others(h netip.Addr, peer PeerView, contained bool) (v []Locator) {
	switch {
	case s.trust == Single:
	case peer.Sealed:
		for _, a := range peer.Listed {
			l := Locator{Addr: a.Unmap(), From: FromPeer}
			if s.filters == nil || s.filters.reject(l.Addr, origin{names: []Name{s.Name}, path: h}) == "" {
				v = append(v, l)
			}
		}
	case !contained || !s.trust.enough(s.bound(h), s.Channel):
	case !peer.Silent:
		for _, l := range s.Locators {
			if s.probable(l) && slices.ContainsFunc(peer.Listed, func(a netip.Addr) bool { return a.Unmap() == l.Addr }) {
				v = append(v, l)
			}
		}
	case s.hostLevel:
		for _, l := range s.Locators {
			if s.probable(l) {
				v = append(v, l)
			}
		}
	}
	return v
}

// bound is how the name is tied to h: by a reverse record only if it is one of
// those that have one.
func (s *Set) bound(h netip.Addr) Binding {
	if s.Binding == BindingReverse && s.reversed != nil && !slices.Contains(s.reversed, h) {
		return BindingClaim
	}
	return s.Binding
}

// probable reports whether a member may be probed that no server confirms any
// more: its address may be somebody else's by now.
func (s *Set) probable(l Locator) bool {
	return !l.Stale || slices.Contains(s.reached, l.Addr)
}
