package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// What may happen beside the faults of the network.
const (
	plotCollision = "INIT collision"     // both ends dial at the same time
	plotRestart   = "restart"            // one end forgets everything and dials again
	plotAmnesia   = "forgotten"          // one end forgets everything
	plotAbort     = "abort"              // one user aborts
	simReason     = "enough of all this" // why it does
)

// after returns an instant within a time of the start, and has the run go on
// for as long as it takes after that.
func (s *sim) after(within time.Duration) netsim.Time {
	at := netsim.Start.Add(s.span(within))
	s.lastCure = max(s.lastCure, at)
	return at
}

// faults draws when paths die, and when they come back.
func (s *sim) faults() {
	s.fault = "calm"
	s.lastCure = netsim.Start
	switch n := s.rng.IntN(7); {
	case n == 0:
	case n == 1 && s.plot == "":
		s.fault, s.dead = "dead", true
		at := s.after(3 * time.Second)
		for _, l := range s.links {
			s.net.At(at, func() { l.Cut(true, true) })
		}
	case n == 2:
		s.fault = "silence"
		at, silence := s.after(3*time.Second), s.span(15*time.Second)
		for _, l := range s.links {
			s.cut(l, at, silence, true, true)
		}
	case n == 3 && len(s.links) > 1:
		s.fault = "first path dead"
		s.cut(s.links[0], netsim.Start, time.Hour, true, true)
		s.lastCure = netsim.Start
	case n == 4:
		s.flapping()
	default:
		s.fault = "cuts"
		for range 1 + s.rng.IntN(6) {
			way := s.rng.IntN(3)
			at := netsim.Start.Add(s.span(8 * time.Second))
			s.cut(s.links[s.rng.IntN(len(s.links))], at, s.span(6*time.Second), way != 1, way != 2)
		}
	}
	s.class(s.fault)
}

// flapping has links go down and up again, many times.
func (s *sim) flapping() {
	s.fault = "flapping"
	all := s.flip(3)
	s.torn = all || len(s.links) == 1
	for i, l := range s.links {
		if i > 0 && !all && !s.flip(3) {
			continue
		}
		way := s.rng.IntN(4)
		at := netsim.Start.Add(s.span(time.Second))
		for range 10 + s.rng.IntN(50) {
			down := 50*time.Millisecond + s.span(2950*time.Millisecond)
			s.cut(l, at, down, way != 1, way != 2)
			at = at.Add(down + 50*time.Millisecond + s.span(2950*time.Millisecond))
		}
	}
}

// cut stops a link for a time. In some runs the kernel says so at once.
func (s *sim) cut(l *netsim.Link, at netsim.Time, d time.Duration, up, down bool) {
	told := up && down && s.flip(4)
	n, local := s.a, s.a.ep.cfg.Locals[slices.Index(s.links, l)].Addr()
	s.net.At(at, func() {
		l.Cut(up, down)
		if told && !slices.Contains(n.gone, local) {
			n.gone = append(n.gone, local)
			if n.assoc != nil && s.flip(2) {
				n.assoc.LocalFailed(Time(s.net.Now()), local)
			}
		}
	})
	s.net.At(at.Add(d), func() {
		l.Cut(false, false)
		if i := slices.Index(n.gone, local); i >= 0 {
			n.gone = slices.Delete(n.gone, i, i+1)
			if n.assoc != nil {
				n.assoc.LocalRestored(Time(s.net.Now()), local)
			}
		}
	})
	if told {
		s.class("links that tell")
	}
	s.lastCure = max(s.lastCure, at.Add(d))
}

// sizes draws the MTU of links, and how it changes.
func (s *sim) sizes() {
	if !s.flip(3) {
		return
	}
	s.class("MTU")
	mtus := []int{1280, 1280, 1281, 1400, 1420, 1492, 1500, 1500, 2000, 4352, 9000}
	draw := func() int { return mtus[s.rng.IntN(len(mtus))] }
	told := s.flip(2)
	if told {
		s.class("MTU, told by routers")
		s.net.TooBig = s.tooBig
	}
	for _, l := range s.links {
		l.SetMTU(draw())
		if s.flip(2) {
			continue
		}
		s.class("MTU steps")
		for range 1 + s.rng.IntN(6) {
			s.net.At(s.after(10*time.Second), func() { l.SetMTU(draw()) })
		}
	}
}

// tooBig tells the sender what a router says, as its kernel would.
func (s *sim) tooBig(p netsim.Packet, mtu int) {
	s.net.At(s.net.Now().Add(5*time.Millisecond), func() {
		for _, n := range []*simNode{s.a, s.b} {
			if slices.ContainsFunc(n.pairs, func(on Pair) bool { return on.Local == p.Src }) && n.assoc != nil {
				n.assoc.Hint(Time(s.net.Now()), Pair{p.Src, p.Dst}, p.Data[:min(len(p.Data), 36)], mtu)
			}
		}
	})
}

