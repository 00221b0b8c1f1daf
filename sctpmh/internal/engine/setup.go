package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// minWindow is the smallest window a peer may announce at the start (section
// 3.3.2: "a_rwnd ... SHOULD be at least 1500").
const minWindow = 1500

// handleInit answers an INIT with a cookie and forgets it (section 5.1). When
// there is an association with the peer already the cookie carries its tags,
// and nothing else happens to it (sections 5.2.1 and 5.2.2).
func (e *Endpoint) handleInit(now Time, on Pair, h wire.Header, c wire.Chunk, tcb *TCB) {
	e.stats.Inits++
	in, ok := wire.ParseInit(c)
	if !ok || in.Tag == 0 {
		// "If the value of the Initiate Tag in a received INIT chunk is found
		// to be 0, the receiver MUST silently discard the packet."
		e.stats.Malformed++
		return
	}
	if !usableAddr(on.Remote.Addr()) || !e.inits.take(now, on.Remote.Addr()) {
		e.stats.Limited++
		return
	}
	if tcb == nil && (!e.cfg.Accept || h.DstPort != e.cfg.Port) {
		e.refuse(now, on, h, in.Tag, 0, nil)
		return
	}
	s, ok := parseSetup(in.Params)
	switch {
	case !ok:
		e.stats.Malformed++
		return
	case s.code != 0:
		e.refuse(now, on, h, in.Tag, s.code, []byte(s.reason))
		return
	case in.OutStreams == 0 || in.InStreams == 0 || in.ARwnd < minWindow:
		e.refuse(now, on, h, in.Tag, wire.CauseInvalidMandatoryParam, nil)
		return
	}
	cookie := stateCookie{
		made: now, on: on,
		localTag: e.newTag(), peerTag: in.Tag,
		localTSN: wire.TSN(e.rng.Uint32()), peerTSN: in.TSN,
		rwnd: in.ARwnd, peerOut: in.OutStreams, peerIn: in.InStreams,
		localPort: h.DstPort, peerPort: h.SrcPort,
		adaptation: s.adaptation, ecn: s.ecn, listed: s.listed,
	}
	if tcb != nil && !e.tie(now, on, h, tcb, &cookie) {
		return
	}
	e.jar.rotate(now, e.rng)
	params := wire.AppendParam(nil, wire.ParamStateCookie, e.jar.seal(&cookie))
	params = appendSetup(params, &e.cfg)
	params = append(params, s.unrecognized...)
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: in.Tag})
	e.reply(on, wire.AppendInit(b, wire.TypeInitAck, wire.Init{
		Tag:        cookie.localTag,
		ARwnd:      uint32(e.cfg.ReceiveBuffer),
		OutStreams: cookie.localOut(e.cfg.MaxStreams, tcb),
		InStreams:  e.cfg.MaxStreams,
		TSN:        cookie.localTSN,
		Params:     params,
	}))
}

// localOut is the number of streams that an INIT ACK announces. It is no more
// than the peer takes, unless our INIT has said it already (section 5.2.1).
func (c *stateCookie) localOut(limit uint16, tcb *TCB) uint16 {
	if tcb != nil && tcb.State < Established {
		return limit
	}
	return min(limit, c.peerIn)
}

// handleCookieEcho makes an association from a cookie (section 5.1.5).
func (e *Endpoint) handleCookieEcho(now Time, on Pair, h wire.Header, c wire.Chunk, rest []byte, tcb *TCB) (*Assoc, Verdict) {
	if _, ok := findAbort(rest); ok {
		return nil, Keep // section 9.1
	}
	e.jar.rotate(now, e.rng)
	cookie, v := e.jar.open(now, c.Value)
	if v == cookieForged || cookie.localTag != h.Tag || cookie.on != on || cookie.localPort != h.DstPort || cookie.peerPort != h.SrcPort {
		e.stats.ForgedCookies++
		return nil, Keep
	}
	verdict := Restart // of nothing, when there is no TCB
	if tcb != nil {
		same := tcb.LocalTag == cookie.localTag && tcb.PeerTag == cookie.peerTag
		if verdict = tcb.compare(&cookie); verdict == Complete && (same || v == cookieGood) {
			// With both tags the same it is valid however old it is (section
			// 5.2.4 step 3).
			if !same {
				e.stats.Collisions++
			}
			e.jar.use(now, c.Value)
			return nil, Complete
		}
	}
	if tcb == nil && cookie.borrowed && v == cookieGood {
		// The association whose tag it carries has ended. It would come back
		// with its old tags and sequence numbers, and with it whatever is
		// still on its way.
		v = cookieStale
	}
	switch {
	case v == cookieStale:
		// Answered, so that the peer begins anew (section 5.1.5 step 4).
		e.stats.StaleCookies++
		cause := wire.AppendStaleCookie(nil, now.Sub(cookie.made)-e.jar.life)
		b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: cookie.peerTag})
		e.reply(on, wire.AppendError(b, wire.TypeError, 0, cause))
		return nil, Keep
	case v == cookieUsed:
		e.stats.UsedCookies++
		return nil, Keep
	case verdict == Keep:
		return nil, Keep
	case tcb != nil && tcb.State == ShutdownAckSent:
		// Section 5.2.4 action A, last paragraph.
		e.resendShutdownAck(now, on, h, tcb, wire.AppendCause(nil, wire.CauseCookieInShutdown, nil))
		return nil, Keep
	}
	e.jar.use(now, c.Value)
	e.stats.Accepted++
	if tcb == nil {
		verdict = Keep
	} else {
		e.stats.Restarts++
	}
	a := newAssoc(e.cfg, e.source(), cookie.localTag, cookie.localTSN)
	a.cfg.Port = cookie.localPort
	a.adopt(&cookie)
	a.establish(now, on)
	if rtt := now.Sub(cookie.made); rtt < a.cfg.RTOInitial {
		// Sooner than a COOKIE ECHO is repeated: it measures the round trip.
		a.paths.find(on).rto.sample(&a.cfg, now, rtt)
	}
	a.reply(on, func(b []byte) []byte { return wire.AppendChunk(b, wire.TypeCookieAck, 0, nil) })
	a.handleChunks(now, on, a.paths.find(on), rest)
	return a, verdict
}

// adopt takes what a cookie says of the peer.
func (a *Assoc) adopt(c *stateCookie) {
	a.peer.port = c.peerPort
	a.setPeer(c.on, wire.Init{Tag: c.peerTag, ARwnd: c.rwnd, OutStreams: c.peerOut, InStreams: c.peerIn, TSN: c.peerTSN},
		setup{listed: c.listed, adaptation: c.adaptation, ecn: c.ecn})
}
