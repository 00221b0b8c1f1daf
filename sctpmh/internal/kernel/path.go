package kernel

import (
	"net/netip"
	"time"
)

// PathState is what the kernel believes of a path.
type PathState uint32

// The kernel's numbers (enum sctp_spinfo_state), which are not those of RFC
// 6458 section 8.2.2.
const (
	Inactive          PathState = iota // does not answer any more
	PotentiallyFailed                  // missed an answer: used only when nothing is better
	Active
	Unconfirmed // has not answered a probe: carries no data
)

// String returns the state in lower case.
func (s PathState) String() string {
	switch s {
	case Inactive:
		return "inactive"
	case PotentiallyFailed:
		return "potentially failed"
	case Active:
		return "active"
	case Unconfirmed:
		return "unconfirmed"
	}
	return "unknown"
}

// A Path is an address of the peer at one moment. The kernel chooses the
// local address by its routes and does not say which.
type Path struct {
	Addr      netip.Addr
	EncapPort uint16 // of UDP at the peer, 0: native SCTP
	State     PathState
	Primary   bool // new data leaves over it while it is active
	Permitted bool // by Restrict, or of the handshake
	SRTT, RTO time.Duration
	Cwnd, MTU int // octets
}

// Confirmed reports whether the path has answered a probe.
func (p Path) Confirmed() bool { return p.State != Unconfirmed }

// Peer is what the handshake said of the other end.
type Peer struct {
	Handshake  netip.Addr   // where it answered
	Addrs      []netip.Addr // all that it listed, and Handshake
	Port       uint16       // of SCTP
	Adaptation uint32       // its Adaptation Layer Indication, 0: none

	OutStreams, InStreams uint16 // usable from here and from there
}

// Stats counts since the association began (SCTP_GET_ASSOC_STATS).
type Stats struct {
	PacketsSent, PacketsReceived uint64
	ChunksSent, ChunksReceived   uint64 // of data, each once
	Retransmits                  uint64 // chunks sent again
	Duplicates                   uint64 // chunks received again
	OutOfOrder                   uint64 // chunks received beyond a gap
	SACKsSent, SACKsReceived     uint64

	RTOMax time.Duration // the largest of any path since the last call
}
