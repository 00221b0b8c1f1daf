package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// heartbeat is the probing of one path (RFC 9260 section 8.3) and, while it
// is unconfirmed, its verification (section 5.4).
//
// Invariant: one HEARTBEAT of a path is outstanding at most (HB.Max.Burst 1).
type heartbeat struct {
	next     deadline // send one
	timeout  deadline // the outstanding one is lost
	nonce    uint64   // of the outstanding one, 0: none
	repeats  int      // times that the same nonce was sent before: an answer measures nothing then
	sentAt   Time
	due      bool // to be built by Poll
	urgent   bool // it leaves although data is in flight
	answered bool // the peer asked: it takes data here by now
	invited  bool // the peer was heard over this path: not to probe it would be deaf
}

const nonceLen = 8

// newNonce draws a nonce; zero means none.
func newNonce(rng *rand.Rand) uint64 { return max(rng.Uint64(), 1) }

// probeNow has a HEARTBEAT leave over p at once.
func (a *Assoc) probeNow(now Time, p *path) {
	if !p.hb.timeout.armed {
		p.hb.next.set(now)
	}
}

// askSilent has a HEARTBEAT leave over p at once, though data is in flight that
// should have told whether it lives.
func (a *Assoc) askSilent(now Time, p *path) {
	p.hb.urgent = !p.hb.timeout.armed
	a.probeNow(now, p)
}

// heard notes a packet with our tag over a path that is not confirmed. The
// peer can send over it, so a probe goes back even when the address has used
// up its share: never more of them than there are such packets, and at most
// one in each hearInterval.
func (a *Assoc) heard(now Time, p *path) {
	at := now
	if p.hb.sentAt != 0 {
		// Soon after a probe it waits. To forget it would leave the path
		// unproved for seconds: the earlier probe may have come before the
		// peer permitted our address.
		at = max(now, p.hb.sentAt.Add(hearInterval))
	}
	p.hb.timeout.stop()
	p.hb.invited = true
	p.hb.next.set(at)
}

const hearInterval = 100 * time.Millisecond

// scheduleHeartbeat arms the next probe of a path: "RTO + HB.interval, with
// jittering of +/- 50% of the RTO value" (RFC 9260 section 8.3), without the
// interval while the path is in doubt, because that is how its return is
// noticed (RFC 7829 section 3, rule 2).
func (a *Assoc) scheduleHeartbeat(now Time, p *path) {
	rto := p.rto.rto
	wait := rto/2 + time.Duration(a.rng.Int64N(int64(rto)+1))
	if p.state != PotentiallyFailed {
		wait += a.cfg.HeartbeatInterval
	}
	if p.state == Inactive {
		wait = min(wait, a.cfg.RTOMax)
	}
	p.hb.next.set(now.Add(wait))
}

// probeTimeout is how long an answer is waited for. A path in doubt is asked
// again within a second, however far its RTO has been backed off: one small
// packet a second is little, and users see how long a link that is back stays
// unused.
func (p *path) probeTimeout() time.Duration {
	if p.state == PotentiallyFailed {
		return min(p.rto.rto, max(time.Second, 2*p.rto.srtt))
	}
	return p.rto.rto
}

// expireHeartbeat handles both deadlines of a path's probing.
func (a *Assoc) expireHeartbeat(now Time, p *path) {
	h := &p.hb
	if h.timeout.due(now) {
		h.timeout.stop()
		a.missedHeartbeat(now, p)
		a.scheduleHeartbeat(now, p)
		if p.state == PotentiallyFailed || !p.confirmed() && p.addr.probes < maxProbes {
			h.next.set(now) // the timeout was the wait
		}
	}
	if !h.next.due(now) {
		return
	}
	h.next.stop()
	switch {
	case a.state < Established || a.state >= ShutdownSent || h.timeout.armed:
		// Not the time for it; the answer to the outstanding one re-arms.
	case !p.confirmed() && !p.mayProbe(now):
		h.next.set(max(p.addr.quiet, now.Add(a.cfg.HeartbeatInterval)))
	case p.state == Active && p.flight > 0 && !h.urgent:
		a.scheduleHeartbeat(now, p) // not idle (RFC 9260 section 8.3)
	default:
		h.due = true
	}
}

