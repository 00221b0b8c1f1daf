package noid

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// N12: the matrix of the permission rule.
func TestN12PermissionMatrix(t *testing.T) {
	a, b, c := addr("9.0.0.1"), addr("9.0.0.2"), addr("9.0.0.3")
	i1, i2 := addr("10.0.0.1"), addr("10.0.0.2")
	set := func(host bool, l ...netip.Addr) *Set {
		s := &Set{Name: "x.", Binding: BindingClaim, hostLevel: host, filters: &filters{}}
		for _, x := range l {
			s.Locators = append(s.Locators, Locator{Addr: x})
		}
		return s
	}
	with := func(s *Set, f func(*Set)) *Set { f(s); return s }
	stale := func(s *Set) {
		for i := range s.Locators {
			s.Locators[i].Stale = true
		}
	}
	for _, test := range []struct {
		what string
		set  *Set
		h    netip.Addr
		peer PeerView
		want string
	}{
		{"normal", set(false, a, b), a, PeerView{Listed: []netip.Addr{a, b}}, "9.0.0.1 9.0.0.2"},
		{"the peer says that b is not its own", set(true, a, b), a, PeerView{Listed: []netip.Addr{a}}, "9.0.0.1"},
		{"silent, host-level", set(true, a, b), a, PeerView{Silent: true}, "9.0.0.1 9.0.0.2"},
		{"silent, bare addresses", set(false, a, b), a, PeerView{Silent: true}, "9.0.0.1"},
		{"b is not in the DNS", set(true, a), a, PeerView{Listed: []netip.Addr{a, b}}, "9.0.0.1"},
		{"h is not in the DNS", set(true, c), a, PeerView{Silent: true}, "9.0.0.1"},
		{"no such name", set(true), a, PeerView{Listed: []netip.Addr{a, b}}, "9.0.0.1"},
		{"internal view", set(true, i1, i2), i1, PeerView{Listed: []netip.Addr{i1, i2, a, b}}, "10.0.0.1 10.0.0.2"},
		{"stale, b was never confirmed", with(set(true, a, b), stale), a, PeerView{Silent: true}, "9.0.0.1"},
		{"stale, b was confirmed before", with(set(true, a, b, c), func(s *Set) { stale(s); s.reached = []netip.Addr{b} }), a, PeerView{Silent: true}, "9.0.0.1 9.0.0.2"},
		{"hint", with(set(true, a, b), func(s *Set) { s.Binding = BindingHint }), a, PeerView{Silent: true}, "9.0.0.1"},
		{"no binding", with(set(true, a, b), func(s *Set) { s.Binding = BindingNone }), a, PeerView{Silent: true}, "9.0.0.1"},
		{"mode reverse, binding claim", with(set(true, a, b), func(s *Set) { s.trust = Reverse }), a, PeerView{Silent: true}, "9.0.0.1"},
		{"mode strict, plain channel", with(set(true, a, b), func(s *Set) { s.trust = Strict }), a, PeerView{Silent: true}, "9.0.0.1"},
		{"mode strict, validated", with(set(true, a, b), func(s *Set) { s.trust, s.Channel = Strict, ChanAD }), a, PeerView{Silent: true}, "9.0.0.1 9.0.0.2"},
		{"mode pinned, static", with(set(true, a, b), func(s *Set) { s.trust, s.Binding = Pinned, BindingStatic }), a, PeerView{Silent: true}, "9.0.0.1 9.0.0.2"},
		{"mode single", with(set(true, a, b), func(s *Set) { s.trust = Single }), a, PeerView{Listed: []netip.Addr{a, b}}, "9.0.0.1"},
		{"mode single, sealed", with(set(true, a, b), func(s *Set) { s.trust = Single }), a, PeerView{Listed: []netip.Addr{a, b}, Sealed: true}, "9.0.0.1"},
		{"sealed: the peer speaks for itself", set(true, a), a, PeerView{Listed: []netip.Addr{b, addr("127.0.0.1")}, Sealed: true}, "9.0.0.1 9.0.0.2"},
		{"sealed, private beside public", set(true, a), a, PeerView{Listed: []netip.Addr{i2}, Sealed: true}, "9.0.0.1"},
		{"sealed, private beside private", set(true, i1), i1, PeerView{Listed: []netip.Addr{i2}, Sealed: true}, "10.0.0.1 10.0.0.2"},
	} {
		want(t, "N12 "+test.what, ips(test.set.Permit(test.h, test.peer)), test.want)
	}
	// A live association keeps what is left of its host.
	for _, test := range []struct {
		what string
		set  *Set
		peer PeerView
		want string
	}{
		{"all", set(true, a, b), PeerView{Silent: true}, "9.0.0.1 9.0.0.2"},
		{"h is gone", set(true, b), PeerView{Silent: true}, "9.0.0.2"},
		{"h is gone, and the peer does not list b", set(true, b), PeerView{Listed: []netip.Addr{a}}, ""},
		{"h is gone, bare addresses", set(false, b), PeerView{Silent: true}, ""},
		{"all are gone", set(true), PeerView{Silent: true}, ""},
	} {
		want(t, "N12 kept, "+test.what, ips(test.set.Keep(a, test.peer)), test.want)
	}
}

// N12, the property: for every unsealed association, whatever the binding, V
// lies within {h} and F; and beyond {h} only if the mode lets the binding pass,
// and, of members that are stale, if they were confirmed before.
func TestN12PermittedIsWithinForwardSet(t *testing.T) {
	some := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{9, 0, 0, rapid.Byte().Draw(t, "octet") % 12})
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &Set{
			Binding: Binding(rapid.IntRange(0, int(BindingStatic)).Draw(t, "binding")), Channel: Channel(rapid.IntRange(0, int(ChanLocal)).Draw(t, "channel")),
			trust: Trust(rapid.IntRange(0, int(Single)).Draw(t, "trust")), hostLevel: rapid.Bool().Draw(t, "host"),
			reached: rapid.SliceOfN(some, 0, 4).Draw(t, "reached"), reversed: rapid.SliceOfN(some, 0, 4).Draw(t, "reversed"),
		}
		for _, a := range rapid.SliceOfN(some, 0, 10).Draw(t, "forward") {
			s.Locators = append(s.Locators, Locator{Addr: a, Stale: rapid.Bool().Draw(t, "stale")})
		}
		h := some.Draw(t, "h")
		peer := PeerView{Listed: rapid.SliceOfN(some, 0, 10).Draw(t, "listed"), Silent: rapid.Bool().Draw(t, "silent")}
		v := s.Permit(h, peer)
		if v[0].Addr != h || len(v) > maxLocators {
			t.Fatalf("h is not the first of %v, or those are too many", v)
		}
		for _, l := range v[1:] {
			confirmed := !l.Stale
			for _, a := range s.reached {
				confirmed = confirmed || a == l.Addr
			}
			if !s.Contains(l.Addr) || !s.Contains(h) || s.Binding < BindingClaim || !confirmed ||
				s.trust == Single || s.trust == Pinned && s.Binding < BindingTLS || s.trust == Strict && s.Binding < BindingTLS && s.Channel < ChanAD {
				t.Fatalf("%v is permitted by %+v", l.Addr, s)
			}
		}
		for _, l := range s.Keep(h, peer) {
			if !s.Contains(l.Addr) {
				t.Fatalf("%v is kept by %+v", l.Addr, s)
			}
		}
	})
}
