package noid

import (
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

// locals are the candidate sources of an example, with what it says of them.
func locals(s ...string) (out []Local) {
	for _, x := range s {
		a, what, _ := strings.Cut(x, " ")
		out = append(out, Local{Addr: addr(a), Deprecated: what == "deprecated", Tunnel: what == "tunnel"})
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
// Its rule 4, about home addresses, is not applied here. Those of rules 3 and 7 that
// follow are of section 10.4, but with the default policies, and of the rules'
// own words.
func TestN24DestinationSelection(t *testing.T) {
	for _, test := range []struct {
		what       string
		local      []Local
		dst        []Locator
		want, from string
	}{
		{"matching scope", locals("2001:db8:1::2", "fe80::1", "169.254.13.78"), locators("2001:db8:1::1", "198.51.100.121"), "2001:db8:1::1 198.51.100.121", "2001:db8:1::2 169.254.13.78"},
		{"matching scope, IPv4", locals("fe80::1", "198.51.100.117"), locators("2001:db8:1::1", "198.51.100.121"), "198.51.100.121 2001:db8:1::1", "198.51.100.117 fe80::1"},
		{"higher precedence", locals("2001:db8:1::2", "fe80::1", "10.1.2.4"), locators("2001:db8:1::1", "10.1.2.3"), "2001:db8:1::1 10.1.2.3", "2001:db8:1::2 10.1.2.4"},
		{"smaller scope", locals("2001:db8:1::2", "fe80::2"), locators("2001:db8:1::1", "fe80::1"), "fe80::1 2001:db8:1::1", "fe80::2 2001:db8:1::2"},
		{"avoid deprecated", locals("2001:db8:1::2", "fe80::2 deprecated"), locators("2001:db8:1::1", "fe80::1"), "2001:db8:1::1 fe80::1", "2001:db8:1::2 fe80::2"},
		{"avoid deprecated, 10.4", locals("2001:db8::2 deprecated", "fe80::2"), locators("2001:db8::1", "fe80::1"), "fe80::1 2001:db8::1", "fe80::2 2001:db8::2"},
		{"a source that is not deprecated", locals("2001:db8:1::2 deprecated", "2001:db8:2::2"), locators("2001:db8:1::1", "198.51.100.121"), "2001:db8:1::1 198.51.100.121", "2001:db8:2::2 invalid IP"},
		{"deprecated before the label", locals("2002:c633:6401::2 deprecated", "9.0.0.2"), locators("2002:c633:6401::1", "9.0.0.1"), "9.0.0.1 2002:c633:6401::1", "9.0.0.2 2002:c633:6401::2"},
		{"native transport", locals("2001:db8:1::2 tunnel", "fe80::2"), locators("2001:db8:1::1", "fe80::1"), "fe80::1 2001:db8:1::1", "fe80::2 2001:db8:1::2"},
		{"native transport before scope", locals("2001:db8:1::2", "fe80::2 tunnel"), locators("2001:db8:1::1", "fe80::1"), "2001:db8:1::1 fe80::1", "2001:db8:1::2 fe80::2"},
		{"precedence before native transport", locals("2001:db8:1::2 tunnel", "9.0.0.2"), locators("2001:db8:1::1", "9.0.0.1"), "2001:db8:1::1 9.0.0.1", "2001:db8:1::2 9.0.0.2"},
		{"longest matching prefix", locals("2001:db8:1::2", "2001:db8:3f44::2", "fe80::2"), locators("2001:db8:1::1", "2001:db8:3ffe::1"), "2001:db8:1::1 2001:db8:3ffe::1", "2001:db8:1::2 2001:db8:3f44::2"},
		{"matching label", locals("2002:c633:6401::2", "fe80::2"), locators("2002:c633:6401::1", "2001:db8:1::1"), "2002:c633:6401::1 2001:db8:1::1", "2002:c633:6401::2 2002:c633:6401::2"},
		{"higher precedence, 6to4", locals("2002:c633:6401::2", "2001:db8:1::2", "fe80::2"), locators("2002:c633:6401::1", "2001:db8:1::1"), "2001:db8:1::1 2002:c633:6401::1", "2001:db8:1::2 2002:c633:6401::2"},
		{"unusable", locals("192.0.2.1"), locators("2001:db8:1::1", "198.51.100.121"), "198.51.100.121 2001:db8:1::1", "192.0.2.1 invalid IP"},
	} {
		for _, dst := range [][]Locator{test.dst, {test.dst[1], test.dst[0]}} {
			got := sorted(dst, test.local, nil)
			want(t, "N24 "+test.what, inOrder(got), test.want)
			var from []string
			for _, d := range got {
				from = append(from, sourceFor(d.Addr, test.local).Addr.String())
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
	local := locals("2a00:a::1", "9.0.0.1")
	trips := map[netip.Addr]time.Duration{addr("2a00:b::2"): 10 * time.Millisecond, addr("2a00:a::2"): 50 * time.Millisecond, addr("9.0.0.2"): time.Millisecond}
	want(t, "N24 nearer", inOrder(sorted(locators("9.0.0.2", "2a00:a::2", "2a00:b::2"), local, trips)), "2a00:b::2 2a00:a::2 9.0.0.2")
	want(t, "N24 nothing known", inOrder(sorted(locators("9.0.0.2", "2a00:b::2", "2a00:a::2"), local, nil)), "2a00:a::2 2a00:b::2 9.0.0.2")
	first := locators("9.0.0.2", "2a00:a::2")
	first[1].Prio = 1
	want(t, "N24 the operator's priority", inOrder(sorted(first, local, trips)), "9.0.0.2 2a00:a::2")
	want(t, "N24 turns", inOrder(interleave(sorted(locators("9.1.0.1", "9.1.0.2", "9.2.0.1", "9.2.0.2"), locals("9.9.9.9"), nil))), "9.1.0.1 9.2.0.1 9.1.0.2 9.2.0.2")
}

// N24: consecutive destinations are of different networks where that can be, and
// none is lost, however many there are.
func TestN24Turns(t *testing.T) {
	w := newWorld(t, Config{})
	two := locals("9.1.0.1", "9.2.0.1")
	want(t, "N24 each once", inOrder(w.Order("h.", locators("2a00::1", "9.3.0.1", "9.4.0.1"), two)), "9.3.0.1 9.4.0.1 2a00::1")
	want(t, "N24 turns", inOrder(w.Order("h.", locators("9.3.0.1", "9.3.0.2", "9.4.0.1"), two)), "9.3.0.1 9.4.0.1 9.3.0.2")
	w.Reached("h.", addr("9.4.0.1"), time.Millisecond)
	w.Reached("h.", addr("9.3.0.1"), time.Second)
	if first := w.Order("h.", locators("9.3.0.1", "9.4.0.1"), two)[0].Addr; first != addr("9.4.0.1") {
		t.Errorf("N24 the nearer one is not the first: %v", first)
	}
	some := rapid.Custom(func(t *rapid.T) netip.Addr {
		if rapid.Bool().Draw(t, "six") {
			return netip.AddrFrom16([16]byte{0x2a, 0, 0, rapid.Byte().Draw(t, "net") % 3, 15: rapid.Byte().Draw(t, "host") % 4})
		}
		return netip.AddrFrom4([4]byte{9, rapid.Byte().Draw(t, "net") % 3, 0, rapid.Byte().Draw(t, "host") % 4})
	})
	rapid.Check(t, func(t *rapid.T) {
		var local []Local
		reachable := make(map[bool]bool) // by being IPv4
		for _, a := range rapid.SliceOfNDistinct(some, 0, 4, rapid.ID).Draw(t, "local") {
			local = append(local, Local{Addr: a, Deprecated: rapid.Bool().Draw(t, "deprecated"), Tunnel: rapid.Bool().Draw(t, "tunnel")})
			reachable[a.Is4()] = true
		}
		var dst []Locator
		for _, a := range rapid.SliceOfNDistinct(some, 0, maxLocators, rapid.ID).Draw(t, "dst") {
			dst = append(dst, Locator{Addr: a})
		}
		got := w.Order("other.", dst, local)
		seen, unreachable := make(map[netip.Addr]bool), false
		for _, d := range got {
			if seen[d.Addr] || unreachable && reachable[d.Addr.Is4()] {
				t.Fatalf("%v is there twice, or after what cannot be reached: %v", d.Addr, inOrder(got))
			}
			seen[d.Addr] = true
			unreachable = !reachable[d.Addr.Is4()]
		}
		if len(got) != len(dst) {
			t.Fatalf("%d destinations of %d", len(got), len(dst))
		}
	})
}
