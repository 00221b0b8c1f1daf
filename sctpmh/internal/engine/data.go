package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// handleData takes one DATA chunk (RFC 9260 section 6.2).
func (a *Assoc) handleData(now Time, p *path, c wire.Chunk) {
	switch a.state {
	case Established, ShutdownPending, ShutdownSent:
	default:
		return
	}
	if p == nil || !p.confirmed() {
		// It came from where nothing was proved yet: the peer sends it
		// again over a path that was. Stricter than RFC 9260.
		a.stats.Unconfirmed++
		return
	}
	d, ok := wire.ParseData(c)
	if !ok {
		a.stats.Malformed++
		return
	}
	if len(d.Payload) == 0 {
		// "MUST send an ABORT chunk with a No User Data" (section 6.2).
		a.abortCause(now, wire.CauseNoUserData, wire.AppendNoUserData(nil, d.TSN), "DATA chunk without user data")
		return
	}
	a.rx.data = true
	if a.rx.marked {
		a.noteMark(d.TSN)
	}
	a.rx.immediate = a.rx.immediate || d.Immediate
	switch a.rcv.classify(d.TSN) {
	case arrivedAgain:
		a.rcv.again(d.TSN)
		a.sack.repeated = true
		if q := a.sack.last; q != nil && q.state == Active {
			a.probeNow(now, q) // our SACKs may vanish: a path that only receives has no other way to find out
		}
		a.rx.immediate = true
		a.stats.Duplicates++
		return
	case arrivedTooFar:
		a.stats.Dropped++
		return
	}
	if !a.hasRoom(&d) {
		a.rx.immediate = true // tells the peer what the window is
		a.stats.Dropped++
		return
	}
	// A hole is about to be filled, or it is the first DATA of all (section
	// 5.1): the peer must hear of it now.
	first := a.rcv.cum.Add(1) == a.peer.tsn
	a.rx.immediate = a.rx.immediate || first || len(a.rcv.gaps) > 0 && !a.sack.mixed
	a.rcv.receive(d.TSN)
	if uint16(d.Stream) >= a.peer.inStreams {
		// Acknowledged, reported, not delivered (section 6.5).
		a.reportError(wire.AppendInvalidStream(nil, d.Stream))
		return
	}
	if !a.reasm.add(&d) {
		a.abort(now, wire.CauseProtocolViolation, "chunks of one message contradict each other")
	}
}

// hasRoom reports whether memory allows another chunk. One that fills a hole
// may exceed the window, up to twice of it: without that, a full buffer
// behind a hole would never drain.
func (a *Assoc) hasRoom(d *wire.Data) bool {
	if a.receiveWindow() > 0 {
		return true
	}
	return d.TSN.Less(a.rcv.highest()) && a.reasm.held < 2*a.cfg.ReceiveBuffer
}
