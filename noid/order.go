package noid

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
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

// A Local is an address that packets may leave from, and what the system says
// of it.
type Local struct {
	Addr       netip.Addr
	Deprecated bool // its network is about to give it up (RFC 4862 section 5.5.4)
	Tunnel     bool // its link is one family within the other
}

// Order returns the destinations of a host in the order in which a dial tries
// them: that of the operator's priorities and of RFC 6724 section 6, nearer ones
// before others that the rules up to 8 rate alike, and so arranged that
// consecutive ones are of different networks where that can be (RFC 8305
// section 4). Those that no source reaches are the last: routes may know more.
func (r *Resolver) Order(host Name, dst []Locator, local []Local) []Locator {
	all := sorted(dst, local, r.reached.trips(host))
	reached, rest := all[:0:0], all[:0:0]
	for _, d := range all {
		if sourceFor(d.Addr, local).Addr.IsValid() {
			reached = append(reached, d)
		} else {
			rest = append(rest, d)
		}
	}
	return append(interleave(reached), interleave(rest)...)
}

func sorted(dst []Locator, local []Local, trips map[netip.Addr]time.Duration) []Locator {
	out := slices.Clone(dst)
	slices.SortStableFunc(out, func(x, y Locator) int {
		if c := cmp.Compare(x.Prio, y.Prio); c != 0 {
			return c
		}
		return compareDestinations(x.Addr, y.Addr, local, trips)
	})
	return out
}

// compareDestinations applies the rules of RFC 6724 section 6 but 4: there are
// no home addresses, since nothing here speaks Mobile IPv6. Between rules 8 and
// 9, which may be superseded by what is known better, comes the round-trip time,
// where it is known of both.
func compareDestinations(x, y netip.Addr, local []Local, trips map[netip.Addr]time.Duration) int {
	from, to := sourceFor(x, local), sourceFor(y, local)
	sx, sy := from.Addr, to.Addr
	px, lx := classify(x)
	py, ly := classify(y)
	if c := prefer(sx.IsValid(), sy.IsValid()); c != 0 || !sx.IsValid() { // rule 1
		return c
	}
	_, lsx := classify(sx)
	_, lsy := classify(sy)
	return cmp.Or(
		prefer(scope(x) == scope(sx), scope(y) == scope(sy)), // rule 2
		prefer(!from.Deprecated, !to.Deprecated),             // rule 3
		prefer(lx == lsx, ly == lsy),                         // rule 5
		cmp.Compare(py, px),                                  // rule 6
		prefer(!from.Tunnel, !to.Tunnel),                     // rule 7
		cmp.Compare(scope(x), scope(y)),                      // rule 8
		nearer(trips[x], trips[y]),
		longestPrefix(x, sx, y, sy), // rule 9
	)
}

func nearer(x, y time.Duration) int {
	if x == 0 || y == 0 {
		return 0
	}
	return cmp.Compare(x, y)
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

// sourceFor returns the local address of a destination's family that RFC 6724
// section 5 has packets leave from, by its rules 2, 3, 6 and 8: the scope that
// suffices, not deprecated, the label, the longest common prefix. None: the zero
// Local.
func sourceFor(d netip.Addr, local []Local) (best Local) {
	_, label := classify(d)
	for _, l := range local {
		if l.Addr.Is4() != d.Is4() {
			continue
		}
		if !best.Addr.IsValid() {
			best = l
			continue
		}
		_, x := classify(l.Addr)
		_, y := classify(best.Addr)
		if cmp.Or(
			compareScopes(scope(l.Addr), scope(best.Addr), scope(d)),
			prefer(!l.Deprecated, !best.Deprecated),
			prefer(x == label, y == label),
			cmp.Compare(commonBits(best.Addr, d), commonBits(l.Addr, d)),
		) < 0 {
			best = l
		}
	}
	return best
}

// compareScopes prefers the smaller of two scopes that suffice for a
// destination, else the larger.
func compareScopes(x, y, d int) int {
	if x < y {
		if x < d {
			return 1
		}
		return -1
	}
	if y < x {
		return -compareScopes(y, x, d)
	}
	return 0
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

// provider is the network by which two addresses are told to have different
// providers: what registries give to one.
func provider(a netip.Addr) netip.Prefix { return providerOf(a, 16, 32) }

func providerOf(a netip.Addr, four, six int) netip.Prefix {
	if a.Is4() {
		six = four
	}
	return netip.PrefixFrom(a.WithZone(""), six).Masked()
}

// interleave takes turns between providers.
func interleave(l []Locator) (out []Locator) {
	var groups [][]Locator
	index := make(map[netip.Prefix]int)
	for _, x := range l {
		p := provider(x.Addr)
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
