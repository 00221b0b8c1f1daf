package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// rxState is what the packet being handled has brought so far.
type rxState struct {
	marked    bool   // the network signals congestion
	data      bool   // at least one DATA chunk
	immediate bool   // the SACK must not wait
	mute      bool   // it has an ABORT and must not be answered (section 9.1)
	replied   bool   // the last of Assoc.replies answers this packet
	errors    []byte // causes for the one ERROR chunk that answers the packet
	reported  int
}

// Handle takes a packet that arrived over a pair. It is borrowed until Handle
// returns.
func (a *Assoc) Handle(now Time, on Pair, packet []byte) { a.handle(now, on, packet, false) }

func (a *Assoc) handle(now Time, on Pair, packet []byte, marked bool) {
	h, ok := wire.ParseHeader(packet)
	if !ok || a.state == Closed {
		return
	}
	if !wire.ChecksumOK(packet) {
		a.stats.BadChecksum++
		return
	}
	chunks := packet[wire.HeaderLen:]
	if !a.tagOK(h, chunks) {
		a.stats.BadTag++
		return
	}
	if h.Tag != a.tag {
		c, _, _ := wire.NextChunk(chunks)
		chunks = c.Raw // the reflected tag is good for this chunk alone
	}
	a.stats.PacketsReceived++
	p := a.paths.find(on)
	if p == nil {
		p = a.hint(now, on)
	}
	if p != nil {
		p.stats.rxBytes += uint64(len(packet))
		p.heardAt = now
		if !p.confirmed() {
			a.heard(now, p)
		}
	}
	a.rx = rxState{errors: a.rx.errors[:0], marked: marked}
	a.handleChunks(now, on, p, chunks)
}

// tagOK applies the rules of RFC 9260 section 8.5 before any chunk is looked
// at: checks that come after the handling of chunks have let blind attackers
// end associations (CVE-2021-3772).
func (a *Assoc) tagOK(h wire.Header, chunks []byte) bool {
	if h.DstPort != a.cfg.Port || h.SrcPort != a.peer.port {
		return false
	}
	c, _, ok := wire.NextChunk(chunks)
	if !ok {
		return false
	}
	if c.Type == wire.TypeAbort || c.Type == wire.TypeShutdownComplete {
		// Rules B and C: with the T bit the sender had no association and
		// reflects the tag that we put on our packets.
		if c.Flags&wire.FlagT != 0 {
			return h.Tag == a.peer.tag && a.peer.tag != 0
		}
	}
	return h.Tag == a.tag
}

// handleChunks handles the chunks of a packet whose tag was right. p is nil
// when the pair is not a path.
func (a *Assoc) handleChunks(now Time, on Pair, p *path, chunks []byte) {
	_, a.rx.mute = findAbort(chunks)
	for len(chunks) > 0 && a.state != Closed {
		c, rest, ok := wire.NextChunk(chunks)
		if !ok {
			a.stats.Malformed++
			break
		}
		chunks = rest
		if !a.handleChunk(now, on, p, c) {
			break
		}
		if p == nil {
			p = a.paths.find(on) // a COOKIE ACK makes the first
		}
	}
	a.rx.mute = false
	if a.state == Closed {
		return
	}
	if a.state == ShutdownSent && a.shut.t2.armed {
		// The peer still sends what it had queued: it gets the time for it
		// (section 9.2). Not without end, because it may be probing for want of
		// the SHUTDOWN that was lost.
		a.assocErrors = 0
		rto := a.shut.path.rto.rto
		a.shut.t2.set(min(now.Add(rto), a.shut.sentAt.Add(2*rto)))
	}
	if a.rx.data {
		a.receivedData(now, p, a.rx.immediate)
		if a.state == ShutdownSent {
			a.shut.due = true // "MUST immediately respond to each received packet containing one or more DATA chunks with a SHUTDOWN chunk" (section 9.2)
		}
	}
	// Nothing but probes leaves over what is not proved (section 5.4).
	if len(a.rx.errors) > 0 && a.state >= Established && p != nil && p.confirmed() {
		a.reply(on, func(b []byte) []byte { return wire.AppendError(b, wire.TypeError, 0, a.rx.errors) })
	}
	if a.rx.replied && (a.hs.due || a.shut.due) {
		// One packet, one answer (section 12.4), and this one counts more.
		a.replies = a.replies[:len(a.replies)-1]
		a.rx.replied = false
	}
}

// findAbort returns the ABORT in a packet.
func findAbort(chunks []byte) (wire.Chunk, bool) {
	for {
		c, rest, ok := wire.NextChunk(chunks)
		if !ok || c.Type == wire.TypeAbort {
			return c, ok
		}
		chunks = rest
	}
}

