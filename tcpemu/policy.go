package tcpemu

import (
	"math"
	"math/rand/v2"

	"github.com/sctpmh/mh/sctpmh"
)

// A Policy says which connections of a dialer share an association.
type Policy uint8

const (
	// Shared has all connections to a host share one.
	Shared Policy = iota

	// Spread has them share Dialer.PerHost. Each prefers another path, as
	// far as there are that many, and moves as any other when that fails.
	Spread

	// Isolate gives each connection an association of its own, which ends with
	// it. It shares no fate, no window and no verification tag with another.
	Isolate

	// Aggregate is Shared, and what is sent here takes all paths at once: a
	// connection gets what they carry together. What the peer sends does so if
	// the peer says so.
	Aggregate
)

// defaultSpread is how many associations Spread makes: most hosts have two
// uplinks.
const defaultSpread = 2

// associations is how many a host gets.
func (d *Dialer) associations() int {
	switch {
	case d.Policy != Spread:
		return 1
	case d.PerHost > 0:
		return d.PerHost
	}
	return defaultSpread
}

// draw picks the member of a group that is to serve a new connection, by the
// weights of their paths. The pool's mu is held.
func (d *Dialer) draw(g []*member) *member {
	weight := func(m *member) int {
		if d.Policy != Spread || d.Weight == nil {
			return 1
		}
		return max(d.Weight(m.primary), 0)
	}
	sum := 0
	for _, m := range g {
		sum += weight(m)
	}
	if sum == 0 {
		return g[rand.IntN(len(g))]
	}
	n := rand.IntN(sum)
	for _, m := range g {
		if n -= weight(m); n < 0 {
			return m
		}
	}
	panic("BUG: the weights of paths change between two looks")
}

// pair is the addresses of a path.
type pair = sctpmh.Pair

// spread has a member prefer the path that has least in common with those that
// the others of its group prefer.
func (p *pool) spread(m *member) {
	paths := m.session.assoc.Paths()
	p.mu.Lock()
	least := math.MaxInt
	var best pair
	for _, x := range paths {
		if !x.Confirmed || x.State != sctpmh.Active {
			continue
		}
		path := pair{Local: x.Local, Remote: x.Remote}
		common := 0
		for _, o := range p.groups[m.key] {
			if o != m {
				common += commonAddrs(o.primary, path)
			}
		}
		if common < least || common == least && path == m.primary {
			best, least = path, common
		}
	}
	changed := best != m.primary && least < math.MaxInt
	if changed {
		m.primary = best
	}
	p.mu.Unlock()
	if changed {
		m.session.assoc.SetPrimary(best)
	}
}

func commonAddrs(a, b pair) (n int) {
	if a.Local.Addr() == b.Local.Addr() {
		n++
	}
	if a.Remote.Addr() == b.Remote.Addr() {
		n++
	}
	return n
}
