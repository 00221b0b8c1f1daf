package engine

import (
	"fmt"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// earlyState is of what the user sends before the association is established:
// "The COOKIE ECHO chunk MAY be bundled with any pending outbound DATA chunks"
// (RFC 9260 section 5.1 C). So the answer to a question comes two round trips
// after the first INIT, not three.
//
//   - What fits whole into the packet of the COOKIE ECHO goes along, each time
//     that it is sent. The rest waits for COOKIE ACK: until then "the sender MUST
//     NOT send any other packets to the peer".
//   - One packet is below the initial congestion window and below the least
//     window that a peer may announce (minWindow).
//   - It goes to a peer of the same adaptation layer only, which INIT ACK tells.
//   - Nothing is delivered twice to which that does harm: when nobody answers a
//     COOKIE ECHO that had such DATA with it, the peer may have acted upon it all
//     the same. Then no other pair is tried, whose association would know nothing
//     of the first: it fails.
//
// Invariant: chunks in flight are lost, and on no path, until the association is
// established; from then on each has a path.
type earlyState struct {
	streams int     // one more than the highest that a message is for
	largest int     // octets of the longest message
	carried int     // chunks that left with the latest COOKIE ECHO
	exposed bool    // some left with one that must not be delivered twice
	xmit    xmitNum // the last transmission of them; COOKIE ECHO is not ECN-capable
}

// earlyTries is how often a COOKIE ECHO with DATA is sent when there are other
// pairs: as often as a cookie lives for. Whoever waits can then begin anew.
const earlyTries = 4

// forgetPeer has the own limits stand for those of a peer that is not known
// yet.
func (a *Assoc) forgetPeer() {
	a.peer.tag = 0
	a.peer.outStreams, a.peer.inStreams, a.peer.maxMessage = a.cfg.MaxStreams, a.cfg.MaxStreams, MaxMessage
}

// MaySendEarly reports whether Send takes messages though the association is not
// established: from the beginning on, as long as the peer may be one of the same
// adaptation layer.
func (a *Assoc) MaySendEarly() bool {
	return a.state == CookieWait || a.state == CookieEchoed && a.peer.adaptation == a.cfg.Adaptation
}

// note takes a message into account that is sent early.
func (e *earlyState) note(m *Message) {
	e.streams = max(e.streams, int(m.Stream)+1)
	e.largest = max(e.largest, len(m.Data))
}

// earlyRefusal says why a peer that has become known cannot have what was sent
// early; empty: it can.
func (a *Assoc) earlyRefusal() string {
	switch e := &a.hs.early; {
	case e.streams == 0:
		return ""
	case a.peer.adaptation != a.cfg.Adaptation:
		return fmt.Sprintf("adaptation layer indication is %#x, and data for %#x waits", a.peer.adaptation, a.cfg.Adaptation)
	case e.streams > int(a.peer.outStreams):
		return fmt.Sprintf("data waits for stream %d, and there are %d", e.streams-1, a.peer.outStreams)
	case e.largest > a.peer.maxMessage:
		return fmt.Sprintf("a message of %d octets waits, and the window allows %d", e.largest, a.peer.maxMessage)
	}
	return ""
}

// appendEarly appends the chunks that go with the COOKIE ECHO of the packet
// that starts at b[start:]: those that went with it before, then new ones.
func (a *Assoc) appendEarly(b []byte, start int) []byte {
	f, e := &a.flight, &a.hs.early
	e.carried = 0
	for t := f.first; ; t = t.Add(1) {
		room := a.cfg.packetLimit() - (len(b) - start)
		if t == f.next {
			m := a.out.peek()
			if m == nil || dataHeader+(len(m.Data)+3)&^3 > room {
				break
			}
			f.push(sentChunk{msg: m, size: int32(len(m.Data))})
			a.out.took(m, len(m.Data))
		} else if f.at(t).cost() > room {
			break
		}
		b = a.appendData(b, t)
		e.exposed = e.exposed || !f.at(t).msg.Repeats
		e.carried++
		a.stats.ChunksSent++
	}
	if e.carried > 0 {
		// A packet of this size may be what does not pass.
		a.marks = oversize(a.hs.tries > 1)
	}
	return b
}

// carryOver puts what left with the COOKIE ECHO in flight over its path, which
// is confirmed now. What did not, or left over a pair that is no path, is sent
// again at once.
func (a *Assoc) carryOver(now Time) {
	h, f := &a.hs, &a.flight
	if f.len() == 0 {
		return
	}
	p, carried := a.paths.find(h.on), h.early.carried
	if p == nil {
		p, carried = a.paths.current, 0
	}
	if carried > 0 {
		p.cc.use(h.sentAt, true, p.rto.rto, p.pmdcs(&a.cfg))
		p.lastSent = h.sentAt
	}
	for t := f.first; t != f.next; t = t.Add(1) {
		c := f.at(t)
		c.retries = uint16(max(h.tries-1, 0)) // which of them is answered is not known (section 6.3.1 rule C5)
		a.peer.rwnd -= int(c.size)
		f.sent(h.sentAt, t, p)
		if carried--; carried < 0 {
			a.markLost(t)
		}
	}
	a.peer.rwnd = max(0, a.peer.rwnd)
	h.early.xmit = f.xmits
	p.armT3(now, false)
	p.armProbe(now)
}

// cookieStale begins the handshake anew (section 5.2.6). Of a cookie that was
// echoed once it is certain that it made no association. An earlier echo may have
// made one that has ended since.
func (a *Assoc) cookieStale(now Time) {
	if e := &a.hs.early; e.exposed && a.hs.tries > 1 {
		a.close(&AbortError{Remote: true, Code: wire.CauseStaleCookie})
		return
	}
	a.hs.early.exposed = false
	a.restartHandshake(now)
}
