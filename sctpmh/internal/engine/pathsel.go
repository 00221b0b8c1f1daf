package engine

// Which path new data takes. There is one at a time; it stays until it fails
// or the user prefers another, so that a path that comes and goes moves the
// traffic at most once.

// reselect chooses the path for new data after something was learnt of one.
func (a *Assoc) reselect(now Time, cause FailoverCause) {
	from, to := a.paths.current, a.choosePath()
	if to == from || to == nil {
		return
	}
	a.paths.current = to
	if from != nil {
		a.stall.moved(now, from.pair, to.pair, cause, a.outstanding())
		a.flushStall()
	}
}

// choosePath returns the path that new data should take: the preferred one
// while it is active, and has been for a while, else the present one while
// nothing is better, else the best. It is nil before any path is confirmed.
func (a *Assoc) choosePath() *path {
	s := &a.paths
	if p := s.primary; p != nil && p.state == Active && !p.withdrawn() && !p.quality.lossy && (p == s.current || !p.quality.hold.armed) {
		return p
	}
	best := a.alternate(s.current)
	if s.current != nil && !best.better(s.current) {
		return s.current
	}
	return best
}

// better reports whether p is worth leaving q for. Among paths that are all
// in doubt the one with fewer errors is tried (RFC 7829 section 3, rule 4);
// equals are not exchanged.
func (p *path) better(q *path) bool {
	if p.state == Inactive && q.state == Inactive {
		return p.errors < q.errors
	}
	if p.state != q.state {
		return p.state > q.state
	}
	if p.withdrawn() != q.withdrawn() {
		return !p.withdrawn()
	}
	if p.state == Active {
		// Both answer probes. One that loses data all the same is left for
		// one that does so less.
		if p.quality.lossy != q.quality.lossy {
			return q.quality.lossy
		}
		return p.stalls < q.stalls && !p.quality.lossy
	}
	return p.errors < q.errors
}

// lostOn notes the loss of a packet on a path, deliveredOn that one arrived. A
// loss says something of the path only while the window is small: above that it
// is mostly the window's own doing, half of it at the end of slow start.
func (a *Assoc) lostOn(now Time, p *path) {
	if p.cc.cwnd <= lossyWindow*p.pmdcs(&a.cfg) && p.quality.lost() {
		if a.cfg.Aggregate {
			p.quality.suspend(now)
		}
		a.reselect(now, CauseLoss)
	}
}

func (a *Assoc) deliveredOn(now Time, p *path) {
	if p.quality.delivered() {
		a.reselect(now, CauseLoss)
	}
}

// alternate returns the best confirmed path other than p, or p when there is
// none. Among equals it is the one that the peer was heard over last: paths
// share links in ways that addresses do not show, and when one dies those with
// it fall silent, while the peer may have moved to another already.
func (a *Assoc) alternate(p *path) *path {
	var best *path
	for _, q := range a.paths.all {
		if q == p || !q.confirmed() {
			continue
		}
		if best == nil || q.better(best) || !best.better(q) && q.heardAt > best.heardAt {
			best = q
		}
	}
	if best == nil {
		return p
	}
	return best
}

// SetPrimary prefers the confirmed path on pair for new data as long as it is
// active. It reports whether there is such a path.
func (a *Assoc) SetPrimary(now Time, on Pair) bool {
	p := a.paths.find(on)
	if p == nil || !p.confirmed() {
		return false
	}
	a.paths.primary = p
	a.reselect(now, CauseCommand)
	return true
}

// stallState measures what a failover cost.
type stallState struct {
	progress Time // last acknowledgement of new data, or send after idleness
	pending  Failover
	open     bool
	done     bool
}

// moved notes that new data leaves over another path from now on.
func (s *stallState) moved(now Time, from, to Pair, cause FailoverCause, waiting bool) {
	if s.open {
		s.pending.To = to // a further move before any progress is one failover
		return
	}
	s.pending = Failover{At: now, From: from, To: to, Cause: cause}
	s.open = true
	s.done = !waiting
}

// progressed notes that new data was acknowledged.
func (s *stallState) progressed(now Time) {
	if s.open && !s.done {
		s.pending.Stall = now.Sub(s.progress)
		s.done = true
	}
	s.progress = now
}

// flushStall reports a failover whose cost is known.
func (a *Assoc) flushStall() {
	if s := &a.stall; s.open && s.done {
		s.open, s.done = false, false
		if s.pending.From != s.pending.To {
			a.stats.Failovers++
			a.events.push(Event{Kind: EventFailover, Failover: s.pending})
		}
	}
}
