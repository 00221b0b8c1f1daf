package engine

import (
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// ackState gathers what one SACK or SHUTDOWN changed, path by path.
type ackState struct {
	paths    []pathAck
	advanced bool // the cumulative TSN moved
	progress bool // something was acknowledged for the first time
}

// pathAck is what was newly acknowledged of one path.
type pathAck struct {
	path     *path
	octets   int
	flight   int     // before the SACK
	head     bool    // the earliest outstanding chunk is among them
	sample   xmitNum // latest chunk sent only once: it measures the round trip
	sampleAt Time
	proof    bool    // of a chunk sent over this path only (RFC 7829 section 3.2)
	latest   xmitNum // the latest transmission acknowledged
}

// of returns the record of a path.
func (k *ackState) of(p *path) *pathAck {
	for i := range k.paths {
		if k.paths[i].path == p {
			return &k.paths[i]
		}
	}
	k.paths = append(k.paths, pathAck{path: p, flight: p.flight})
	return &k.paths[len(k.paths)-1]
}

// handleSack applies a SACK (RFC 9260 section 6.2.1). It is checked whole
// before any of it is applied: an acknowledgement of something never sent is
// an attack on the congestion window, or a broken peer, and ends the
// association (RFC 5062 section 5).
func (a *Assoc) handleSack(now Time, by *path, c wire.Chunk) {
	if !a.maySendData() {
		return // nothing waits for one before and after (section 6)
	}
	s, ok := wire.ParseSack(c)
	if !ok || !s.Valid() {
		a.stats.Malformed++
		return
	}
	if s.CumTSN.Less(a.flight.first.Add(^uint32(0))) {
		return // "drop the SACK chunk": it was overtaken by a later one (rule i)
	}
	highest := s.CumTSN
	if n := s.NumGaps(); n > 0 {
		highest = s.CumTSN.Add(uint32(s.Gap(n - 1).End))
	}
	if !highest.Less(a.flight.next) {
		a.abort(now, wire.CauseProtocolViolation, "SACK of a TSN that was never sent")
		return
	}
	a.peer.lastSack = now
	a.ack = ackState{paths: a.ack.paths[:0]}
	a.noteDuplicates(s)
	a.ackCumulative(now, s.CumTSN)
	reported := 0
	for i := range s.NumGaps() {
		g := s.Gap(i)
		reported += int(g.End-g.Start) + 1
		for t, end := s.CumTSN.Add(uint32(g.Start)), s.CumTSN.Add(uint32(g.End)); t.LessEq(end); t = t.Add(1) {
			a.ackChunk(now, t, a.flight.at(t), false)
		}
	}
	a.peer.sacks.note(now, by)
	less := reported != a.flight.ackedCount
	late := less && a.overtaken(now, by)
	if less && !late {
		a.reneged(s)
	}
	a.applyAck(now)
	if late && s.NumGaps() < fewGaps {
		return // the window that it announces is no more
	}
	a.peer.rwnd = max(0, int(s.ARwnd)-a.flight.payload)
	a.peer.windowProbe = a.peer.windowProbe && a.peer.rwnd == 0
	if a.peer.rwnd > 0 {
		a.peer.probe.stop()
	}
	a.advanceShutdown(now)
}

// ackCumulative frees everything up to and including cum.
func (a *Assoc) ackCumulative(now Time, cum wire.TSN) {
	f := &a.flight
	for f.len() > 0 && f.first.LessEq(cum) {
		c := f.at(f.first)
		a.ackChunk(now, f.first, c, true)
		a.out.buffered -= int(c.size)
		f.free()
		a.ack.advanced = true
	}
}

// ackChunk notes that one chunk arrived, unless that is known already.
func (a *Assoc) ackChunk(now Time, t wire.TSN, c *sentChunk, cumulative bool) {
	if c.state == acked {
		return
	}
	p := c.path
	k := a.ack.of(p)
	a.ack.progress = true
	k.head = k.head || c.state == inFlight && p.loss.head == t
	k.octets += c.cost()
	// Of data that left before the path was given up it says nothing that is
	// new: it may have arrived just before the path died. Nor does it prove one
	// that was forgotten meanwhile.
	k.proof = k.proof || !c.scattered && p.confirmed() && (p.errors == 0 || c.sentAt >= p.lastError)
	// One that waited behind a repetition for the cumulative TSN measures
	// nothing (section 6.3.1 rule C5).
	if c.retries == 0 && c.xmit > k.sample && (!cumulative || c.sentAt >= a.flight.repeatedAt) {
		k.sample, k.sampleAt = c.xmit, c.sentAt
	}
	k.latest = max(k.latest, c.xmit)
	p.loss.arrived(now, c, p.rto.minRTT)
	if c.state == inFlight {
		p.delivered = p.delivered || c.xmit > a.hs.early.xmit
		a.deliveredOn(now, p)
	}
	p.cc.ackedXmit(c.xmit)
	a.acquit(now, c)
	a.flight.markAcked(t)
}

// reneged has chunks sent again that an earlier gap report named and this one
// does not: "the data receiver might have dropped" them (rule iii of section
// 6.2.1). The holes between the reports are walked; they lie within what is
// in flight.
func (a *Assoc) reneged(s wire.Sack) {
	t := s.CumTSN.Add(1)
	for i := range s.NumGaps() {
		g := s.Gap(i)
		a.unackRange(t, s.CumTSN.Add(uint32(g.Start)))
		t = s.CumTSN.Add(uint32(g.End) + 1)
	}
	if s.NumGaps() < fewGaps {
		a.unackRange(t, a.flight.next) // a longer report may end where its packet did
	}
}

// sackOrder knows whether SACKs come by several paths, so that one may overtake
// another.
type sackOrder struct {
	by     *path // the last one came by it
	turned Time  // when they last came by another, 0: never
}

func (o *sackOrder) note(now Time, by *path) {
	if o.by != nil && by != o.by {
		o.turned = now
	}
	o.by = by
}

// overtaken reports whether a SACK that says less than is known may have been
// sent before one that has arrived, and so is no proof of reneging. One that
// moves the cumulative TSN was not; nor was one that leaves it just below what
// another reported.
func (a *Assoc) overtaken(now Time, by *path) bool {
	o := &a.peer.sacks
	recent := o.turned != 0 && (by == nil || now.Sub(o.turned) < 2*by.rto.srtt+minVariance)
	return recent && !a.ack.advanced && a.flight.at(a.flight.first).state != acked
}

// fewGaps is a number of reports that fits every SACK.
const fewGaps = 100

func (a *Assoc) unackRange(from, to wire.TSN) {
	for t := from; t.Less(to); t = t.Add(1) {
		if a.flight.at(t).state == acked {
			a.flight.unack(t)
		}
	}
}

// applyAck draws the consequences for every path that had chunks
// acknowledged.
func (a *Assoc) applyAck(now Time) {
	if !a.ack.progress {
		return
	}
	a.assocErrors = 0 // "the counter SHOULD be reset each time a DATA chunk sent to that peer endpoint is acknowledged" (section 8.1)
	a.stall.progressed(now)
	a.flushStall()
	for i := range a.ack.paths {
		k := &a.ack.paths[i]
		p := k.path
		var rtt time.Duration
		if k.sample != 0 {
			rtt = now.Sub(k.sampleAt)
			p.rto.sample(&a.cfg, now, rtt)
		}
		if k.proof {
			p.stalls = 0
			p.loss.probe.moved = 0
			if p.state != Active || p.errors > 0 {
				a.pathWorks(now, p)
			}
		}
		p.cc.ack(now, ackedData{
			octets: k.octets, flight: k.flight, rtt: rtt, srtt: p.rto.srtt, xmit: k.latest, next: a.flight.xmits + 1,
		}, p.pmdcs(&a.cfg))
		p.loss.single = false
		a.detectLoss(now, p)
		p.armT3(now, k.head)
		p.loss.probe.sent = false
		p.armProbe(now)
	}
}