// handleChunk dispatches one chunk. It reports false when the rest of the
// packet is not to be looked at.
func (a *Assoc) handleChunk(now Time, on Pair, p *path, c wire.Chunk) bool {
	if a.state < Established && c.Type == wire.TypeShutdownAck {
		// Of an association that is gone (section 8.5.1 rule E).
		a.reply(on, func(b []byte) []byte {
			return wire.AppendChunk(a.beginPacket(nil, a.tag), wire.TypeShutdownComplete, wire.FlagT, nil)
		})
		return false
	}
	if a.impliesCookieAck(on, c) {
		a.cookieTaken(now, false)
		p = a.paths.find(on)
	}
	if a.state < Established && !settingUp(c.Type) {
		if c.Type == wire.TypeHeartbeat && a.state == CookieEchoed && a.isCandidate(on) {
			a.answerHeartbeat(on, c) // section 8.3: from COOKIE-ECHOED on
		}
		return true
	}
	switch c.Type {
	case wire.TypeData:
		a.handleData(now, p, c)
	case wire.TypeSack:
		a.handleSack(now, p, c)
	case wire.TypeHeartbeat:
		a.handleHeartbeat(on, p, c)
	case wire.TypeHeartbeatAck:
		a.handleHeartbeatAck(now, c)
	case wire.TypeInitAck:
		a.handleInitAck(now, on, c)
	case wire.TypeCookieAck:
		a.handleCookieAck(now)
	case wire.TypeAbort:
		a.handleAbort(now, on, p, c)
	case wire.TypeShutdown:
		a.handleShutdown(now, p, c)
	case wire.TypeShutdownAck:
		a.handleShutdownAck(now, on)
	case wire.TypeShutdownComplete:
		a.handleShutdownComplete()
	case wire.TypeError:
		a.handleError(now, c)
	case wire.TypeInit:
		return false // it would be alone and have a zero tag (section 8.5.1 rule A)
	case wire.TypeCookieEcho:
		// One that sets something up is the first in its packet, and is the
		// endpoint's (section 5.2.4).
	case wire.TypeECNE:
		a.handleEcho(now, on, p, c)
	case wire.TypeCWR:
		a.handleReduced(c)
	case wire.TypePad:
	default:
		skip, report := c.Type.UnknownAction()
		if report && len(c.Raw) <= maxCauseInfo {
			a.reportError(wire.AppendCause(nil, wire.CauseUnrecognizedChunk, c.Raw))
		}
		return skip
	}
	return true
}

// settingUp reports whether a chunk means anything before the handshake is
// complete.
func settingUp(t wire.ChunkType) bool {
	switch t {
	case wire.TypeInitAck, wire.TypeCookieAck, wire.TypeAbort, wire.TypeError:
		return true
	}
	return false
}

// reportError adds a cause to the ERROR chunk that answers this packet.
func (a *Assoc) reportError(cause []byte) {
	if a.rx.reported >= maxUnrecognized || len(a.rx.errors)+len(cause) > maxCauseInfo {
		return
	}
	a.rx.reported++
	a.rx.errors = append(a.rx.errors, cause...)
}

// handleAbort ends the association (section 9.1). Over a pair that is not proved
// it says only that the host there has no such association, or wants none: a
// name may list a stranger's address, and our INIT told the stranger our tag.
// Then that path, or candidate, is given up; the peer's own ABORT comes over a
// path that is proved, or answers the next packet there.
func (a *Assoc) handleAbort(now Time, on Pair, p *path, c wire.Chunk) {
	err, ok := abortError(c)
	if !ok {
		a.stats.Malformed++ // "with a format error ... MUST silently discard it" (section 3.3.7)
		return
	}
	switch {
	case a.state == CookieWait:
		a.refused(now, on, err)
		return
	case a.state == CookieEchoed && on != a.hs.on:
		a.hs.refuse(on)
		return
	case a.state >= Established && (p == nil || !p.confirmed()):
		if p != nil {
			a.removePath(now, p)
		}
		return
	}
	a.replies = nil // "MUST NOT respond to any received packet that contains an ABORT" (section 9.1)
	if a.state == ShutdownAckSent && c.Flags&wire.FlagT != 0 {
		a.close(nil) // the peer is done: its SHUTDOWN COMPLETE was lost or overtaken
		return
	}
	a.close(err)
}

// abortError reads the first cause of an ABORT, and reports whether all of them
// are well formed.
func abortError(c wire.Chunk) (_ *AbortError, ok bool) {
	err := &AbortError{Remote: true}
	for b := c.Value; len(b) > 0; {
		cause, rest, ok := wire.NextCause(b)
		if !ok {
			return nil, false
		}
		if b = rest; err.Code != 0 {
			continue
		}
		err.Code = cause.Code
		if cause.Code == wire.CauseUserAbort || cause.Code == wire.CauseProtocolViolation {
			err.Reason = printable(cause.Info)
		}
	}
	return err, true
}

// printable returns what a peer said as a reason, fit for a log.
func printable(b []byte) string {
	out := make([]byte, 0, min(len(b), maxCauseInfo))
	for _, c := range b[:min(len(b), maxCauseInfo)] {
		if c < ' ' || c > '~' {
			c = '.'
		}
		out = append(out, c)
	}
	return string(out)
}

// handleError takes the peer's report of an error (section 3.3.10). Only a
// stale cookie needs an answer.
func (a *Assoc) handleError(now Time, c wire.Chunk) {
	for b := c.Value; len(b) > 0; {
		cause, rest, ok := wire.NextCause(b)
		if !ok {
			a.stats.Malformed++
			return
		}
		b = rest
		if cause.Code == wire.CauseStaleCookie && a.state == CookieEchoed {
			a.cookieStale(now)
			return
		}
	}
}
