package engine

import (
	"math/rand/v2"
	"net/netip"
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

// SetLocals says which UDP addresses are bound from now on and which of them
// are listed, for associations that begin; those that there are have to be told.
func (e *Endpoint) SetLocals(locals []netip.AddrPort, list []netip.Addr) {
	e.cfg.Locals, e.cfg.List = slices.Clone(locals), limitList(list)
}

// EndpointStats counts since the endpoint was made.
type EndpointStats struct {
	Inits, Accepted                          uint64
	ForgedCookies, StaleCookies, UsedCookies uint64
	Restarts, Collisions                     uint64
	OutOfTheBlue, Malformed, RepliesDropped  uint64
	BadTag                                   uint64 // packets of known peers
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

// Route reads from a packet which association it is for: the one with these
// ports whose local tag is Tag or, if there is none and Reflected is set, whose
// peer tag is. Without such a one, and with Setup always, it goes to the
// Endpoint; it is about the association with that local tag, else the one with
// these ports whose peer has the address that the packet is from. Route reports
// false for what is no SCTP packet.
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

// RouteQuoted reads from the start of a packet of our own, as an ICMP message
// quotes it, which association sent it: the one with this peer tag and these
// ports.
func RouteQuoted(packet []byte) (r RouteKey, ok bool) {
	h, ok := wire.ParseHeader(packet)
	return RouteKey{Tag: h.Tag, Reflected: true, LocalPort: h.SrcPort, PeerPort: h.DstPort}, ok
}

// Handle takes a packet that no association owns, or one that sets one up. tcb
// is of the association that the packet is about, nil without one; verdict says
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
		if h.Tag != 0 || len(rest) > 0 {
			e.stats.Malformed++ // dropped without an answer (section 12.3)
			break
		}
		e.handleInit(now, on, h, c, tcb)
	case c.Type == wire.TypeCookieEcho:
		return e.handleCookieEcho(now, on, h, c, rest, tcb)
	case tcb != nil && (tcb.State >= Established || c.Type != wire.TypeShutdownAck):
		// The peer is known, and this is not its tag: "MUST silently discard"
		// (section 8.5). Rule E of section 8.5.1 is the exception.
		e.stats.BadTag++
	default:
		e.outOfTheBlue(now, on, h, chunks)
	}
	return nil, Keep
}

// outOfTheBlue answers a packet that is for no association we know (section
// 8.4), with one packet at most and at a limited rate.
func (e *Endpoint) outOfTheBlue(now Time, on Pair, h wire.Header, chunks []byte) {
	e.stats.OutOfTheBlue++
	b := wire.AppendHeader(nil, wire.Header{SrcPort: h.DstPort, DstPort: h.SrcPort, Tag: h.Tag})
	switch answer := blueAnswer(chunks); {
	case answer == 0, h.Tag == 0: // a zero tag is for a lone INIT (section 8.5.1 rule A)
	case !usableAddr(on.Remote.Addr()), !e.mayAnswer(now, on): // rule 1, and the limit
	default:
		e.reply(on, wire.AppendChunk(b, answer, wire.FlagT, nil))
	}
}

// blueAnswer returns the type of the chunk that answers those of a packet out
// of the blue, 0 for none. The first rule of section 8.4 that fits decides,
// not the first chunk.
func blueAnswer(chunks []byte) wire.ChunkType {
	var shutdownAck, silent bool
	for first := true; len(chunks) > 0; first = false {
		c, rest, ok := wire.NextChunk(chunks)
		if !ok {
			return 0
		}
		chunks = rest
		switch c.Type {
		case wire.TypeAbort:
			return 0 // rule 2
		case wire.TypeCookieEcho:
			if first {
				return 0 // rule 4: it was handled as one
			}
		case wire.TypeShutdownAck:
			shutdownAck = true
		case wire.TypeShutdownComplete, wire.TypeCookieAck:
			silent = true // rules 6 and 7
		case wire.TypeError:
			cause, _, ok := wire.NextCause(c.Value)
			silent = silent || ok && cause.Code == wire.CauseStaleCookie // rule 7
		}
	}
	switch {
	case shutdownAck:
		return wire.TypeShutdownComplete // rule 5
	case silent:
		return 0
	}
	return wire.TypeAbort // rule 8
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
	e.replies = append(e.replies, packet{on: on, b: b})
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
