package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// shutdownState is the graceful end of an association (RFC 9260 section 9.2).
//
//	we began:    ShutdownPending -> ShutdownSent -> Closed
//	peer began:  ShutdownReceived --our Shutdown--> ShutdownAckSent -> Closed
//	both began:  ShutdownSent -> ShutdownAckSent -> Closed
type shutdownState struct {
	requested bool
	due       bool     // the chunk of the present state is to be sent
	t2        deadline // T2-shutdown: send it again
	sentAt    Time     // the last one
	guard     deadline // T5-shutdown-guard: give up
	path      *path    // the last one took it
	from      *path    // the peer's SHUTDOWN came by it
}

// Shutdown ends the association once everything sent has been acknowledged.
// Nothing more can be sent; what the peer sends still arrives. After
// EventPeerShutdown it says that the user has nothing more to send either.
func (a *Assoc) Shutdown(now Time) {
	if a.state == Closed || a.shut.requested {
		return
	}
	a.shut.requested = true
	switch a.state {
	case CookieWait, CookieEchoed:
		a.abort(now, wire.CauseUserAbort, "shut down before the handshake ended")
	case Established:
		a.state = ShutdownPending
		a.advanceShutdown(now)
	case ShutdownReceived:
		a.advanceShutdown(now)
	}
}

// advanceShutdown takes the step that waits for the last acknowledgement.
func (a *Assoc) advanceShutdown(now Time) {
	if a.outstanding() || !a.shut.requested {
		return
	}
	switch a.state {
	case ShutdownPending:
		a.enterShutdown(now, ShutdownSent)
	case ShutdownReceived:
		a.enterShutdown(now, ShutdownAckSent)
	}
}

const shutdownLen = 8

func (a *Assoc) enterShutdown(now Time, st State) {
	a.state = st
	a.shut.due = true
	if !a.shut.guard.armed {
		// "5 times 'RTO.Max'".
		a.shut.guard.set(now.Add(5 * a.cfg.RTOMax))
	}
}

// pollShutdown builds the packet with the shutdown chunk that is due.
func (a *Assoc) pollShutdown(now Time, buf []byte) ([]byte, Pair, bool) {
	if !a.shut.due {
		return buf, Pair{}, false
	}
	a.shut.due = false
	p := a.paths.current
	if f := a.shut.from; a.state == ShutdownAckSent && f != nil && f.state == Active {
		p = f // where the question came from (section 6.4)
	}
	a.shut.path = p
	a.shut.sentAt = now
	a.shut.t2.set(now.Add(p.rto.rto))
	b := a.beginPacket(buf, a.peer.tag)
	if a.state == ShutdownSent {
		if a.sack.pending() && len(a.rcv.gaps) > 0 {
			b = a.appendSack(b, p, a.cfg.packetLimit()-commonHeader-shutdownLen) // SHUTDOWN cannot name gaps (section 9.2)
		}
		b = wire.AppendShutdown(b, a.rcv.cum)
	} else {
		b = wire.AppendChunk(b, wire.TypeShutdownAck, 0, nil)
	}
	return a.endPacket(b, len(buf), p), p.pair, true
}

// expireShutdown handles T2 and T5.
func (a *Assoc) expireShutdown(now Time) {
	if a.shut.guard.due(now) {
		a.sendAbort(wire.AppendCause(nil, wire.CauseUserAbort, []byte("shutdown took too long")))
		a.fail(now, &TimeoutError{Op: "shutdown", Tried: a.confirmedPairs()})
		return
	}
	if a.shut.t2.due(now) {
		a.shut.t2.stop()
		a.shut.due = true
		a.shut.from = nil // another path than last time, if that is in doubt
		p := a.shut.path
		p.rto.backOff(&a.cfg)
		a.pathError(now, p, CauseTimeout)
	}
}

// handleShutdown takes the peer's SHUTDOWN: it has nothing more to send.
func (a *Assoc) handleShutdown(now Time, p *path, c wire.Chunk) {
	a.shut.from = p
	cum, ok := wire.ParseShutdown(c)
	if !ok {
		a.stats.Malformed++
		return
	}
	switch a.state {
	case Established, ShutdownPending:
		a.state = ShutdownReceived
		a.events.push(Event{Kind: EventPeerShutdown})
	case ShutdownReceived:
	case ShutdownSent:
		// Both ends began: answer as if we had not.
		a.enterShutdown(now, ShutdownAckSent)
		a.events.push(Event{Kind: EventPeerShutdown})
		return
	case ShutdownAckSent:
		a.shut.due = true
		return
	default:
		return
	}
	if !cum.Less(a.flight.next) {
		a.abort(now, wire.CauseProtocolViolation, "SHUTDOWN acknowledges a TSN that was never sent")
		return
	}
	a.ack = ackState{paths: a.ack.paths[:0]}
	a.ackCumulative(now, cum)
	if f := &a.flight; f.len() > 0 && f.at(f.first).state == acked {
		f.unack(f.first) // an earlier SACK said that it arrived, and this would have had to say so too
	}
	a.applyAck(now)
	a.advanceShutdown(now)
}

// handleShutdownAck ends the association; the answer tells the peer that it
// may forget it too.
func (a *Assoc) handleShutdownAck(now Time, on Pair) {
	if a.state != ShutdownSent && a.state != ShutdownAckSent {
		return
	}
	if p := a.paths.find(on); p == nil || !p.confirmed() {
		on = a.paths.current.pair
	}
	if last := len(a.replies) - 1; a.rx.replied {
		a.replies = a.replies[:last] // it goes alone (section 3.3.13)
		a.rx.replied = false
	}
	a.reply(on, func(b []byte) []byte {
		return wire.AppendChunk(b, wire.TypeShutdownComplete, 0, nil)
	})
	a.close(nil)
}

func (a *Assoc) handleShutdownComplete() {
	if a.state == ShutdownAckSent {
		a.close(nil)
	}
}
