package engine

import (
	"math/rand/v2"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// An Endpoint is one SCTP port. It answers the packets that belong to no
// association, and keeps nothing for them but the replies to be sent: an
// association exists from a valid COOKIE ECHO on.
type Endpoint struct {
	cfg      Config
	rng      *rand.Rand
	jar      cookieJar
	replies  []packet
	accepted []*Assoc
	blue     bucket
	stats    EndpointStats
}

// EndpointStats counts since the endpoint was made.
type EndpointStats struct {
	Inits, Accepted                          uint64
	ForgedCookies, StaleCookies, UsedCookies uint64
	OutOfTheBlue, Malformed, RepliesDropped  uint64
}

// NewEndpoint returns an endpoint. All of its randomness, tags and keys
// included, and that of its associations comes from src: in production a
// cryptographic generator with a secret seed.
func NewEndpoint(now Time, cfg Config, src rand.Source) *Endpoint {
	e := &Endpoint{cfg: cfg.withDefaults(), rng: rand.New(src)}
	e.jar = newCookieJar(now, e.cfg.CookieLife, e.rng)
	e.blue = bucket{tokens: outOfTheBlueBurst, at: now}
	return e
}

// source returns a random source for one association.
func (e *Endpoint) source() rand.Source {
	return rand.NewChaCha8(newKey(e.rng))
}

// newTag returns a verification tag: any number but zero (RFC 9260 section
// 5.3.1).
func (e *Endpoint) newTag() wire.Tag {
	return wire.Tag(e.rng.Uint32N(1<<32-1) + 1)
}

// A RouteKey says which association a packet is for.
type RouteKey struct {
	Tag                 wire.Tag
	Reflected           bool // Tag is the peer's: it reflects what we sent (the T bit)
	LocalPort, PeerPort uint16
}

// Route reads from a packet which association it is for: the one whose local
// tag is Tag or, if there is none and Reflected is set, the one with this
// peer tag and these ports; else it goes to the Endpoint. It reports false
// for what is no SCTP packet.
func Route(packet []byte) (r RouteKey, ok bool) {
	h, ok := wire.ParseHeader(packet)
	if !ok {
		return r, false
	}
	c, _, ok := wire.NextChunk(packet[wire.HeaderLen:])
	if !ok {
		return r, false
	}
	r = RouteKey{Tag: h.Tag, LocalPort: h.DstPort, PeerPort: h.SrcPort}
	r.Reflected = (c.Type == wire.TypeAbort || c.Type == wire.TypeShutdownComplete) && c.Flags&wire.FlagT != 0
	return r, true
}

// Handle takes a packet that no association owns.
func (e *Endpoint) Handle(now Time, on Pair, packet []byte) {
	h, ok := wire.ParseHeader(packet)
	if !ok || !wire.ChecksumOK(packet) || h.DstPort != e.cfg.Port || h.SrcPort == 0 {
		e.stats.Malformed++
		return
	}
	chunks := packet[wire.HeaderLen:]
	c, rest, ok := wire.NextChunk(chunks)
	switch {
	case !ok:
		e.stats.Malformed++
	case c.Type == wire.TypeInit:
		// "An INIT chunk MUST be the only chunk in the SCTP packet", and the
		// tag is zero (sections 3.3.2 and 8.5.1 rule A).
		if h.Tag != 0 || len(rest) > 0 {
			e.stats.Malformed++
			return
		}
		e.handleInit(now, on, h, c)
	case c.Type == wire.TypeCookieEcho:
		e.handleCookieEcho(now, on, h, c, rest)
	default:
		e.outOfTheBlue(now, on, h, chunks)
	}
}

// handleInit answers an INIT with a cookie and forgets it (section 5.1).
func (e *Endpoint) handleInit(now Time, on Pair, h wire.Header, c wire.Chunk) {
	e.stats.Inits++
	in, ok := wire.ParseInit(c)
	if !ok || in.Tag == 0 {
		// "If the value of the Initiate Tag in a received INIT chunk is found
		// to be 0, the receiver MUST silently discard the packet."
		e.stats.Malformed++
		return
	}
	if !e.cfg.Accept {
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
	e.jar.rotate(now, e.rng)
	cookie := stateCookie{
		made: now, on: on,
		localTag: e.newTag(), peerTag: in.Tag,
		localTSN: wire.TSN(e.rng.Uint32()), peerTSN: in.TSN,
		rwnd: in.ARwnd, peerOut: in.OutStreams, peerIn: in.InStreams,
		localPort: h.DstPort, peerPort: h.SrcPort,
		adaptation: s.adaptation, listed: s.listed,
	}
	params := wire.AppendParam(nil, wire.ParamStateCookie, e.jar.seal(&cookie))
	params = appendSetup(params, &e.cfg)
	params = append(params, s.unrecognized...)
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: in.Tag})
	e.reply(on, wire.AppendInit(b, wire.TypeInitAck, wire.Init{
		Tag:        cookie.localTag,
		ARwnd:      uint32(e.cfg.ReceiveBuffer),
		OutStreams: min(e.cfg.MaxStreams, in.InStreams),
		InStreams:  e.cfg.MaxStreams,
		TSN:        cookie.localTSN,
		Params:     params,
	}))
}

// minWindow is the smallest window a peer may announce at the start (section
// 3.3.2: "a_rwnd ... SHOULD be at least 1500").
const minWindow = 1500

