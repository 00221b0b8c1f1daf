package noid

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func locators(s ...string) (out []Locator) {
	for _, x := range s {
		out = append(out, Locator{Addr: addr(x)})
	}
	return out
}

func addrs(s ...string) (out []netip.Addr) {
	for _, x := range s {
		out = append(out, addr(x))
	}
	return out
}

func inOrder(l []Locator) string {
	var s []string
	for _, x := range l {
		s = append(s, x.Addr.String())
	}
	return strings.Join(s, " ")
}

// N24: the examples of RFC 6724 section 10.2, with the sources that they give.
// Its rules 3 and 4, about deprecated and home addresses, are not applied here.
func TestN24DestinationSelection(t *testing.T) {
	for _, test := range []struct {
		what       string
		local      []netip.Addr
		dst        []Locator
		want, from string
	}{
		{"matching scope", addrs("2001:db8:1::2", "fe80::1", "169.254.13.78"), locators("2001:db8:1::1", "198.51.100.121"), "2001:db8:1::1 198.51.100.121", "2001:db8:1::2 169.254.13.78"},
		{"matching scope, IPv4", addrs("fe80::1", "198.51.100.117"), locators("2001:db8:1::1", "198.51.100.121"), "198.51.100.121 2001:db8:1::1", "198.51.100.117 fe80::1"},
		{"higher precedence", addrs("2001:db8:1::2", "fe80::1", "10.1.2.4"), locators("2001:db8:1::1", "10.1.2.3"), "2001:db8:1::1 10.1.2.3", "2001:db8:1::2 10.1.2.4"},
		{"smaller scope", addrs("2001:db8:1::2", "fe80::2"), locators("2001:db8:1::1", "fe80::1"), "fe80::1 2001:db8:1::1", "fe80::2 2001:db8:1::2"},
		{"longest matching prefix", addrs("2001:db8:1::2", "2001:db8:3f44::2", "fe80::2"), locators("2001:db8:1::1", "2001:db8:3ffe::1"), "2001:db8:1::1 2001:db8:3ffe::1", "2001:db8:1::2 2001:db8:3f44::2"},
		{"matching label", addrs("2002:c633:6401::2", "fe80::2"), locators("2002:c633:6401::1", "2001:db8:1::1"), "2002:c633:6401::1 2001:db8:1::1", "2002:c633:6401::2 2002:c633:6401::2"},
		{"higher precedence, 6to4", addrs("2002:c633:6401::2", "2001:db8:1::2", "fe80::2"), locators("2002:c633:6401::1", "2001:db8:1::1"), "2001:db8:1::1 2002:c633:6401::1", "2001:db8:1::2 2002:c633:6401::2"},
		{"unusable", addrs("192.0.2.1"), locators("2001:db8:1::1", "198.51.100.121"), "198.51.100.121 2001:db8:1::1", "192.0.2.1 invalid IP"},
	} {
		for _, dst := range [][]Locator{test.dst, {test.dst[1], test.dst[0]}} {
			got := sorted(dst, test.local, nil)
			want(t, "N24 "+test.what, inOrder(got), test.want)
			var from []string
			for _, d := range got {
				from = append(from, sourceFor(d.Addr, test.local).String())
			}
			want(t, "N24 "+test.what+", sources", strings.Join(from, " "), test.from)
		}
	}
}

