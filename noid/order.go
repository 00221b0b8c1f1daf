package noid

import (
	"cmp"
	"net/netip"
	"slices"
)

// policy is the default table of RFC 6724 section 2.1, most specific first.
var policy = []struct {
	prefix            netip.Prefix
	precedence, label int
}{
	{netip.MustParsePrefix("::1/128"), 50, 0},
	{netip.MustParsePrefix("::ffff:0:0/96"), 35, 4},
	{netip.MustParsePrefix("::/96"), 1, 3},
	{netip.MustParsePrefix("2001::/32"), 5, 5},
	{netip.MustParsePrefix("2002::/16"), 30, 2},
	{netip.MustParsePrefix("3ffe::/16"), 1, 12},
	{netip.MustParsePrefix("fec0::/10"), 1, 11},
	{netip.MustParsePrefix("fc00::/7"), 3, 13},
	{netip.MustParsePrefix("::/0"), 40, 1},
}

func classify(a netip.Addr) (precedence, label int) {
	a = netip.AddrFrom16(a.As16())
	for _, p := range policy {
		if p.prefix.Contains(a) || a.Is4In6() && p.label == 4 {
			return p.precedence, p.label
		}
	}
	return 0, 0
}

// scope is an address's scope (RFC 6724 section 3.1).
func scope(a netip.Addr) int {
	switch {
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return 2
	case a.Is6() && in(a, policyPrefix("fec0::/10")):
		return 5
	}
	return 14
}

func policyPrefix(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }

// Order sorts destinations by the operator's priority and by the destination
// rules of RFC 6724 section 6 that addresses alone decide (1, 2, 5, 6, 8, 9),
// then interleaves families and providers so that consecutive attempts have
// little in common (RFC 8305 section 4). local are the addresses that packets
// may leave from.
func Order(dst []Locator, local []netip.Addr) []Locator {
	out := slices.Clone(dst)
	slices.SortStableFunc(out, func(x, y Locator) int {
		if c := cmp.Compare(x.Prio, y.Prio); c != 0 {
			return c
		}
		return compareDestinations(x.Addr, y.Addr, local)
	})
	return interleave(out)
}

func compareDestinations(x, y netip.Addr, local []netip.Addr) int {
	sx, sy := sourceFor(x, local), sourceFor(y, local)
	px, lx := classify(x)
	py, ly := classify(y)
	if c := prefer(sx.IsValid(), sy.IsValid()); c != 0 || !sx.IsValid() { // rule 1
		return c
	}
	_, lsx := classify(sx)
	_, lsy := classify(sy)
	return cmp.Or(
		prefer(scope(x) == scope(sx), scope(y) == scope(sy)), // rule 2
		prefer(lx == lsx, ly == lsy),                         // rule 5
		cmp.Compare(py, px),                                  // rule 6
		cmp.Compare(scope(x), scope(y)),                      // rule 8
		longestPrefix(x, sx, y, sy),                          // rule 9
	)
}

func prefer(x, y bool) int {
	switch {
	case x && !y:
		return -1
	case y && !x:
		return 1
	}
	return 0
}

// sourceFor picks the local address that has most in common with a
// destination.
func sourceFor(d netip.Addr, local []netip.Addr) (best netip.Addr) {
	for _, l := range local {
		if l.Is4() == d.Is4() && (!best.IsValid() || commonBits(l, d) > commonBits(best, d)) {
			best = l
		}
	}
	return best
}

func longestPrefix(x, sx, y, sy netip.Addr) int {
	if !x.Is6() || !y.Is6() {
		return 0
	}
	return cmp.Compare(commonBits(y, sy), commonBits(x, sx))
}

func commonBits(a, b netip.Addr) (n int) {
	x, y := a.As16(), b.As16()
	for i := range x {
		for bit := 7; bit >= 0; bit-- {
			if (x[i]^y[i])>>bit&1 != 0 {
				return n
			}
			n++
		}
	}
	return n
}

// interleave takes turns between providers: addresses of one family and one
// short prefix.
func interleave(l []Locator) (out []Locator) {
	var groups [][]Locator
	index := make(map[netip.Prefix]int)
	for _, x := range l {
		bits := 32
		if x.Addr.Is4() {
			bits = 16
		}
		p := netip.PrefixFrom(x.Addr, bits).Masked()
		i, ok := index[p]
		if !ok {
			i = len(groups)
			index[p] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], x)
	}
	for k := 0; len(out) < len(l); k++ {
		for _, g := range groups {
			if k < len(g) {
				out = append(out, g[k])
			}
		}
	}
	return out
}
