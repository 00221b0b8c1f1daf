package engine

import (
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A TCB is what the endpoint has to know of an association when a chunk
// arrives that would set up another one with the same peer: both ends may
// begin at once, or the peer may have lost its memory (RFC 9260 section 5.2).
//
// The peer is who sends from one of its addresses, UDP port included, with its
// SCTP port. A peer that restarts behind another UDP port is a stranger: hosts
// that share an address behind a translator differ in nothing else. What it
// left behind ends with the first ABORT that answers it.
type TCB struct {
	State             State
	LocalTag, PeerTag wire.Tag // PeerTag is 0 until it is known
	ties              tieTags
	localTSN          wire.TSN
	handshake         Pair
	untouched         bool // nothing of the peer's data has arrived
	addrs             []netip.Addr
}

// tieTags are what a cookie carries of the association that there is already:
// random numbers, because the cookie is not secret and must not tell the true
// tags (RFC 9260 section 1.3).
type tieTags struct{ local, peer wire.Tag }

// TCB returns the endpoint's view of an association.
func (a *Assoc) TCB() *TCB {
	t := &TCB{
		State:     a.state,
		LocalTag:  a.tag,
		PeerTag:   a.peer.tag,
		ties:      a.ties,
		localTSN:  a.flight.first,
		handshake: a.peer.handshake,
		untouched: a.rcv.cum.Add(1) == a.peer.tsn && len(a.rcv.gaps) == 0,
		addrs:     slices.Clone(a.peer.listed),
	}
	for _, r := range a.paths.permitted {
		t.addrs = append(t.addrs, r.Addr())
	}
	for _, p := range a.paths.all {
		t.addrs = append(t.addrs, p.addr.addr)
	}
	for _, c := range a.hs.candidates {
		t.addrs = append(t.addrs, c.addr.addr)
	}
	return t
}

// A Verdict is what a chunk that sets up an association means for the one
// that there is.
type Verdict uint8

const (
	Keep     Verdict = iota // nothing
	Complete                // the driver hands the packet to its CookieEchoed
	Restart                 // the driver ends it with Restarted; the new one takes its place
)

// tie fills in what an INIT ACK for the peer of an association has to say. It
// reports false when the INIT gets no INIT ACK.
func (e *Endpoint) tie(now Time, on Pair, h wire.Header, t *TCB, c *stateCookie) bool {
	if t.State == ShutdownAckSent {
		// "it MUST discard the INIT chunk and retransmit the SHUTDOWN ACK
		// chunk" (section 9.2).
		e.resendShutdownAck(now, on, h, t, nil)
		return false
	}
	if t.State == CookieWait || t.State == CookieEchoed {
		// The same parameters as in our INIT, so that both ends come to know
		// one pair of tags (section 5.2.1).
		c.localTag, c.localTSN, c.borrowed = t.LocalTag, t.localTSN, true
		if !slices.Contains(t.addrs, on.Remote.Addr()) {
			return false // rule 1: only where the user sent us
		}
	}
	if t.State == CookieWait {
		return true // no Tie-Tags, and its addresses are what the peer says
	}
	var added []byte
	for _, a := range c.listed {
		if !slices.Contains(t.addrs, a) {
			added = wire.AppendAddrParam(added, a)
		}
	}
	if added != nil {
		// A restart that brings addresses would hijack the association
		// (section 5.2.2; RFC 5062 section 3).
		e.refuse(now, on, h, c.peerTag, wire.CauseRestartNewAddrs, added)
		return false
	}
	c.ties = t.ties
	return true
}

// compare finds the row of table 12 of RFC 9260 section 5.2.4. Row B is
// narrower here once the association is established: the cookie must come
// over the pair that completed the handshake, and no data may have arrived,
// because another host that a name lists could take it over otherwise.
func (t *TCB) compare(c *stateCookie) Verdict {
	local, peer := c.localTag == t.LocalTag, c.peerTag == t.PeerTag
	switch {
	case local && peer: // action D
		return Complete
	case local: // action B
		if t.State < Established || t.State == Established && t.untouched && c.on == t.handshake {
			return Complete
		}
	case !peer && c.ties == t.ties && t.State >= Established: // action A
		return Restart
	}
	return Keep // action C, and what the table does not show
}

// resendShutdownAck answers a peer that begins anew while we wait for the end
// of the association that it has forgotten. It has no association with this
// tag, so its answer will end ours.
func (e *Endpoint) resendShutdownAck(now Time, on Pair, h wire.Header, t *TCB, causes []byte) {
	if !e.mayAnswer(now, on) {
		return
	}
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: t.PeerTag})
	b = wire.AppendChunk(b, wire.TypeShutdownAck, 0, nil)
	if causes != nil {
		b = wire.AppendError(b, wire.TypeError, 0, causes)
	}
	e.reply(on, b)
}

// CookieEchoed completes an association with a packet that begins with a
// COOKIE ECHO and for which the endpoint said [Complete]: the peer began at
// the same time (section 5.2.4 actions B and D), or our COOKIE ACK was lost.
func (a *Assoc) CookieEchoed(now Time, on Pair, packet []byte) {
	c, rest, ok := wire.NextChunk(packet[wire.HeaderLen:])
	var cookie stateCookie
	if !ok || a.state == Closed || len(c.Value) < cookieMACLen || !cookie.decode(c.Value[:len(c.Value)-cookieMACLen]) {
		return
	}
	a.stats.PacketsReceived++
	a.rx = rxState{errors: a.rx.errors[:0]}
	if a.state < Established {
		if a.hs.early.exposed && a.peer.tag != cookie.peerTag {
			a.Restarted() // its former self may have taken what was sent early
			return
		}
		a.hs.t1.stop()
		a.hs.due = false
		a.adopt(&cookie)
		if why := a.earlyRefusal(); why != "" {
			a.abort(now, wire.CauseUserAbort, why)
			return
		}
		a.hs.cookie, a.hs.candidates = nil, nil
		a.establish(now, on)
		a.carryOver(now)
	} else if a.peer.tag != cookie.peerTag {
		a.peer.tag, a.peer.tsn = cookie.peerTag, cookie.peerTSN
		a.rcv.cum = cookie.peerTSN.Add(^uint32(0))
	}
	a.reply(on, func(b []byte) []byte { return wire.AppendChunk(b, wire.TypeCookieAck, 0, nil) })
	a.handleChunks(now, on, a.paths.find(on), rest)
}

// Restarted ends an association whose peer has forgotten it: everything that
// it carried is lost, and its users must hear of it. Whoever the peer is now
// has to be found out again.
func (a *Assoc) Restarted() {
	a.close(&AbortError{Remote: true, Restart: true, Reason: "the peer restarted"})
}
