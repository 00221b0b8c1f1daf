package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// undo takes back a reduction of a path's window when everything that was
// taken for lost turns out to have been late only (RFC 9438 section 4.9; RFC
// 9260 has no such rule). A network that holds packets back for a moment, as
// mobile ones do, costs no speed.
//
// The proof is an acknowledgement that cannot answer a repetition alone: of a
// chunk that was not repeated yet; or sooner after its only repetition, over the
// same path, than that path ever answered; or with the report that both came
// (the Duplicate TSNs of RFC 9260 section 3.3.4, as in RFC 3708).
//
// Invariant: acquitted <= suspected.
type undo struct {
	event          lossEvent
	suspected      int // chunks taken for lost in the event
	acquitted      int // those of them that were late only
	cwnd, ssthresh int // before
	reno           reno
	cubic          cubic
}

// lossEvent numbers the reductions of a path's window, from 1.
type lossEvent uint32

// begin notes the state that a reduction of c is about to change.
func (u *undo) begin(c *congestion) {
	*u = undo{event: u.event + 1, cwnd: c.cwnd, ssthresh: c.ssthresh, reno: c.reno, cubic: c.cubic}
}

// suspect notes that the chunk of t, which was sent over p, was taken for lost
// and reduced p's window.
func (a *Assoc) suspect(t wire.TSN, p *path) {
	c := a.flight.at(t)
	c.lostOn, c.lossEvent = nil, 0
	if c.retries == 0 {
		c.lostOn, c.lossEvent = p, p.cc.undo.event
	}
	p.cc.undo.suspected++
}

// acquit looks for proof in the acknowledgement of a chunk.
func (a *Assoc) acquit(now Time, c *sentChunk) {
	p := c.lostOn
	if p == nil || c.lossEvent != p.cc.undo.event {
		return
	}
	switch {
	case c.retries == 0:
	case c.retries == 1 && c.doubled:
	case c.retries == 1 && c.path == p && now.Sub(c.sentAt) < p.rto.minRTT:
	default:
		return
	}
	c.lostOn = nil // once is enough, should the peer renege
	p.quality.lossRate = max(0, p.quality.lossRate-lossWeight)
	u := &p.cc.undo
	if u.acquitted++; u.acquitted == u.suspected {
		p.cc.undone()
		p.loss.late()
		a.stats.Undone++
	}
}

// noteDuplicates marks the chunks in flight that the peer has twice.
func (a *Assoc) noteDuplicates(s wire.Sack) {
	f := &a.flight
	for i := range s.NumDups() {
		if t := s.Dup(i); f.first.LessEq(t) && t.Less(f.next) {
			f.at(t).doubled = true
		}
	}
}

// undone goes back to before the last reduction.
func (c *congestion) undone() {
	u := &c.undo
	c.cwnd, c.ssthresh = max(c.cwnd, u.cwnd), max(c.ssthresh, u.ssthresh)
	c.reno, c.cubic = u.reno, u.cubic
	c.inRecovery, c.recovery = false, 0
}
