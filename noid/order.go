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

// A Pair is where packets may leave from and where they go.
type Pair struct {
	Src netip.Addr
	Dst Locator
}

// Order returns the pairs that a dial to a host tries, one after the other: the
// destinations in the order of the operator's priorities and of RFC 6724
// section 6, nearer ones before others that the rules up to 8 rate alike, each
// with the sources that can reach it, the likeliest first; and that so arranged
// that consecutive attempts have neither end's network in common where that can
// be (RFC 8305 section 4). local are the addresses that packets may leave from.
func (r *Resolver) Order(host Name, dst []Locator, local []netip.Addr) []Pair {
	return spread(rows(dst, local, r.reached.trips(host)))
}

// OrderDestinations returns each destination once, in the order in which Order
// comes to it, and last those that no source reaches: routes may know more.
func (r *Resolver) OrderDestinations(host Name, dst []Locator, local []netip.Addr) (out []Locator) {
	for _, p := range r.Order(host, dst, local) {
		if !slices.ContainsFunc(out, func(l Locator) bool { return l.Addr == p.Dst.Addr }) {
			out = append(out, p.Dst)
		}
	}
	for _, d := range interleave(sorted(dst, local, nil)) {
		if !slices.ContainsFunc(out, func(l Locator) bool { return l.Addr == d.Addr }) {
			out = append(out, d)
		}
	}
	return out
}

// rows returns for each destination, in order, its pairs.
func rows(dst []Locator, local []netip.Addr, trips map[netip.Addr]time.Duration) (out [][]Pair) {
	for _, d := range interleave(sorted(dst, local, trips)) {
		var row []Pair
		for _, s := range sources(d.Addr, local) {
			row = append(row, Pair{s, d})
		}
		if len(row) > 0 {
			out = append(out, row)
		}
	}
	return out
}

// spread takes one pair after the other that has as few networks in common
// with the one before as possible, and the first such in the order of the rows:
// every destination once before any comes a second time.
func spread(rows [][]Pair) (out []Pair) {
	for depth := 0; len(rows) > 0 && len(out) < maxPairs; depth++ {
		var turn []int
		for i := range rows {
			turn = append(turn, i)
		}
		for len(turn) > 0 && len(out) < maxPairs {
			best, row, column := -1, 0, 0
			for k, i := range turn {
				for j, p := range rows[i] {
					if n := inCommon(out, p); best < 0 || n < best {
						best, row, column = n, k, j
					}
				}
			}
			i := turn[row]
			out = append(out, rows[i][column])
			rows[i] = slices.Delete(rows[i], column, column+1)
			turn = slices.Delete(turn, row, row+1)
		}
		rows = slices.DeleteFunc(rows, func(r []Pair) bool { return len(r) == 0 })
	}
	return out
}

// inCommon counts the ends whose network the last pair has too.
func inCommon(before []Pair, p Pair) (n int) {
	if len(before) == 0 {
		return 0
	}
	last := before[len(before)-1]
	if provider(last.Src) == provider(p.Src) {
		n++
	}
	if provider(last.Dst.Addr) == provider(p.Dst.Addr) {
		n++
	}
	return n
}

func sorted(dst []Locator, local []netip.Addr, trips map[netip.Addr]time.Duration) []Locator {
	out := slices.Clone(dst)
	slices.SortStableFunc(out, func(x, y Locator) int {
		if c := cmp.Compare(x.Prio, y.Prio); c != 0 {
			return c
		}
		return compareDestinations(x.Addr, y.Addr, local, trips)
	})
	return out
}

// compareDestinations applies the rules of RFC 6724 section 6 but 3, 4 and 7:
// whether an address is deprecated or a home address, or a way a tunnel, is not
// known here. Between rules 8 and 9, which may be superseded by what is known
// better, comes the round-trip time, where it is known of both.
func compareDestinations(x, y netip.Addr, local []netip.Addr, trips map[netip.Addr]time.Duration) int {
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

// sources returns the local addresses of a destination's family, in the order
// of RFC 6724 section 5, rules 2, 6 and 8: the scope that suffices, the label,
// the longest common prefix.
func sources(d netip.Addr, local []netip.Addr) (out []netip.Addr) {
	for _, l := range local {
		if l.Is4() == d.Is4() {
			out = append(out, l)
		}
	}
	_, label := classify(d)
	slices.SortStableFunc(out, func(x, y netip.Addr) int {
		_, lx := classify(x)
		_, ly := classify(y)
		return cmp.Or(
			compareScopes(scope(x), scope(y), scope(d)),
			prefer(lx == label, ly == label),
			cmp.Compare(commonBits(y, d), commonBits(x, d)),
		)
	})
	return out
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

func sourceFor(d netip.Addr, local []netip.Addr) (best netip.Addr) {
	if all := sources(d, local); len(all) > 0 {
		return all[0]
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