// whims are what users do beside sending.
func (s *sim) whims() {
	if s.flip(5) {
		s.class("primary paths")
		for range 1 + s.rng.IntN(5) {
			at, n, r := s.after(5*time.Second), []*simNode{s.a, s.b}[s.rng.IntN(2)], s.rng.IntN(maxPaths)
			s.net.At(at, func() {
				if n.assoc == nil {
					return
				}
				if all := n.assoc.AppendPaths(nil); len(all) > 0 {
					n.assoc.SetPrimary(Time(at), all[r%len(all)].Pair)
				}
			})
		}
	}
	if s.flip(8) {
		s.class("permissions that change")
		for range 1 + s.rng.IntN(3) {
			at, n, r := s.after(5*time.Second), []*simNode{s.a, s.b}[s.rng.IntN(2)], s.rng.IntN(maxPaths)
			s.net.At(at, func() {
				if n.assoc != nil {
					n.assoc.Permit(Time(at), n.permit[:r%(len(n.permit)+1)])
				}
			})
			s.net.At(at.Add(s.span(3*time.Second)), func() {
				if n.assoc != nil {
					n.assoc.Permit(Time(s.net.Now()), n.permit)
				}
			})
			s.lastCure = max(s.lastCure, at.Add(3*time.Second))
		}
	}
}

// withdrawals draws when an end gives addresses up for a while, that of the
// handshake among them, and takes them back. They are drawn from a stream of
// their own, so that every seed is otherwise what it was without them.
func (s *sim) withdrawals() {
	rng := rand.New(rand.NewPCG(s.seed, 0x90e))
	if rng.IntN(6) > 0 {
		return
	}
	s.class("withdrawals")
	for range 1 + rng.IntN(3) {
		n := []*simNode{s.a, s.b}[rng.IntN(2)]
		all := func() (v []netip.AddrPort) {
			for _, r := range n.permit {
				v = append(v, netip.AddrPortFrom(r, 0))
			}
			return v
		}
		gone := rng.IntN(1 << 8)
		at := netsim.Start.Add(time.Duration(rng.Int64N(int64(5 * time.Second))))
		back := at.Add(time.Duration(rng.Int64N(int64(20 * time.Second))))
		s.net.At(at, func() {
			if n.assoc != nil {
				i := -1
				n.assoc.SetCandidates(Time(at), slices.DeleteFunc(all(), func(netip.AddrPort) bool { i++; return gone>>i&1 > 0 }))
			}
		})
		s.net.At(back, func() {
			if n.assoc != nil {
				n.assoc.SetCandidates(Time(back), all())
			}
		})
		s.lastCure = max(s.lastCure, back)
	}
}

// moves draws when local addresses of an end go for good, sockets and all, and
// when they are there again, from a stream of its own too. One address stays.
func (s *sim) moves() {
	rng := rand.New(rand.NewPCG(s.seed, 0x307e))
	n := []*simNode{s.a, s.b}[rng.IntN(2)]
	all := n.ep.cfg.Locals
	if rng.IntN(5) > 0 || len(all) == 1 {
		return
	}
	s.class("addresses that come and go")
	for range 1 + rng.IntN(3) {
		l := all[1+rng.IntN(len(all)-1)]
		at := netsim.Start.Add(time.Duration(rng.Int64N(int64(5*time.Second))) - time.Second)
		back := max(at, netsim.Start).Add(time.Duration(rng.Int64N(int64(20 * time.Second))))
		s.net.At(at, func() { n.removeLocal(Time(s.net.Now()), l) })
		s.net.At(back, func() { n.addLocal(Time(back), l) })
		s.lastCure = max(s.lastCure, back)
	}
}

// aggregate draws which ends take all paths at once, from a stream of its own
// too.
func (s *sim) aggregate() {
	rng := rand.New(rand.NewPCG(s.seed, 0xa99))
	for _, n := range []*simNode{s.a, s.b} {
		if n.ep.cfg.Aggregate = rng.IntN(4) == 0; n.ep.cfg.Aggregate {
			s.class("aggregate")
		}
	}
}

// act starts the run: a dials, and the plot takes its course.
func (s *sim) act() {
	if s.plot != "" {
		s.class(s.plot)
	}
	s.actor = s.a
	dialAt := netsim.Start
	switch s.plot {
	case plotCollision:
		// Within one round trip of each other, give or take.
		apart := s.span(200 * time.Millisecond)
		if s.flip(3) {
			apart = 0
		}
		bAt := netsim.Start.Add(apart)
		if s.flip(2) {
			dialAt, bAt = bAt, dialAt
		}
		s.net.At(bAt, func() { s.b.dial(Time(bAt)) })
	case plotRestart:
		if !s.nat && s.flip(2) {
			s.actor = s.b
		}
		for range 1 + s.rng.IntN(2) {
			s.net.At(s.after(5*time.Second), func() {
				s.forget(s.actor)
				s.actor.dial(Time(s.net.Now()))
			})
		}
	case plotAmnesia:
		if s.flip(2) {
			s.actor = s.b
		}
		s.net.At(s.after(4*time.Second), func() { s.forget(s.actor) })
	case plotAbort:
		if s.flip(2) {
			s.actor = s.b
		}
		s.net.At(s.after(4*time.Second), func() {
			if s.actor.assoc != nil {
				s.actor.assoc.Abort(Time(s.net.Now()), wire.CauseUserAbort, simReason)
			}
		})
	}
	s.net.At(dialAt, func() { s.a.dial(Time(dialAt)) })
}

// forget is a crash: nothing is left of the endpoint but its configuration.
func (s *sim) forget(n *simNode) {
	now := Time(s.net.Now())
	other := n.want
	s.remembered = nil
	if other.up && !other.down && other.assoc.state == Established {
		s.remembered = other.assoc
	}
	n.ep = s.endpoint(n.name, n.ep.cfg, now)
	n.assoc, n.former, n.table = nil, nil, simTable{}
	n.up, n.down, n.err, n.ended, n.next = false, false, nil, false, 0
	n.got = newReceived()
}
