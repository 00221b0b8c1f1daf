package engine

import (
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// lossState finds what was lost on one path. It compares a chunk only with
// later ones over the same path, which takes away the reordering that several
// paths cause (RFC 8985, adapted; it stands for the miss indications of RFC
// 9260 section 7.2.4, that count across all paths), with T3-rtx as backstop.
type lossState struct {
	// The chunks in flight over this path, in the order they were sent.
	head, tail wire.TSN
	count      int

	// The most recently sent one that arrived (RFC 8985 section 6.2 step 2).
	ackedAt   Time
	ackedXmit xmitNum
	rtt       time.Duration

	reordered bool     // an earlier one arrived after a later one
	widened   int      // reordering windows added because chunks came even later
	recent    int      // loss events until that is forgotten
	later     int      // chunks that arrived though the head was sent before them
	t3        deadline // RFC 9260 section 6.3.2
	probe     tailProbe
	expired   Time     // when t3 last did
	single    bool     // after t3: one packet until data is acknowledged (RFC 9260 section 7.2.3)
	silent    bool     // overdue, see there, until something is acknowledged
	rush      bool     // one packet of what was lost may exceed the window (RFC 9260 section 7.2.4 rule 3)
	reorder   deadline // when the head becomes lost unless it arrives
}

// reorderPackets is how many later chunks may arrive before a missing one is
// lost without waiting for the reordering window (RFC 8985 section 6.2 step
// 4, DupThresh; the three miss indications of RFC 9260 section 7.2.4).
const reorderPackets = 3

// arrived notes that a chunk sent over this path was acknowledged.
func (l *lossState) arrived(now Time, c *sentChunk, minRTT time.Duration) {
	l.silent = false
	rtt := now.Sub(c.sentAt)
	if c.retries > 0 && rtt < minRTT {
		return // it answers an earlier transmission
	}
	if c.xmit < l.ackedXmit {
		if c.retries == 0 {
			l.reordered = true
		}
		return
	}
	l.ackedAt, l.ackedXmit, l.rtt = c.sentAt, c.xmit, rtt
	l.later++
}

// reorderWindow is how late a chunk may be against those sent after it (RFC
// 8985 section 6.2 step 4).
func (l *lossState) reorderWindow(r *rtoState) time.Duration {
	if !l.reordered && l.later >= reorderPackets {
		return 0
	}
	return max(min(time.Duration(1+l.widened)*r.minRTT/4, r.srtt), clockGranularity)
}

// widenedFor is how many loss events the reordering window stays widened (RFC
// 8985 section 6.2 step 4, reo_wnd_persist).
const widenedFor = 16

// late widens the reordering window: what was taken for lost was not.
func (l *lossState) late() {
	l.reordered = true
	l.widened++
	l.recent = widenedFor
}

// calm narrows it after enough true losses.
func (l *lossState) calm() {
	if l.recent > 0 {
		if l.recent--; l.recent == 0 {
			l.widened = 0
		}
	}
}

// detectLoss marks the chunks of a path that are overdue against later ones
// (RFC 8985 section 6.2 step 5).
func (a *Assoc) detectLoss(now Time, p *path) {
	l := &p.loss
	l.reorder.stop()
	allowed := l.rtt + l.reorderWindow(&p.rto)
	for l.count > 0 {
		c := a.flight.at(l.head)
		if c.xmit > l.ackedXmit {
			break
		}
		if due := c.sentAt.Add(allowed); now.Before(due) {
			l.reorder.set(due)
			return
		}
		if p.cc.lost(now, c.xmit, a.flight.xmits+1, p.pmdcs(&a.cfg)) {
			l.calm()
			l.rush = true
		}
		a.stats.FastRetransmits++
		t := l.head
		if c.retries >= staleRepeats && commonHeader+c.cost() > p.base()-a.cfg.SealRoom {
			a.suspectSize(now, p)
		}
		a.markLost(t)
		a.suspect(t, p)
		a.lostOn(now, p)
	}
	l.later = 0 // nothing in flight was sent before what arrived
}

// armT3 keeps the rule that outstanding data implies an armed timer (RFC 9260
// section 6.3.2). restart says that the earliest outstanding chunk was
// acknowledged (rule R3).
func (p *path) armT3(now Time, restart bool) {
	l := &p.loss
	switch {
	case l.count == 0:
		l.t3.stop()
		l.probe.due.stop()
		l.reorder.stop()
	case restart || !l.t3.armed:
		l.t3.set(now.Add(p.rto.rto))
	}
}

// loseFlight marks everything in flight over a path for retransmission.
func (a *Assoc) loseFlight(now Time, p *path) {
	for p.loss.count > 0 {
		a.markLost(p.loss.head)
	}
	p.armT3(now, false)
}

// markLost has a chunk in flight sent again. The peer has not used the room
// for it (RFC 9260 section 6.2.1 rule C).
func (a *Assoc) markLost(t wire.TSN) {
	a.flight.markLost(t)
	a.peer.rwnd += int(a.flight.at(t).size)
}

// mayRush reports whether a packet may exceed the window.
func (l *lossState) mayRush(f *inflightRing) bool { return l.rush && f.lostCount > 0 }

// expireT3 handles the retransmission timeout of a path (RFC 9260 section
// 6.3.3): what is outstanding is sent again, over another path if there is a
// better one now, the window and the timeout start over.
func (a *Assoc) expireT3(now Time, p *path) {
	p.loss.expired = now
	p.rto.backOff(&a.cfg)
	a.stats.Timeouts++
	if a.peer.windowProbe && a.peer.lastSack >= p.lastSent {
		// The peer answers but has no room. That is not the path's fault
		// (RFC 9260 section 6.1 rule A).
		a.loseFlight(now, p)
		return
	}
	p.cc.timeout(now, p.pmdcs(&a.cfg))
	p.ecnOff = p.ecnOff || !p.delivered
	a.suspectSize(now, p)
	for p.loss.count > 0 {
		t := p.loss.head
		a.markLost(t)
		if a.flight.at(t).retries == 0 { // what a tail loss probe repeated proves nothing
			a.suspect(t, p)
		}
	}
	p.armT3(now, false)
	p.loss.probe.sent = false
	p.loss.single = true
	p.stalls++
	a.pathError(now, p, CauseTimeout)
}
