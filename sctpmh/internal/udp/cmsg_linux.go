package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A controlMessage is one that the kernel adds to a receive.
type controlMessage struct {
	level, typ int32
	data       []byte
}

func (m controlMessage) is(level, typ int32) bool { return m.level == level && m.typ == typ }

// nextControl takes the first control message off oob. What is cut short ends
// the list.
func nextControl(oob []byte) (m controlMessage, rest []byte, ok bool) {
	if len(oob) < unix.SizeofCmsghdr {
		return m, nil, false
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Len < unix.SizeofCmsghdr || uint64(h.Len) > uint64(len(oob)) {
		return m, nil, false
	}
	n := int(h.Len)
	begin := unix.CmsgLen(0)
	m = controlMessage{level: h.Level, typ: h.Type, data: oob[min(begin, n):n]}
	return m, oob[min(unix.CmsgSpace(n-begin), len(oob)):], true
}

// appendControl appends a control message with room for n octets.
func appendControl(oob []byte, level, typ int32, n int) (out, data []byte) {
	start := len(oob)
	oob = append(oob, make([]byte, unix.CmsgSpace(n))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[start]))
	h.Level, h.Type = level, typ
	h.SetLen(unix.CmsgLen(n))
	return oob, oob[start+unix.CmsgLen(0):][:n]
}

// segmented appends the control message that has the kernel cut a send into
// packets of size octets.
func segmented(oob []byte, size int) []byte {
	oob, data := appendControl(oob, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(size))
	return oob
}

// marked appends the control message that sets the ECN field, when it is to be
// set.
func marked(oob []byte, dst netip.Addr, m Marks) []byte {
	if !m.ECT {
		return oob
	}
	level, typ := int32(unix.IPPROTO_IPV6), int32(unix.IPV6_TCLASS)
	if dst.Is4() || dst.Is4In6() {
		level, typ = unix.IPPROTO_IP, unix.IP_TOS
	}
	oob, data := appendControl(oob, level, typ, 4)
	binary.NativeEndian.PutUint32(data, ecnECT0)
	return oob
}

// arrived reads the control messages of a receive: the packet size when there
// are several, else 0, and the TOS or traffic class.
func arrived(oob []byte) (size int, tos byte) {
	for {
		m, rest, ok := nextControl(oob)
		switch {
		case !ok:
			return size, tos
		case m.is(unix.IPPROTO_UDP, unix.UDP_GRO) && len(m.data) >= 4:
			size = max(0, int(int32(binary.NativeEndian.Uint32(m.data))))
		case m.is(unix.IPPROTO_IP, unix.IP_TOS) && len(m.data) >= 1:
			tos = m.data[0]
		case m.is(unix.IPPROTO_IPV6, unix.IPV6_TCLASS) && len(m.data) >= 4:
			tos = byte(binary.NativeEndian.Uint32(m.data))
		}
		oob = rest
	}
}