// missedHeartbeat counts an unanswered probe: once for each RTO, which backs
// off, however often the path is asked; and not when the timer of data on the
// path has counted already, or will because the path is not silent.
func (a *Assoc) missedHeartbeat(now Time, p *path) {
	switch {
	case p.loss.expired >= p.hb.sentAt || p.loss.t3.armed && p.heardAt > p.hb.sentAt:
	case !p.confirmed():
		p.rto.backOff(&a.cfg)
	case p.errors == 0 || now.Sub(p.lastError) >= p.rto.rto:
		p.rto.backOff(&a.cfg)
		a.pathError(now, p, CauseProbe)
	}
}

// probeAll asks every proved path at once: the one in use fails. Those in doubt
// may be back, and others may have died with it.
func (a *Assoc) probeAll(now Time) {
	for _, p := range a.paths.all {
		switch {
		case p.state == PotentiallyFailed || p.state == Inactive:
			p.hb.timeout.stop() // it may be long
			p.hb.next.set(now)
		case p.state == Active && !p.hb.timeout.armed && p.flight == 0:
			p.hb.next.set(now)
		}
	}
}

// mayProbe reports whether an unconfirmed path may be probed now.
func (p *path) mayProbe(now Time) bool {
	return p.addr.mayProbe(now) || p.hb.invited
}

// pollHeartbeat builds the packet of one probe that is due.
func (a *Assoc) pollHeartbeat(now Time, buf []byte) ([]byte, Pair, bool) {
	for _, p := range a.paths.all {
		h := &p.hb
		if !h.due {
			continue
		}
		h.due = false
		if !p.confirmed() && !p.mayProbe(now) {
			// Another path to the same address took the last probe.
			h.next.set(p.addr.quiet)
			continue
		}
		h.invited, h.urgent = false, false
		if h.repeats++; p.confirmed() || h.nonce == 0 {
			// While it is not confirmed the nonce stays: a late answer proves
			// the path as well as a prompt one.
			h.nonce, h.repeats = newNonce(a.rng), 0
		}
		h.sentAt = now
		h.timeout.set(now.Add(p.probeTimeout()))
		p.lastSent = now
		p.addr.probed(now)
		a.stats.Heartbeats++
		b := a.beginPacket(buf, a.peer.tag)
		b = wire.AppendHeartbeat(b, wire.TypeHeartbeat, binary.BigEndian.AppendUint64(a.scratch[:0], h.nonce))
		return a.endPacket(b, len(buf), p), p.pair, true
	}
	return buf, Pair{}, false
}

// handleHeartbeat answers a probe over the pair it came by, once a packet
// (RFC 5062 section 8: one packet must not provoke many). The answer is no
// larger than the question. It says that data is welcome here, so a pair that
// is no path of ours, because its address is not permitted, gets none: the
// peer would otherwise send over it what is dropped (stricter than RFC 9260
// section 8.3, which answers everybody).
func (a *Assoc) handleHeartbeat(on Pair, p *path, c wire.Chunk) {
	if p != nil && a.state < ShutdownSent {
		p.hb.answered = true
		a.answerHeartbeat(on, c)
	}
}

// answerHeartbeat answers each HEARTBEAT of a packet, all in one packet, which
// is no larger.
func (a *Assoc) answerHeartbeat(on Pair, c wire.Chunk) {
	if p, _, ok := wire.NextParam(c.Value); !ok || p.Type != wire.ParamHeartbeatInfo {
		return
	}
	a.reply(on, func(b []byte) []byte {
		return wire.AppendChunk(b, wire.TypeHeartbeatAck, 0, c.Value)
	})
}

// handleHeartbeatAck proves a path. The nonce says which one, whatever pair
// the answer came by.
func (a *Assoc) handleHeartbeatAck(now Time, c wire.Chunk) {
	info, ok := wire.HeartbeatInfo(c)
	if !ok || len(info) != nonceLen {
		return
	}
	nonce := binary.BigEndian.Uint64(info)
	for _, p := range a.paths.all {
		if nonce != 0 && p.pmtu.nonce == nonce {
			a.sizePassed(now, p)
			return
		}
		if p.hb.nonce != nonce || nonce == 0 {
			continue
		}
		p.hb.nonce = 0
		p.hb.timeout.stop()
		p.quality.delivered()
		if p.hb.repeats == 0 {
			p.rto.sample(&a.cfg, now, now.Sub(p.hb.sentAt))
		}
		a.confirm(now, p)
		a.scheduleHeartbeat(now, p)
		if !p.rto.measured {
			a.probeNow(now, p) // its timeout would be the initial one
		}
		return
	}
}
