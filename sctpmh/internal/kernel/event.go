package kernel

import "net/netip"

// A Message is a user message on a stream.
type Message struct {
	Stream    uint16
	PPID      uint32 // payload protocol identifier, for the users' own use
	Unordered bool
	Data      []byte
}

// EventKind says what happened to an association.
type EventKind uint8

// The kinds of events (RFC 6458 section 6.1).
const (
	NoEvent EventKind = iota

	// PathChanged: Addr is now as Change says (SCTP_PEER_ADDR_CHANGE).
	PathChanged

	// PeerShutdown: the peer sends no more, and takes no more
	// (SCTP_SHUTDOWN_EVENT). Recv ends with io.EOF when all is delivered.
	PeerShutdown

	// Restarted: the peer lost its state and set up anew, and what was under
	// way is lost (SCTP_RESTART). Stream numbers start again.
	Restarted

	// SendFailed: a message was not delivered (SCTP_SEND_FAILED_EVENT): Stream
	// and PPID are its own, Sent says whether any of it was ever sent.
	SendFailed

	// PeerError: the peer reported the error Cause (SCTP_REMOTE_ERROR).
	PeerError

	// PartialLost: a message of which a part had come will not be completed
	// (SCTP_PARTIAL_DELIVERY_EVENT). The part is forgotten.
	PartialLost

	// Adapted: the peer's Adaptation Layer Indication has come, see
	// Peer.Adaptation. Dial and Accept wait for the first one.
	Adapted

	// What Conn keeps for itself.
	commUp
	commLost
	shutdownComplete
	cannotStart
)

// PathChange is what happened to an address of the peer.
type PathChange uint32

// The kernel's numbers (enum sctp_spc_state).
const (
	PathAvailable         PathChange = iota // it answers again
	PathUnreachable                         // too many timeouts: it is inactive
	PathRemoved                             // the peer took it back
	PathAdded                               // the peer added it
	PathMadePrimary                         // it was made the primary one
	PathConfirmed                           // it answered its first probe
	PathPotentiallyFailed                   // it missed an answer and was left
)

var pathChanges = [...]string{"available", "unreachable", "removed", "added", "made primary", "confirmed", "potentially failed"}

// String returns the change in words.
func (c PathChange) String() string {
	if int(c) < len(pathChanges) {
		return pathChanges[c]
	}
	return "unknown"
}

// An Event is something that happened to an association, beside its end,
// which is Recv's error.
type Event struct {
	Kind   EventKind
	Addr   netip.Addr // PathChanged
	Change PathChange // PathChanged
	Cause  uint16     // PeerError: RFC 9260 section 3.3.10

	Stream uint16 // SendFailed
	PPID   uint32 // SendFailed
	Sent   bool   // SendFailed

	adaptation uint32
	abort      []byte // commLost: the ABORT chunk, where there was one
	code       uint16 // commLost, cannotStart: the cause
}
