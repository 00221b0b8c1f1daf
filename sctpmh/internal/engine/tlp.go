package engine

import (
	"slices"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// minProbeTimeout is the least time that a tail loss probe waits: below it
// scheduling on both hosts, not the network, decides how long an answer takes.
const minProbeTimeout = 10 * time.Millisecond

// tailProbe is the tail loss probe of one path (RFC 8985 section 7, adapted):
// when the last chunks of a flight stay unanswered for two round trips, the
// earliest goes out again, over another path if there is one that works. So a
// message is late by little when its path dies, and the path's own timeout
// need not be awaited.
//
// Invariant: chunks that were in flight when a probe left cause no second one
// before data sent over the path is acknowledged.
type tailProbe struct {
	due   deadline
	sent  bool
	moved int // probes that took data elsewhere, since the path last delivered any
}

// maxMoved is how many probes in a row may take data off a path. They keep its
// own timer from ever expiring, so they have to judge it.
const maxMoved = 2

// armProbe arms the probe of a path with data in flight. It comes before
// T3-rtx or not at all.
func (p *path) armProbe(now Time) {
	t := &p.loss.probe
	t.due.stop()
	if p.loss.count == 0 || t.sent || !p.rto.measured || p.state != Active {
		return
	}
	if at := now.Add(p.pto()); at < p.loss.t3.at {
		t.due.set(at)
	}
}

// pto is the probe timeout (PTO, RFC 8985 section 7.2).
func (p *path) pto() time.Duration { return max(2*p.rto.srtt, minProbeTimeout) }

// sendProbe sends the earliest chunks in flight over p again, as many as fit
// one packet, and asks every path whether it lives.
func (a *Assoc) sendProbe(now Time, p *path) {
	p.loss.probe.due.stop()
	p.loss.probe.sent = true
	if p.loss.count == 0 || !a.maySendData() || len(a.replies) >= maxReplies {
		return
	}
	a.stats.TailProbes++
	q := a.alternate(p)
	if q.state != Active {
		q = p
	}
	if q != p {
		if p.loss.probe.moved++; p.loss.probe.moved > maxMoved {
			a.expireT3(now, p)
			return
		}
		a.askSilent(now, p)
	}
	// By the time p is given up it is known which of the others live.
	a.probeAll(now)
	q.cc.use(now, q.flight == 0, q.rto.rto, q.pmdcs(&a.cfg))
	// Ascending, as chunks of one packet have to be (RFC 9260 section 6.10).
	var tsns []wire.TSN
	size := commonHeader
	for t, n := p.loss.head, p.loss.count; n > 0; t, n = a.flight.at(t).next, n-1 {
		c := a.flight.at(t)
		if size += c.cost(); len(tsns) > 0 && (size > q.packetLimit(&a.cfg) || q == p) {
			break
		}
		tsns = append(tsns, t)
	}
	slices.SortFunc(tsns, func(t, u wire.TSN) int { return int(int32(t.Sub(u))) })
	restart := q == p || q.loss.count > 0 && tsns[0].Less(q.loss.head)
	b := a.beginPacket(nil, a.peer.tag)
	last := 0
	for _, t := range tsns {
		a.markLost(t)
		c := a.flight.at(t)
		c.retries++
		a.peer.rwnd = max(0, a.peer.rwnd-int(c.size))
		q.stats.retransmits++
		a.stats.Retransmits++
		a.flight.sent(now, t, q)
		last = len(b)
		b = a.appendData(b, t)
	}
	p.loss.probe.sent = p.loss.count > 0
	b[last+1] |= wire.FlagI
	wire.SetChecksum(b)
	q.lastSent = now
	q.armT3(now, restart) // section 6.1
	p.armT3(now, false)
	marks := oversize(len(b) > q.packetLimit(&a.cfg))
	marks.ECT = a.capable(q)
	a.replies = append(a.replies, packet{on: q.pair, b: b, data: true, marks: marks})
	a.rx.replied = false
}
