package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// ecnState is Explicit Congestion Notification (RFC 3168 for SCTP, RFC 4960
// appendix A; RFC 9260 keeps the code points): DATA leaves as ECN-capable when
// both ends said so, the receiver echoes marks until it hears that the window
// was reduced, and the sender reduces once a round trip, without a loss.
type ecnState struct {
	on bool // both ends can

	// As the receiver.
	echo   bool
	lowest wire.TSN // of the packet that was marked

	// As the sender.
	reduced bool
	upTo    wire.TSN // everything up to it was sent before the last reduction
}

// HandleMarked is Handle for a packet that the network marked with Congestion
// Experienced.
func (a *Assoc) HandleMarked(now Time, on Pair, packet []byte) { a.handle(now, on, packet, true) }

// noteMark notes that a marked packet carried t.
func (a *Assoc) noteMark(t wire.TSN) {
	if !a.ecn.on {
		return
	}
	if e := &a.ecn; !e.echo || t.Less(e.lowest) {
		e.echo, e.lowest = true, t
	}
	a.rx.immediate = true
}

// appendEcho appends the echo of a mark; it goes with every SACK.
func (a *Assoc) appendEcho(b []byte) []byte {
	if a.ecn.echo {
		b = wire.AppendLowestTSN(b, wire.TypeECNE, a.ecn.lowest)
	}
	return b
}

const echoLen = 8

// handleEcho reduces the window of the path that the marked packet took.
func (a *Assoc) handleEcho(now Time, on Pair, p *path, c wire.Chunk) {
	t, ok := wire.ParseLowestTSN(c)
	if !ok || !a.ecn.on || !a.maySendData() || !t.Less(a.flight.next) {
		return
	}
	e, f := &a.ecn, &a.flight
	if !e.reduced || e.upTo.Less(t) {
		q := a.paths.current
		if f.first.LessEq(t) && f.at(t).path != nil {
			q = f.at(t).path
		}
		q.cc.marked(now, f.xmits+1, q.pmdcs(&a.cfg))
		e.reduced, e.upTo = true, f.next.Add(^uint32(0))
		a.stats.Marked++
	}
	if p != nil && p.confirmed() {
		a.reply(on, func(b []byte) []byte { return wire.AppendLowestTSN(b, wire.TypeCWR, t) })
	}
}

// handleReduced ends the echo that the peer has answered.
func (a *Assoc) handleReduced(c wire.Chunk) {
	if t, ok := wire.ParseLowestTSN(c); ok && a.ecn.echo && a.ecn.lowest.LessEq(t) {
		a.ecn.echo = false
	}
}

// capable reports whether DATA over a path leaves as ECN-capable. A network
// that swallows such packets shows by a timeout before any arrived.
func (a *Assoc) capable(p *path) bool { return a.ecn.on && !p.ecnOff }
