package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// sackState decides when a SACK is sent and over which path (RFC 9260 section
// 6.2, RFC 7053).
type sackState struct {
	packets  int      // with DATA, not acknowledged yet
	now      bool     // send one with the next packet out
	timer    deadline // send one then
	from     *path    // the last DATA came by it
	last     *path    // the last SACK left by it
	window   int      // as last announced
	gaps     []wire.Gap
	repeated bool // duplicates arrived: our SACKs get lost
	turned   Time // when DATA last came by another path than before
	mixed    bool // it comes by several at once
}

// mixedFor is how soon after one another DATA has to come by different paths to
// be taken for spread over them. It is less than a tail loss probe waits: data
// that moved because a path died is not mixed.
const mixedFor = minProbeTimeout

// sackEvery is how many packets one SACK answers: "for at least every second
// packet received".
const sackEvery = 2

// receivedData notes the end of a packet that carried DATA.
func (a *Assoc) receivedData(now Time, p *path, immediate bool) {
	s := &a.sack
	s.mix(now, p)
	s.from = p
	p.withdrawal.dataAt = now
	s.packets++
	if immediate || s.packets >= sackEvery || len(a.rcv.gaps) > 0 && !s.mixed || a.state == ShutdownSent {
		s.now = true
	} else if !s.timer.armed {
		s.timer.set(now.Add(a.cfg.DelayedAck))
	}
}

// mix notes by which path DATA came. While it comes by several at once, gaps say
// nothing of losses, so they hurry no SACK.
func (s *sackState) mix(now Time, p *path) {
	recent := now.Sub(s.turned) < mixedFor
	if s.from != nil && p != s.from {
		s.mixed = recent
		s.turned = now
	} else if !recent {
		s.mixed = false
	}
}

// receiveWindow is the room announced to the peer: none when it is less than a
// packet, or half the buffer, so that the peer does not send ever smaller chunks
// (RFC 1122 section 4.2.3.3, the receiver's side of the silly window syndrome).
func (a *Assoc) receiveWindow() int {
	w := a.cfg.ReceiveBuffer - a.reasm.held
	if w < min(basePacket, a.cfg.ReceiveBuffer/2) {
		return 0
	}
	return w
}

// windowOpened announces room that the user made, when it is worth a packet: a
// quarter of the buffer, or the first room at all for a stalled sender.
func (a *Assoc) windowOpened() {
	w := a.receiveWindow()
	if a.state >= Established && a.sack.window < a.cfg.ReceiveBuffer/2 && (w-a.sack.window >= a.cfg.ReceiveBuffer/4 || a.sack.window == 0 && w > 0) {
		a.sack.now = true
	}
}

// sackPath returns the path for a SACK: the one that the data came by, while
// it is sound; another one when it is in doubt or when the peer repeats
// itself, because then our SACKs do not arrive.
func (a *Assoc) sackPath() *path {
	s := &a.sack
	p := s.from
	if p == nil || p.state != Active {
		p = a.paths.current
	}
	if p != nil && s.repeated && p == s.last {
		p = a.alternate(p)
	}
	return p
}

const sackHeader = 16

// pending reports whether there is something to acknowledge.
func (s *sackState) pending() bool { return s.now || s.packets > 0 }

// sackLen is the length of a SACK with all that there is to report, and of the
// echo that goes with it. Only where it goes alone may it be cut.
func (a *Assoc) sackLen() int {
	n := sackHeader + 4*len(a.rcv.gaps) + 4*len(a.rcv.dups)
	if a.ecn.echo {
		n += echoLen
	}
	return n
}

// appendSack appends the SACK that is pending, in at most room octets: with as
// many gaps as fit (section 6.2).
func (a *Assoc) appendSack(b []byte, p *path, room int) []byte {
	s := &a.sack
	s.gaps = s.gaps[:0]
	fit := len(a.rcv.gaps) - max(0, a.sackLen()-room+3)/4
	for _, g := range a.rcv.gaps[:max(0, fit)] {
		s.gaps = append(s.gaps, wire.Gap{
			Start: uint16(g.first.Sub(a.rcv.cum)),
			End:   uint16(g.last.Sub(a.rcv.cum)),
		})
	}
	s.window = a.receiveWindow()
	b = a.appendEcho(b)
	b = wire.AppendSack(b, a.rcv.cum, uint32(s.window), s.gaps, a.rcv.dups)
	a.rcv.dups = a.rcv.dups[:0]
	s.packets, s.now, s.repeated, s.last = 0, false, false, p
	s.timer.stop()
	a.stats.SacksSent++
	return b
}
