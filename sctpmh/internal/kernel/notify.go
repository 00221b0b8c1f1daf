package kernel

import (
	"encoding/binary"
	"net/netip"
)

// Types of notifications (enum sctp_sn_type).
const (
	snAssocChange    = 0x8001
	snPeerAddrChange = 0x8002
	snRemoteError    = 0x8004
	snShutdown       = 0x8005
	snPartial        = 0x8006
	snAdaptation     = 0x8007
	snSendFailed     = 0x800d
)

// notifications are those that are wanted.
var notifications = []uint16{snAssocChange, snPeerAddrChange, snRemoteError, snShutdown, snPartial, snAdaptation, snSendFailed}

// assocChanges are the kinds for enum sctp_sac_state.
var assocChanges = [...]EventKind{commUp, commLost, Restarted, shutdownComplete, cannotStart}

// parseNotification reads one (RFC 6458 section 6.1). It reports false for what
// is cut short or not known, which is to be ignored.
func parseNotification(b []byte) (e Event, ok bool) {
	if len(b) < 8 {
		return e, false
	}
	u16 := func(at int) uint16 { return binary.NativeEndian.Uint16(b[at:]) }
	u32 := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	flags := u16(2)
	switch typ := u16(0); {
	case typ == snAssocChange && len(b) >= 20 && int(u16(8)) < len(assocChanges):
		// The kernel hands on the cause as it was in the packet.
		e = Event{Kind: assocChanges[u16(8)], code: binary.BigEndian.Uint16(b[10:]), abort: b[20:]}
	case typ == snPeerAddrChange && len(b) >= 148:
		a, _, _ := cutSockaddr(b[8:136])
		e = Event{Kind: PathChanged, Addr: a.Addr(), Change: PathChange(u32(136))}
	case typ == snRemoteError && len(b) >= 16:
		e = Event{Kind: PeerError, Cause: binary.BigEndian.Uint16(b[8:])}
	case typ == snShutdown:
		e = Event{Kind: PeerShutdown}
	case typ == snPartial:
		e = Event{Kind: PartialLost}
	case typ == snAdaptation && len(b) >= 12:
		e = Event{Kind: Adapted, adaptation: u32(8)}
	case typ == snSendFailed && len(b) >= 32:
		const sent = 1 // SCTP_DATA_SENT
		e = Event{Kind: SendFailed, Stream: u16(12), PPID: binary.BigEndian.Uint32(b[16:]), Sent: flags == sent}
	default:
		return e, false
	}
	return e, true
}

// parseAbort reads the first cause of an ABORT chunk, without its header or
// with it (RFC 9260 section 3.3.7).
func parseAbort(b []byte) (code uint16, reason string) {
	const abort = 6
	if len(b) >= 4 && b[0] == abort {
		b = b[4:]
	}
	if len(b) < 4 {
		return 0, ""
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 4 || n > len(b) {
		n = 4
	}
	code = binary.BigEndian.Uint16(b)
	if code == causeUserAbort || code == causeProtocolViolation { // these carry text
		reason = string(b[4:n])
	}
	return code, reason
}

// parseAddrs reads what SCTP_GET_PEER_ADDRS and SCTP_GET_LOCAL_ADDRS return:
// the association, a count, and the addresses.
func parseAddrs(b []byte) (addrs []netip.Addr, port uint16) {
	if len(b) < 8 {
		return nil, 0
	}
	n := binary.NativeEndian.Uint32(b[4:])
	b = b[8:]
	for range min(n, maxAddrs) {
		a, rest, ok := cutSockaddr(b)
		if !ok {
			break
		}
		addrs, port, b = append(addrs, a.Addr()), a.Port(), rest
	}
	return addrs, port
}
