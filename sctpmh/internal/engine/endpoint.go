package engine

import (
	"math/rand/v2"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// An Endpoint is the local end of all associations that share its UDP
// addresses. It takes the packets that belong to none of them and those that
// set one up, and keeps nothing for them but the replies to be sent: an
// association exists from a valid COOKIE ECHO on.
type Endpoint struct {
	cfg     Config
	rng     *rand.Rand
	jar     cookieJar
	replies []packet
	inits   *sourceLimit
	blue    *sourceLimit
	blueAll bucket
	stats   EndpointStats
}

// EndpointStats counts since the endpoint was made.
type EndpointStats struct {
	Inits, Accepted                          uint64
	ForgedCookies, StaleCookies, UsedCookies uint64
	Restarts, Collisions                     uint64
	OutOfTheBlue, Malformed, RepliesDropped  uint64
	Limited                                  uint64 // packets of sources that sent too many
}

// NewEndpoint returns an endpoint. All of its randomness, tags and keys
// included, and that of its associations comes from src: in production a
// cryptographic generator with a secret seed.
func NewEndpoint(now Time, cfg Config, src rand.Source) *Endpoint {
	e := &Endpoint{cfg: cfg.withDefaults(), rng: rand.New(src)}
	e.jar = newCookieJar(now, e.cfg.CookieLife, e.rng)
	e.inits = newSourceLimit(e.rng, initBurst, initRate)
	e.blue = newSourceLimit(e.rng, outOfTheBlueBurst, outOfTheBlueRate)
	return e
}

// source returns a random source for one association.
func (e *Endpoint) source() rand.Source {
	return rand.NewChaCha8(newKey(e.rng))
}

// newTag returns a verification tag: any number but zero (RFC 9260 section
// 5.3.1).
func (e *Endpoint) newTag() wire.Tag { return newTag(e.rng) }

func newTag(rng *rand.Rand) wire.Tag { return wire.Tag(rng.Uint32N(1<<32-1) + 1) }

// A RouteKey says which association a packet is for.
type RouteKey struct {
	Tag                 wire.Tag
	Reflected           bool // Tag is the peer's: it reflects what we sent (the T bit)
	Setup               bool // INIT or COOKIE ECHO: for the Endpoint, with the association's TCB
	LocalPort, PeerPort uint16
}

// Route reads from a packet which association it is for: the one whose local
// tag is Tag or, if there is none and Reflected is set, the one with this
// peer tag and these ports; else it goes to the Endpoint. With Setup it always
// goes to the Endpoint, and the association is, if none has the local tag,
// the one with these ports whose peer has the address that the packet is from.
// It reports false for what is no SCTP packet.
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
	r.Setup = c.Type == wire.TypeInit || c.Type == wire.TypeCookieEcho
	return r, true
}

// Handle takes a packet that no association owns, or one that sets one up. tcb
// is of the association that Route describes, nil without one; verdict says
// what becomes of that one. made is a new association, nil mostly.
func (e *Endpoint) Handle(now Time, on Pair, packet []byte, tcb *TCB) (made *Assoc, verdict Verdict) {
	h, ok := wire.ParseHeader(packet)
	if !ok || !wire.ChecksumOK(packet) || h.DstPort == 0 || h.SrcPort == 0 {
		e.stats.Malformed++
		return nil, Keep
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
			break
		}
		e.handleInit(now, on, h, c, tcb)
	case c.Type == wire.TypeCookieEcho:
		return e.handleCookieEcho(now, on, h, c, rest, tcb)
	default:
		e.outOfTheBlue(now, on, h, chunks)
	}
	return nil, Keep
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
	if !usableAddr(on.Remote.Addr()) || !e.mayAnswer(now, on) {
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
	if !e.mayAnswer(now, on) {
		return
	}
	var causes []byte
	if code != 0 {
		causes = wire.AppendCause(nil, code, info)
	}
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: tag})
	e.reply(on, wire.AppendError(b, wire.TypeAbort, 0, causes))
}

// mayAnswer limits answers that nobody may have asked for.
func (e *Endpoint) mayAnswer(now Time, on Pair) bool {
	if e.blue.take(now, on.Remote.Addr()) && e.blueAll.take(now, outOfTheBlueAll, outOfTheBlueAll) {
		return true
	}
	e.stats.Limited++
	return false
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