// handleCookieEcho makes an association from a cookie (section 5.1.5).
func (e *Endpoint) handleCookieEcho(now Time, on Pair, h wire.Header, c wire.Chunk, rest []byte) {
	e.jar.rotate(now, e.rng)
	cookie, v := e.jar.open(now, c.Value)
	if v != cookieForged && (cookie.localTag != h.Tag || cookie.on != on || cookie.localPort != h.DstPort || cookie.peerPort != h.SrcPort) {
		v = cookieForged
	}
	switch v {
	case cookieForged:
		e.stats.ForgedCookies++
		return
	case cookieUsed:
		e.stats.UsedCookies++
		return
	case cookieStale:
		// Answered, so that the peer begins anew (section 5.1.5 rule 3).
		e.stats.StaleCookies++
		cause := wire.AppendStaleCookie(nil, now.Sub(cookie.made)-e.jar.life)
		b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: cookie.peerTag})
		e.reply(on, wire.AppendError(b, wire.TypeError, 0, cause))
		return
	}
	e.jar.use(now, c.Value)
	e.stats.Accepted++
	a := newAssoc(e.cfg, e.source(), cookie.localTag, cookie.localTSN)
	a.peer.port = cookie.peerPort
	a.setPeer(on, wire.Init{
		Tag: cookie.peerTag, ARwnd: cookie.rwnd, OutStreams: cookie.peerOut, InStreams: cookie.peerIn, TSN: cookie.peerTSN,
	}, setup{listed: cookie.listed, adaptation: cookie.adaptation})
	a.hs.cookie, a.hs.made = slices.Clone(c.Value), cookie.made
	a.establish(now, on)
	a.reply(on, func(b []byte) []byte { return wire.AppendChunk(b, wire.TypeCookieAck, 0, nil) })
	a.handleChunks(now, on, a.paths.find(on), rest)
	e.accepted = append(e.accepted, a)
}

// NextAssoc returns an association that a peer made. The driver calls it
// after each Handle until it reports false.
func (e *Endpoint) NextAssoc() (*Assoc, bool) {
	if len(e.accepted) == 0 {
		return nil, false
	}
	a := e.accepted[0]
	e.accepted = slices.Delete(e.accepted, 0, 1)
	return a, true
}

// outOfTheBlue answers a packet that is for no association we know (section
// 8.4), with one packet at most and at a limited rate.
func (e *Endpoint) outOfTheBlue(now Time, on Pair, h wire.Header, chunks []byte) {
	e.stats.OutOfTheBlue++
	shutdownAck := false
	for first := true; len(chunks) > 0; first = false {
		c, rest, ok := wire.NextChunk(chunks)
		if !ok {
			e.stats.Malformed++
			return
		}
		chunks = rest
		switch c.Type {
		case wire.TypeAbort, wire.TypeShutdownComplete, wire.TypeCookieAck:
			return // rules 2, 6 and 7: these are never answered
		case wire.TypeError:
			if cause, _, ok := wire.NextCause(c.Value); ok && cause.Code == wire.CauseStaleCookie {
				return // rule 7
			}
		case wire.TypeShutdownAck:
			shutdownAck = first
		}
	}
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: h.Tag})
	if !usableAddr(on.Remote.Addr()) || !e.blue.take(now) {
		return // rule 1, and the limit
	}
	if shutdownAck {
		e.reply(on, wire.AppendChunk(b, wire.TypeShutdownComplete, wire.FlagT, nil)) // rule 5
		return
	}
	e.reply(on, wire.AppendChunk(b, wire.TypeAbort, wire.FlagT, nil)) // rule 8
}

// refuse answers an INIT with an ABORT.
func (e *Endpoint) refuse(now Time, on Pair, h wire.Header, tag wire.Tag, code wire.CauseCode, info []byte) {
	if !e.blue.take(now) {
		return
	}
	var causes []byte
	if code != 0 {
		causes = wire.AppendCause(nil, code, info)
	}
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: tag})
	e.reply(on, wire.AppendError(b, wire.TypeAbort, 0, causes))
}

func (e *Endpoint) reply(on Pair, b []byte) {
	if len(e.replies) >= maxReplies {
		e.stats.RepliesDropped++
		return
	}
	wire.SetChecksum(b)
	e.replies = append(e.replies, packet{on, b})
}

// Poll appends the next reply to buf and says over which pair it goes.
func (e *Endpoint) Poll(now Time, buf []byte) (out []byte, on Pair, ok bool) {
	if len(e.replies) == 0 {
		return buf, Pair{}, false
	}
	r := e.replies[0]
	e.replies = slices.Delete(e.replies, 0, 1)
	return append(buf, r.b...), r.on, true
}

// Stats returns the counters.
func (e *Endpoint) Stats() EndpointStats { return e.stats }

// A bucket limits a rate: outOfTheBlueRate tokens a second, at most
// outOfTheBlueBurst at once.
type bucket struct {
	tokens int
	at     Time
}

func (b *bucket) take(now Time) bool {
	const every = Time(1e9 / outOfTheBlueRate)
	if n := int64((now - b.at) / every); n > 0 {
		b.tokens = int(min(int64(b.tokens)+n, outOfTheBlueBurst))
		b.at += Time(n) * every
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}
