package sctpmh

import (
	"net/netip"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

// A Pair is the two UDP addresses of a path.
type Pair struct{ Local, Remote netip.AddrPort }

// String returns the pair in the form "LOCAL>REMOTE".
func (p Pair) String() string { return p.Local.String() + ">" + p.Remote.String() }

// PathState is what is believed of a path.
type PathState uint8

// The states of a path (RFC 9260 sections 5.4 and 8.2, RFC 7829).
const (
	Unconfirmed       PathState = iota // has not answered a probe: carries no data
	Inactive                           // does not answer any more; probed all the same
	PotentiallyFailed                  // missed an answer: used only when nothing is better
	Active
)

// String returns the state in lower case.
func (s PathState) String() string { return engine.PathState(s).String() }

// PathInfo is a path at one moment.
type PathInfo struct {
	Local, Remote netip.AddrPort
	State         PathState
	Confirmed     bool
	InUse         bool // new data leaves over it
	SRTT, RTO     time.Duration
	Cwnd, MTU     int // octets

	TxBytes, RxBytes, Retransmits uint64
	Errors                        int // in a row
}

// A Failover is one move of data from a path to another.
type Failover struct {
	At       time.Time // when the first path was left
	From, To Pair
	Cause    string // "timeout", "probe", "interface", "abort" or "command"

	// Stall is the time without progress around the move.
	Stall time.Duration
}

// Peer is what the handshake said of the other end.
type Peer struct {
	Handshake  netip.AddrPort // where it answered
	Listed     []netip.Addr   // addresses that it named
	Silent     bool           // it named none
	Adaptation uint32         // its Adaptation Layer Indication, 0: none

	OutStreams, InStreams uint16 // usable from here and from there

	MaxMessage int // octets of the largest message that it can put together
}

// Stats counts since the association began.
type Stats struct {
	PacketsSent, PacketsReceived, PacketsDropped uint64 // dropped: for want of room in the inbox
	Retransmits, Timeouts, Failovers, Duplicates uint64
	Malformed, BadTag, BadChecksum               uint64
}
