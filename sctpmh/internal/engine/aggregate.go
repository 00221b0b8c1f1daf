package engine

import (
	"slices"
	"time"
)

// All paths at once: one association's DATA spread over its paths (concurrent
// multipath transfer). What that breaks in a stack made for one path at a time
// is kept whole elsewhere: chunks are compared with later ones of the same path
// only (detectLoss), windows grow by what was acknowledged of their path
// (applyAck), and gaps, which are the rule here, hurry no SACK (mixed). Left is
// the choice of a path for each packet.

// fewChunks is how many chunks in flight over a path are acknowledged soon
// enough without being asked for when all paths are in use. Gaps make SACKs long
// then.
const fewChunks = 2 * sackEvery

// member reports whether new data may be spread over a path. One that came back
// has to stay for a while first, unless it had but lost the last chunks before
// the window closed, which with paths that wait for each other is an everyday
// event; and one that loses much would hold up what the others carry. The peer
// drops data over a path that it has not proved yet; by its own probe it does.
func (a *Assoc) member(p *path) bool {
	q := &p.quality
	return p.state == Active && p.rto.measured && !p.withdrawn() && !q.lossy &&
		(p == a.paths.current || (p.delivered || p.hb.answered) && (q.brief || !q.hold.armed))
}

// SetAggregate has data take all paths at once, or one at a time.
func (a *Assoc) SetAggregate(on bool) { a.cfg.Aggregate = on }

// inUse reports whether new data leaves over a path.
func (a *Assoc) inUse(p *path) bool {
	return p == a.paths.current || a.cfg.Aggregate && a.member(p)
}

// dataPath returns the path for the next packet with DATA and what its first
// chunk costs there, nil when nothing may leave now.
func (a *Assoc) dataPath(now Time) (p *path, cost int) {
	if a.cfg.Aggregate {
		var room [maxPaths]*path
		if paths := a.soonest(now, room[:0]); len(paths) > 0 {
			return a.spread(now, paths)
		}
	}
	return a.offer(now, a.paths.current)
}

// offer returns p if a packet with DATA may leave over it now.
func (a *Assoc) offer(now Time, p *path) (*path, int) {
	if p == nil {
		return nil, 0
	}
	if cost, ok := a.nextChunk(now, p); ok && a.admits(now, p) {
		return p, cost
	}
	return nil, 0
}

// soonest appends the members that are not overdue, those with the shortest
// round trip first.
func (a *Assoc) soonest(now Time, paths []*path) []*path {
	for _, p := range a.paths.all {
		if !a.member(p) || a.overdue(now, p) {
			continue
		}
		i := len(paths)
		for i > 0 && p.rto.srtt < paths[i-1].rto.srtt {
			i--
		}
		paths = slices.Insert(paths, i, p)
	}
	return paths
}

// spread returns the first path with room over which a packet is expected to
// arrive sooner than it would after waiting for those before it.
func (a *Assoc) spread(now Time, paths []*path) (*path, int) {
	a.mend(now, paths[0])
	sooner := 0 // octets a second, of the paths before p
	for _, p := range paths {
		if p != paths[0] && !a.worthwhile(p, paths[0], sooner) {
			break // the paths after it are slower still
		}
		if q, cost := a.offer(now, p); q != nil {
			return q, cost
		}
		sooner += p.rate()
	}
	return nil, 0
}

// mend has what another path still carries sent again over the best one when
// everything waits for it and the best path could do something about that: the
// earliest chunk of all while the peer's window is full of what came after it,
// and what an overdue path carries, but for its last chunk, whose T3-rtx is left
// to judge the path.
func (a *Assoc) mend(now Time, best *path) {
	if a.flight.lostCount > 0 || best.flight >= best.cc.cwnd {
		return
	}
	full := a.out.unsent > 0 && a.peer.rwnd < basePacket
	for _, q := range a.paths.all {
		l := &q.loss
		if q == best || l.count == 0 || a.flight.at(l.head).xmit > best.loss.ackedXmit {
			continue
		}
		if full && l.head == a.flight.first || l.count > 1 && a.overdue(now, q) {
			a.markLost(l.head)
			q.armT3(now, false)
			return
		}
	}
}

// rate is what the window lets out in a second, in octets.
func (p *path) rate() int { return int(int64(p.cc.cwnd) * int64(time.Second) / int64(p.rto.srtt)) }

// worthwhile reports whether data may leave over p although sooner paths, of
// which first is the best, have a rate but no room just now:
//
//   - They would not have sent all that waits, and have it arrive, before it
//     arrives over p. The end of a message must not be what a slow path still
//     carries.
//   - What they send until a loss on p was found and mended fits the buffers at
//     both ends. Otherwise the window would close for want of what p carries,
//     and the sooner paths would stand still.
func (a *Assoc) worthwhile(p, first *path, sooner int) bool {
	trip := p.trip()
	if later := (trip - first.trip()) / 2; a.backlog() < octetsIn(later, sooner) {
		return false
	}
	if p.cc.cwnd <= p.cc.ssthresh {
		trip *= 2 // its queue grows as fast as its window
	}
	held := a.out.buffered - a.out.unsent
	return octetsIn(2*trip, sooner) <= min(a.peer.rwnd+held, a.cfg.SendBuffer)
}

// overdue reports whether a path is silent for longer than its round trip. It
// may be dead: until it has answered it gets no more, and nobody waits for it.
func (a *Assoc) overdue(now Time, p *path) bool {
	l := &p.loss
	l.silent = l.count > 0 && (l.silent || now.Sub(a.flight.at(l.head).sentAt) > p.trip()*3/2+clockGranularity)
	return l.silent
}

// trip is how long a packet that leaves now is expected to take there and back.
// The smoothed round trip follows a queue that grows too slowly.
func (p *path) trip() time.Duration {
	if p.flight == 0 {
		return p.rto.srtt
	}
	return max(p.rto.srtt, p.loss.rtt)
}

// octetsIn is what a rate makes of a time.
func octetsIn(d time.Duration, rate int) int { return int(d.Seconds() * float64(rate)) }

// backlog is about how many octets wait to leave: what was lost, which goes
// first, or what is new.
func (a *Assoc) backlog() int {
	if a.flight.lostCount > 0 {
		return a.flight.lostCount * basePacket
	}
	return a.out.unsent
}
