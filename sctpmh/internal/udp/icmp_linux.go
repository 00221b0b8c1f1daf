package udp

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"
)

// ICMP types and codes (RFC 792, RFC 1191, RFC 4443).
const (
	icmp4Unreachable   = 3
	icmp4Protocol      = 2 // codes of it
	icmp4Port          = 3
	icmp4FragmentsNeed = 4

	icmp6Unreachable = 1
	icmp6Port        = 4 // a code of it
	icmp6TooBig      = 2
)

// parseHint reads the control messages of a message of the error queue. It
// finds none that says nothing of use: RFC 9260 section 10 lets an
// implementation ignore all types but these (ICMP1, ICMP2).
func parseHint(oob []byte) (h Hint, ok bool) {
	for {
		m, rest, more := nextControl(oob)
		if !more {
			return Hint{}, false
		}
		if m.is(unix.IPPROTO_IP, unix.IP_RECVERR) || m.is(unix.IPPROTO_IPV6, unix.IPV6_RECVERR) {
			return extendedError(m.data)
		}
		oob = rest
	}
}

// extendedError reads a struct sock_extended_err:
//
//	ee_errno 4 | ee_origin 1 | ee_type 1 | ee_code 1 | pad 1 | ee_info 4 | ee_data 4
//
// The address of the one who complains follows; nobody needs it.
func extendedError(b []byte) (h Hint, ok bool) {
	const size = 16
	if len(b) < size {
		return Hint{}, false
	}
	errno, origin, typ, code := unix.Errno(binary.NativeEndian.Uint32(b)), b[4], b[5], b[6]
	mtu := int(min(binary.NativeEndian.Uint32(b[8:]), math.MaxUint16)) // ee_info
	switch {
	case origin == unix.SO_EE_ORIGIN_LOCAL && errno == unix.EMSGSIZE:
		h.Local, h.MTU = true, mtu
	case origin == unix.SO_EE_ORIGIN_ICMP && typ == icmp4Unreachable && code == icmp4FragmentsNeed,
		origin == unix.SO_EE_ORIGIN_ICMP6 && typ == icmp6TooBig:
		h.MTU = mtu
	case origin == unix.SO_EE_ORIGIN_ICMP && typ == icmp4Unreachable:
		// RFC 6951 section 5.5: "Port Unreachable" is as "Protocol Unreachable".
		h.PortUnreachable = code == icmp4Port || code == icmp4Protocol
		h.Unreachable = !h.PortUnreachable
	case origin == unix.SO_EE_ORIGIN_ICMP6 && typ == icmp6Unreachable:
		h.PortUnreachable = code == icmp6Port
		h.Unreachable = !h.PortUnreachable
	}
	return h, h.MTU > 0 || h.Unreachable || h.PortUnreachable // a router may leave the MTU out
}
