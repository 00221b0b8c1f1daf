package engine

import "fmt"

// Check returns the first invariant that does not hold, for simulations and
// fuzzing to call after every step and Poll.
func (a *Assoc) Check() error {
	for _, check := range []func() error{a.checkFlight, a.checkTimers, a.checkReceive, a.checkPaths} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkFlight compares every path's flight with its chunks and the counters
// of the ring with their states.
func (a *Assoc) checkFlight() error {
	f := &a.flight
	flight := make([]int, len(a.paths.all))
	payload, lostCount, ackedCount, buffered := 0, 0, 0, a.out.unsent
	for t := f.first; t != f.next; t = t.Add(1) {
		c := f.at(t)
		buffered += int(c.size)
		if c.path == nil && a.Established() {
			return fmt.Errorf("TSN %d is on no path", t)
		}
		switch c.state {
		case inFlight:
			payload += int(c.size)
			for i, p := range a.paths.all {
				if p == c.path {
					flight[i] += c.cost()
				}
			}
		case lost:
			lostCount++
		case acked:
			ackedCount++
		}
	}
	for i, p := range a.paths.all {
		if p.flight != flight[i] {
			return fmt.Errorf("flight of %v is %d, its chunks are %d", p.pair, p.flight, flight[i])
		}
		if u := &p.cc.undo; u.acquitted > u.suspected {
			return fmt.Errorf("path %v: %d of %d losses undone", p.pair, u.acquitted, u.suspected)
		}
		if p.flight < 0 || p.cc.cwnd < basePacket-commonHeader-maxSealRoom {
			return fmt.Errorf("path %v: flight %d, cwnd %d", p.pair, p.flight, p.cc.cwnd)
		}
	}
	if payload != f.payload || lostCount != f.lostCount || ackedCount != f.ackedCount || buffered != a.out.buffered {
		return fmt.Errorf("in flight: payload %d counted %d, lost %d counted %d, acked %d counted %d, buffered %d counted %d",
			f.payload, payload, f.lostCount, lostCount, f.ackedCount, ackedCount, a.out.buffered, buffered)
	}
	if f.len() > 0 && f.at(f.first).state == acked {
		return fmt.Errorf("TSN %d is first in flight and acknowledged", f.first)
	}
	return nil
}

// checkTimers finds data that nothing would ever send again.
func (a *Assoc) checkTimers() error {
	if a.state == Closed {
		return nil
	}
	for _, p := range a.paths.all {
		if (p.loss.count > 0) != p.loss.t3.armed {
			return fmt.Errorf("path %v: %d chunks in flight, T3 armed %v", p.pair, p.loss.count, p.loss.t3.armed)
		}
	}
	if _, armed := a.NextDeadline(); !armed && !a.hs.due {
		return fmt.Errorf("state %d without a deadline", a.state)
	}
	if a.state >= Established && a.outstanding() && a.maySendData() {
		for _, p := range a.paths.all {
			if p.loss.t3.armed || p.pacer.wait.armed {
				return nil
			}
		}
		if a.peer.probe.armed {
			return nil
		}
		return fmt.Errorf("%d octets wait and no T3 is armed", a.out.buffered)
	}
	return nil
}

// checkReceive compares what is held with the window, and the order of gaps.
func (a *Assoc) checkReceive() error {
	held := 0
	for _, m := range a.reasm.ready[a.reasm.head:] {
		held += m.cost
	}
	if held > a.reasm.held {
		return fmt.Errorf("messages for the user hold %d of %d octets", held, a.reasm.held)
	}
	if limit := 2*a.cfg.ReceiveBuffer + maxPMTU + chunkCost; a.reasm.held > limit {
		return fmt.Errorf("%d octets held, limit %d", a.reasm.held, limit)
	}
	prev := a.rcv.cum
	for _, g := range a.rcv.gaps {
		if !prev.Add(1).Less(g.first) || g.last.Less(g.first) {
			return fmt.Errorf("gap %d-%d after %d", g.first, g.last, prev)
		}
		prev = g.last
	}
	return nil
}

// checkPaths keeps data off paths that were not proved, and finds paths that
// nobody may use, or may and does not.
func (a *Assoc) checkPaths() error {
	if p := a.paths.current; p != nil && !p.confirmed() {
		return fmt.Errorf("data path %v is not confirmed", p.pair)
	}
	for _, p := range a.paths.all {
		if a.Established() && p.withdrawn() == a.mayUse(p.pair) {
			return fmt.Errorf("path %v: withdrawn %v, may be used %v", p.pair, p.withdrawn(), a.mayUse(p.pair))
		}
		if m := &p.pmtu; m.size < p.base() || m.high < m.size || m.high > p.largest(&a.cfg) {
			return fmt.Errorf("path %v: packets of %d octets pass, none above %d", p.pair, m.size, m.high)
		}
		if !p.confirmed() && p.flight > 0 {
			return fmt.Errorf("%d octets in flight over %v, which is not confirmed", p.flight, p.pair)
		}
	}
	return nil
}
