package engine

import (
	"math"
	"net/netip"
	"time"
)

// Config sets an endpoint and its associations up. The zero value of a field
// means its default.
type Config struct {
	// Port is the SCTP port of this endpoint.
	Port uint16

	// Locals are the bound UDP addresses; permitted remote addresses are
	// combined with each one of their family into paths. Endpoints and
	// associations share the array: it is replaced, never written to.
	Locals []netip.AddrPort

	// List holds the addresses named in INIT and INIT ACK. Nil: none, the
	// peer learns our addresses elsewhere (RFC 9260 section 5.1.2).
	List []netip.Addr

	// Accept says whether INITs are answered.
	Accept bool

	// MaxStreams is how many streams are asked for and accepted, each way.
	// Default 16,384.
	MaxStreams uint16

	// ReceiveBuffer is the window announced to the peer, in octets. Default
	// 4 MiB; at least 1,500, at most 2 GiB.
	ReceiveBuffer int

	// SendBuffer is how many octets may wait to be acknowledged before Send
	// refuses more. Default 1 MiB.
	SendBuffer int

	// Adaptation is the Adaptation Layer Indication sent (RFC 5061 section
	// 4.2.6). Zero: none.
	Adaptation uint32

	// HeartbeatInterval is the idle time after which a confirmed path is
	// probed. Default 5 s: RFC 9260 section 15 suggests 30 s, too slow to
	// keep NAT bindings and to know a standby's health.
	HeartbeatInterval time.Duration

	// RTOInitial, RTOMin and RTOMax bound the retransmission timeout (RFC
	// 9260 section 6.3.1). Defaults 1 s, 100 ms and 10 s. Section 15 suggests
	// 1 s, 1 s and 60 s; a minimum of 100 ms is what makes failover fast, and
	// our receivers acknowledge well within it. The lower maximum finds a
	// path that came back within 10 s.
	RTOInitial, RTOMin, RTOMax time.Duration

	// AttemptDelay is the time between INITs to different candidate pairs
	// (RFC 8305 section 5: 250 ms).
	AttemptDelay time.Duration

	// CookieLife bounds the age of a COOKIE ECHO. Default 15 s: RFC 9260
	// section 15 has 60 s; a shorter life leaves less time to replay it.
	CookieLife time.Duration

	// DelayedAck is the longest time that a SACK is held back. Default 20 ms,
	// well below our RTOMin (RFC 9260 section 6.2 allows up to 500 ms).
	DelayedAck time.Duration

	// CongestionControl is the algorithm of every path. Default CUBIC.
	CongestionControl CongestionControl

	// Aggregate has data take all paths that work at once instead of the one
	// that was chosen (concurrent multipath transfer).
	Aggregate bool

	// NoECN turns Explicit Congestion Notification off.
	NoECN bool

	// MaxPMTU is the largest IP packet, in octets, that path MTU discovery
	// tries. Default 9,000: jumbo frames; 1,280, the least, turns it off.
	MaxPMTU int

	// SealRoom is how many octets of each packet stay free for whoever seals
	// packets after Poll built them: 28 for a sealed association, default 0.
	SealRoom int

	// PathMaxRetrans is the number of consecutive errors after which a path
	// is inactive. Default 8: with potentially-failed paths (RFC 7829)
	// traffic has left long before, so the number only says how long a dead
	// network is waited for.
	PathMaxRetrans int

	// AssocMaxRetrans is the number of consecutive errors after which the
	// association fails; at least the sum of PathMaxRetrans over the
	// confirmed paths is taken. Default 10 (RFC 9260 section 15).
	AssocMaxRetrans int

	// MaxInitRetransmits bounds the repetitions of INIT over a single
	// candidate pair, and those of COOKIE ECHO. Default 8 (RFC 9260 section
	// 15).
	MaxInitRetransmits int
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// withDefaults returns c with every zero replaced by its default.
func (c Config) withDefaults() Config {
	c.MaxStreams = or(c.MaxStreams, defaultStreams)
	c.ReceiveBuffer = clamp(or(c.ReceiveBuffer, 4<<20), minWindow, math.MaxInt32)
	c.SendBuffer = or(c.SendBuffer, 1<<20)
	c.HeartbeatInterval = or(c.HeartbeatInterval, 5*time.Second)
	c.RTOInitial = or(c.RTOInitial, time.Second)
	c.RTOMin = or(c.RTOMin, 100*time.Millisecond)
	c.RTOMax = or(c.RTOMax, 10*time.Second)
	c.AttemptDelay = or(c.AttemptDelay, 250*time.Millisecond)
	c.CookieLife = or(c.CookieLife, 15*time.Second)
	c.MaxPMTU = clamp(or(c.MaxPMTU, 9000), basePMTU, maxPMTU)
	c.DelayedAck = or(c.DelayedAck, 20*time.Millisecond)
	c.PathMaxRetrans = or(c.PathMaxRetrans, 8)
	c.AssocMaxRetrans = or(c.AssocMaxRetrans, 10)
	c.MaxInitRetransmits = or(c.MaxInitRetransmits, 8)
	c.List = limitList(c.List)
	return c
}

// limitList cuts a list of addresses to what a peer keeps of it.
func limitList(list []netip.Addr) []netip.Addr { return list[:min(len(list), maxPeerAddrs)] }