// N24: the table of policies, and what comes before and after the rules: the
// operator's priorities, and the round-trip time between rules 8 and 9.
func TestN24Order(t *testing.T) {
	for a, want := range map[string][2]int{
		"::1": {50, 0}, "2a00::1": {40, 1}, "9.0.0.1": {35, 4}, "2002::1": {30, 2}, "2001::1": {5, 5},
		"fd00::1": {3, 13}, "::5": {1, 3}, "fec0::1": {1, 11}, "3ffe::1": {1, 12},
	} {
		if p, l := classify(addr(a)); p != want[0] || l != want[1] {
			t.Errorf("N24 %s: precedence %d, label %d, want %v", a, p, l, want)
		}
	}
	local := addrs("2a00:a::1", "9.0.0.1")
	trips := map[netip.Addr]time.Duration{addr("2a00:b::2"): 10 * time.Millisecond, addr("2a00:a::2"): 50 * time.Millisecond, addr("9.0.0.2"): time.Millisecond}
	want(t, "N24 nearer", inOrder(sorted(locators("9.0.0.2", "2a00:a::2", "2a00:b::2"), local, trips)), "2a00:b::2 2a00:a::2 9.0.0.2")
	want(t, "N24 nothing known", inOrder(sorted(locators("9.0.0.2", "2a00:b::2", "2a00:a::2"), local, nil)), "2a00:a::2 2a00:b::2 9.0.0.2")
	first := locators("9.0.0.2", "2a00:a::2")
	first[1].Prio = 1
	want(t, "N24 the operator's priority", inOrder(sorted(first, local, trips)), "9.0.0.2 2a00:a::2")
	want(t, "N24 turns", inOrder(interleave(sorted(locators("9.1.0.1", "9.1.0.2", "9.2.0.1", "9.2.0.2"), addrs("9.9.9.9"), nil))), "9.1.0.1 9.2.0.1 9.1.0.2 9.2.0.2")
}

// N24: consecutive pairs differ in both ends' networks where that can be.
func TestN24Pairs(t *testing.T) {
	w := newWorld(t, Config{})
	text := func(pairs []Pair) string {
		var s []string
		for _, p := range pairs {
			s = append(s, fmt.Sprintf("%v-%v", p.Src, p.Dst.Addr))
		}
		return strings.Join(s, " ")
	}
	two := addrs("9.1.0.1", "9.2.0.1")
	want(t, "N24 two by two", text(w.Order("h.", locators("9.3.0.1", "9.4.0.1"), two)), "9.2.0.1-9.3.0.1 9.1.0.1-9.4.0.1 9.1.0.1-9.3.0.1 9.2.0.1-9.4.0.1")
	want(t, "N24 each once", inOrder(w.OrderDestinations("h.", locators("2a00::1", "9.3.0.1", "9.4.0.1"), two)), "9.3.0.1 9.4.0.1 2a00::1")
	w.Reached("h.", addr("9.4.0.1"), time.Millisecond)
	w.Reached("h.", addr("9.3.0.1"), time.Second)
	if first := w.Order("h.", locators("9.3.0.1", "9.4.0.1"), two)[0].Dst.Addr; first != addr("9.4.0.1") {
		t.Errorf("N24 the nearer one is not the first: %v", first)
	}
	some := rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "six") {
			return netip.AddrFrom16([16]byte{0x2a, 0, 0, rapid.Byte().Draw(t, "net") % 3, 15: rapid.Byte().Draw(t, "host") % 4})
		}
		return netip.AddrFrom4([4]byte{9, rapid.Byte().Draw(t, "net") % 3, 0, rapid.Byte().Draw(t, "host") % 4})
	})
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.SliceOfNDistinct(some, 0, 4, rapid.ID).Draw(t, "local")
		var dst []Locator
		for _, a := range rapid.SliceOfNDistinct(some, 0, maxLocators, rapid.ID).Draw(t, "dst") {
			dst = append(dst, Locator{Addr: a})
		}
		pairs := w.Order("other.", dst, local)
		seen := make(map[string]bool)
		possible, once := 0, make(map[netip.Addr]bool)
		for _, d := range dst {
			if n := len(sources(d.Addr, local)); n > 0 {
				possible += n
				once[d.Addr] = true
			}
		}
		if len(pairs) != min(possible, maxPairs) {
			t.Fatalf("%d pairs of %d", len(pairs), possible)
		}
		all := len(once)
		for i, p := range pairs {
			if k := fmt.Sprint(p.Src, p.Dst.Addr); seen[k] || p.Src.Is4() != p.Dst.Addr.Is4() {
				t.Fatalf("%v is there twice, or of two families", p)
			} else {
				seen[k] = true
			}
			if i < all {
				delete(once, p.Dst.Addr)
			}
		}
		if len(once) > 0 && len(pairs) < maxPairs {
			t.Fatalf("%v come after others came twice: %v", once, pairs)
		}
	})
}
