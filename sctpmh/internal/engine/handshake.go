package engine

import (
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// handshake is the dialing side of the set-up (RFC 9260 section 5.1): INIT
// over one candidate pair after the other with the same tag, so that the
// first one that works wins and there is still one association (RFC 8305 in
// spirit; RFC 9260 knows one address only).
//
//	CookieWait --INIT ACK--> CookieEchoed --COOKIE ACK--> Established
//	    ^                         |
//	    +-- no answer, or stale --+
type handshake struct {
	candidates []candidate
	next       int // candidate for the next INIT
	round      int // times that all of them were tried
	tries      int // COOKIE ECHOs sent with this cookie
	due        bool
	t1         deadline // T1-init, T1-cookie
	cookie     []byte   // to be echoed
	unknown    []byte   // parameters of the INIT ACK to be reported with it
	on         Pair     // where it came from
	sentAt     Time
	refusal    error // the last ABORT that answered an INIT
	patience   Time  // until when the user waits; 0: as long as it takes
	early      earlyState
}

// A candidate is a pair that an INIT may take.
type candidate struct {
	pair    Pair
	addr    *peerAddr
	inits   int
	refused bool
}

// Dial begins an association from an SCTP port to that at the other end of one
// of the pairs. They are tried in order, AttemptDelay apart. With local port 0
// one is drawn, so that two associations with the same peer are told apart: a
// second INIT from the same port would be taken for a restart.
func (e *Endpoint) Dial(now Time, pairs []Pair, local, remote uint16) *Assoc {
	a := newAssoc(e.cfg, e.source(), e.newTag(), wire.TSN(e.rng.Uint32()))
	a.cfg.Port, a.peer.port = local, remote
	a.forgetPeer()
	if local == 0 {
		a.cfg.Port = ephemeralPort + uint16(e.rng.Uint32N(1<<16-ephemeralPort))
	}
	for _, on := range pairs[:min(len(pairs), maxPaths)] {
		if addr := a.paths.ensureAddr(on.Remote.Addr()); addr != nil {
			a.hs.candidates = append(a.hs.candidates, candidate{pair: on, addr: addr})
		}
	}
	if len(a.hs.candidates) == 0 {
		a.fail(now, &TimeoutError{Op: "handshake"})
		return a
	}
	a.hs.due = true
	return a
}

// ephemeralPort is the first port of the dynamic range (RFC 6335 section 6).
const ephemeralPort = 49152

// expireHandshake handles T1: the next candidate, or the cookie once more.
func (a *Assoc) expireHandshake(now Time) {
	h := &a.hs
	if !h.t1.due(now) {
		return
	}
	h.t1.stop()
	if a.state == CookieEchoed {
		others := len(h.candidates) > 1
		switch {
		case others && !h.early.exposed && h.tries >= min(a.cfg.MaxInitRetransmits, cookieTries):
			a.restartHandshake(now)
			return
		case others && h.early.exposed && h.tries >= earlyTries, h.tries > a.cfg.MaxInitRetransmits:
			a.fail(now, &TimeoutError{Op: "handshake", Tried: []Pair{h.on}})
			return
		}
		h.due = true
		return
	}
	a.nextCandidate(now)
}

// cookieTries is how often a cookie is echoed over the pair that it belongs
// to before the other pairs get their chance. Without others it is echoed
// MaxInitRetransmits times more (section 5.1.6).
const cookieTries = 2

// restartHandshake goes back to INIT, over the pairs that were not tried yet
// first. The old cookie is forgotten, and our tag with it: should the peer have
// an association from the old one, the two must not be confused (RFC 9260
// section 5.2.4, table 12).
func (a *Assoc) restartHandshake(now Time) {
	a.state = CookieWait
	a.tag = newTag(a.rng)
	a.ties = tieTags{newTag(a.rng), newTag(a.rng)}
	a.hs.tries, a.hs.cookie = 0, nil
	a.forgetPeer()
	a.nextCandidate(now)
}

// nextCandidate has an INIT sent over the next pair that may still take one.
func (a *Assoc) nextCandidate(now Time) {
	h := &a.hs
	for range h.candidates {
		if h.next++; h.next == len(h.candidates) {
			h.next = 0
			h.round++
		}
		if c := &h.candidates[h.next]; a.worthInit(c) && a.mayInit(now, c) {
			h.due = true
			return
		}
	}
	if h.refusal != nil {
		a.fail(now, h.refusal)
		return
	}
	var tried []Pair
	var later deadline
	for _, c := range h.candidates {
		tried = append(tried, c.pair)
		if a.worthInit(&c) {
			quiet := deadline{at: c.addr.quiet, armed: true}
			quiet.earlier(&later)
		}
	}
	if h.t1 = later; !later.armed || h.patience != 0 && later.at >= h.patience {
		a.fail(now, &TimeoutError{Op: "handshake", Tried: tried})
	}
}

// GiveUpBy says until when the user waits for the handshake: when nothing more
// may be sent by then, the dial fails at once.
func (a *Assoc) GiveUpBy(t Time) { a.hs.patience = t }

// worthInit reports whether a candidate is to get another INIT, be it later. A
// single one is tried as often as RFC 9260 has it; of several each address gets
// maxInits, because not all of them need be the peer's.
func (a *Assoc) worthInit(c *candidate) bool {
	if len(a.hs.candidates) == 1 {
		return !c.refused && c.inits <= a.cfg.MaxInitRetransmits
	}
	return !c.refused && c.addr.probes < min(maxInits, 1+a.cfg.MaxInitRetransmits)
}

// mayInit reports whether it is time for another INIT.
func (a *Assoc) mayInit(now Time, c *candidate) bool {
	return len(a.hs.candidates) == 1 || c.addr.mayProbe(now)
}

// refused notes that the host at a candidate answered the INIT with an ABORT.
func (a *Assoc) refused(now Time, on Pair, err error) {
	h := &a.hs
	if i := h.refuse(on); i >= 0 {
		h.refusal = err
		if i == h.next {
			h.t1.stop()
			a.nextCandidate(now)
		}
	}
}

// refuse marks a candidate that gets no further INIT and returns its index, -1
// when there is no such, or no longer.
func (h *handshake) refuse(on Pair) int {
	i := slices.IndexFunc(h.candidates, func(c candidate) bool { return c.pair == on && !c.refused })
	if i >= 0 {
		h.candidates[i].refused = true
	}
	return i
}

// pollHandshake builds the INIT or COOKIE ECHO that is due.
func (a *Assoc) pollHandshake(now Time, buf []byte) ([]byte, Pair, bool) {
	h := &a.hs
	if !h.due {
		return buf, Pair{}, false
	}
	h.due = false
	if a.state == CookieEchoed {
		h.tries++
		h.sentAt = now
		h.t1.set(now.Add(min(a.cfg.RTOInitial<<min(h.tries-1, 10), a.cfg.RTOMax)))
		b := wire.AppendChunk(a.beginPacket(buf, a.peer.tag), wire.TypeCookieEcho, 0, h.cookie)
		if len(h.unknown) > 0 && len(b)-len(buf)+len(h.unknown)+8 <= a.cfg.packetLimit() {
			b = wire.AppendError(b, wire.TypeError, 0, wire.AppendCause(nil, wire.CauseUnrecognizedParams, unwrap(h.unknown)))
			h.unknown = nil
		}
		b = a.appendEarly(b, len(buf))
		return a.endPacket(b, len(buf), nil), h.on, true
	}
	c := &h.candidates[h.next]
	c.inits++
	c.addr.probed(now)
	// The next pair follows soon; after the last one this is T1-init, doubled
	// with every round (section 6.3.3 rule E2).
	wait := a.cfg.AttemptDelay
	more := slices.ContainsFunc(h.candidates, func(c candidate) bool { return a.worthInit(&c) && a.mayInit(now.Add(wait), &c) })
	if h.next == len(h.candidates)-1 || !more {
		wait = min(a.cfg.RTOInitial<<min(h.round, 10), a.cfg.RTOMax)
	}
	h.t1.set(now.Add(wait))
	b := a.appendInit(a.beginPacket(buf, 0), len(buf))
	return a.endPacket(b, len(buf), nil), c.pair, true
}

// appendInit appends the INIT chunk of the packet that starts at b[start:],
// padded so that the INIT ACK is not larger (RFC 4820 section 4, RFC 5062
// section 9).
func (a *Assoc) appendInit(b []byte, start int) []byte {
	params := appendSetup(nil, &a.cfg)
	const fixed = 20
	if n := maxInitAck - (len(b) - start) - fixed - len(params) - 4; n > 0 {
		params = wire.AppendParam(params, wire.ParamPad, make([]byte, n))
	}
	return wire.AppendInit(b, wire.TypeInit, wire.Init{
		Tag:        a.tag,
		ARwnd:      uint32(a.cfg.ReceiveBuffer),
		OutStreams: a.cfg.MaxStreams,
		InStreams:  a.cfg.MaxStreams,
		TSN:        a.flight.first,
		Params:     params,
	})
}

// appendSetup appends the parameters that INIT and INIT ACK share.
func appendSetup(b []byte, cfg *Config) []byte {
	for _, addr := range cfg.List {
		b = wire.AppendAddrParam(b, addr)
	}
	if cfg.Adaptation != 0 {
		b = wire.AppendAdaptation(b, cfg.Adaptation)
	}
	if !cfg.NoECN {
		b = wire.AppendParam(b, wire.ParamECN, nil)
	}
	return b
}

// setup is what the parameters of an INIT or INIT ACK say.
type setup struct {
	listed       []netip.Addr
	adaptation   uint32
	ecn          bool
	cookie       []byte
	unrecognized []byte // Unrecognized Parameter TLVs or causes to report
	code         wire.CauseCode
	reason       string // with code: why the chunk is refused
}

// parseSetup reads the parameters (sections 3.3.2.1, 3.3.3.1 and 5.1.2).
// Unknown ones are treated as the two high bits of their type say.
func parseSetup(params []byte) (s setup, ok bool) {
	addrs, reported := 0, 0
	for len(params) > 0 {
		p, rest, ok := wire.NextParam(params)
		if !ok {
			return s, false
		}
		params = rest
		switch p.Type {
		case wire.ParamIPv4, wire.ParamIPv6:
			if addrs++; addrs > maxListedParams {
				s.code, s.reason = wire.CauseProtocolViolation, "too many addresses"
				return s, true
			}
			addr, ok := p.Addr()
			if !ok {
				return s, false
			}
			if addr = addr.Unmap(); usableAddr(addr) && len(s.listed) < maxPeerAddrs && !slices.Contains(s.listed, addr) {
				s.listed = append(s.listed, addr)
			}
		case wire.ParamStateCookie:
			s.cookie = p.Value
		case wire.ParamAdaptation:
			s.adaptation, _ = p.Adaptation()
		case wire.ParamECN:
			s.ecn = true
		case wire.ParamHostName:
			// "MUST send an ABORT chunk" (section 3.3.2.1.4).
			s.code, s.reason = wire.CauseUnresolvableAddr, "host name parameter"
			return s, true
		case wire.ParamPad, wire.ParamCookiePreservative, wire.ParamSupportedAddrTypes, wire.ParamUnrecognized,
			wire.ParamSupportedExt:
		default:
			skip, report := p.Type.UnknownAction()
			if report && reported < maxUnrecognized && len(s.unrecognized)+len(p.Raw) <= maxUnrecognizedLen {
				reported++
				s.unrecognized = wire.AppendParam(s.unrecognized, wire.ParamUnrecognized, p.Raw)
			}
			if !skip {
				return s, true
			}
		}
	}
	return s, true
}

// unwrap turns Unrecognized Parameter parameters, which an INIT ACK carries,
// into what an ERROR carries (sections 3.3.3 and 3.3.10.8).
func unwrap(params []byte) (b []byte) {
	for len(params) > 0 {
		p, rest, ok := wire.NextParam(params)
		if !ok {
			break
		}
		inner, _, _ := wire.NextParam(p.Value)
		b = wire.AppendParam(b, inner.Type, inner.Value)
		params = rest
	}
	return b
}

// usableAddr reports whether a listed address can be one host's (section
// 8.4 rule 1 and noid's own filters come on top of it).
func usableAddr(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// handleInitAck takes the answer to our INIT. It may come from another
// address than the INIT went to, as long as that is a candidate too.
func (a *Assoc) handleInitAck(now Time, on Pair, c wire.Chunk) {
	if a.state != CookieWait {
		return // section 5.2.3
	}
	in, ok := wire.ParseInit(c)
	if !ok || !a.isCandidate(on) {
		a.stats.Malformed++
		return
	}
	if in.Tag == 0 {
		// Nobody can be told with a tag; ours, reflected, says as much
		// (section 3.3.3).
		a.reply(on, func([]byte) []byte {
			return wire.AppendError(a.beginPacket(nil, a.tag), wire.TypeAbort, wire.FlagT, nil)
		})
		a.close(&AbortError{Code: wire.CauseInvalidMandatoryParam, Reason: "INIT ACK with a zero tag"})
		return
	}
	s, ok := parseSetup(in.Params)
	if !ok || in.ARwnd < minWindow {
		a.stats.Malformed++
		if ok {
			a.reply(on, func([]byte) []byte {
				return wire.AppendError(a.beginPacket(nil, in.Tag), wire.TypeAbort, 0, wire.AppendCause(nil, wire.CauseInvalidMandatoryParam, nil))
			})
		}
		return
	}
	a.setPeer(on, in, s)
	switch {
	case in.OutStreams == 0, in.InStreams == 0:
		a.abort(now, wire.CauseInvalidMandatoryParam, "INIT ACK without streams")
		return
	case s.code != 0:
		a.abort(now, s.code, "INIT ACK: "+s.reason)
		return
	case s.cookie == nil:
		a.abortCause(now, wire.CauseMissingParam, wire.AppendMissingParams(nil, wire.ParamStateCookie), "INIT ACK without a cookie")
		return
	}
	if why := a.earlyRefusal(); why != "" {
		a.abort(now, wire.CauseUserAbort, why)
		return
	}
	h := &a.hs
	h.cookie, h.on, h.due, h.tries = slices.Clone(s.cookie), on, true, 0
	h.unknown = s.unrecognized
	h.t1.stop()
	a.state = CookieEchoed
}

func (a *Assoc) isCandidate(on Pair) bool {
	return slices.ContainsFunc(a.hs.candidates, func(c candidate) bool { return c.pair == on })
}

// setPeer records what an INIT or INIT ACK says of its sender.
func (a *Assoc) setPeer(on Pair, in wire.Init, s setup) {
	a.peer.tag = in.Tag
	a.peer.handshake = on
	a.peer.listed = s.listed
	a.peer.adaptation = s.adaptation
	a.ecn.on = s.ecn && !a.cfg.NoECN
	a.peer.tsn = in.TSN
	a.peer.rwnd = int(in.ARwnd)
	a.peer.maxMessage = int(in.ARwnd) / 2
	a.peer.outStreams = min(a.cfg.MaxStreams, in.InStreams)
	a.peer.inStreams = min(a.cfg.MaxStreams, in.OutStreams)
	a.rcv.cum = in.TSN.Add(^uint32(0))
}

// handleCookieAck completes the set-up on the dialing side.
func (a *Assoc) handleCookieAck(now Time) {
	if a.state == CookieEchoed && a.hs.tries > 0 { // section 5.2.5; before that it answers nothing
		a.cookieTaken(now, a.hs.tries == 1)
	}
}

// cookieTaken completes the set-up when the peer has shown that it has the
// cookie. measured: this is the answer to the only COOKIE ECHO.
func (a *Assoc) cookieTaken(now Time, measured bool) {
	h := &a.hs
	h.t1.stop()
	h.due = false
	a.establish(now, h.on)
	if measured {
		a.paths.find(h.on).rto.sample(&a.cfg, now, now.Sub(h.sentAt))
	}
	h.candidates, h.cookie = nil, nil
	a.carryOver(now)
}

// impliesCookieAck reports whether a chunk says what COOKIE ACK says: the
// peer's first DATA does, whose TSN only the sender of the INIT ACK knows. A
// peer that has taken the cookie may have lost the path on which COOKIE ACK was
// to come, and goes on over another one. RFC 9260 section 6 would have the DATA
// discarded; but to begin anew, for want of COOKIE ACK, would leave the peer
// with an association that is nobody's, and what came early with two of them.
func (a *Assoc) impliesCookieAck(on Pair, c wire.Chunk) bool {
	if a.state != CookieEchoed || a.hs.tries == 0 || c.Type != wire.TypeData || !a.isCandidate(on) {
		return false
	}
	d, ok := wire.ParseData(c)
	return ok && d.TSN == a.peer.tsn
}
