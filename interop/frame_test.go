package interop

import (
	"encoding/binary"
	"testing"
)

const (
	ethernetHeader = 14
	ipv4Header     = 20 // none of ours has options

	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// etherType returns what a frame carries.
func etherType(frame []byte) uint16 {
	if len(frame) < ethernetHeader {
		return 0
	}
	return binary.BigEndian.Uint16(frame[ethernetHeader-2:])
}

// resolves reports whether a frame is of address resolution, ARP or Neighbor
// Discovery (RFC 4861). A kernel asks again only after a second, so that what a
// scenario would measure is that.
func resolves(frame []byte) bool {
	const ipv6Header, icmpv6 = 40, 58
	switch etherType(frame) {
	case etherARP:
		return true
	case etherIPv6:
		p := frame[ethernetHeader:]
		return len(p) > ipv6Header && p[6] == icmpv6 && p[ipv6Header] >= 133 && p[ipv6Header] <= 137
	}
	return false
}

// Codepoints of RFC 3168 section 5.
const (
	ecnMask = 3
	notECT  = 0
	ecnCE   = 3
)

// congested makes the ECN field of an IPv4 packet of an ECN-capable transport CE.
func congested(frame []byte) {
	if etherType(frame) != etherIPv4 || len(frame) < ethernetHeader+ipv4Header {
		return
	}
	ip := frame[ethernetHeader:]
	if ip[1]&ecnMask == notECT {
		return
	}
	ip[1] |= ecnCE
	sumHeader(ip)
}

// onesSum is the sum of the Internet checksum (RFC 1071).
func onesSum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// exceeds reports whether a frame is too long for the wire.
func (r *rule) exceeds(d int, frame []byte) bool {
	return r.mtu[d] > 0 && len(frame)-ethernetHeader > r.mtu[d] && etherType(frame) == etherIPv4
}

// The field of IPv4 with flags and fragment offset (RFC 791 section 3.1).
const (
	flagDF         = 0x4000
	flagMF         = 0x2000
	offsetMask     = 0x1fff
	fragmentOctets = 8 // in which the offset counts
)

func fragmentField(frame []byte) []byte { return frame[ethernetHeader+6:][:2] }

// dontFragment reports whether an IPv4 packet must not be fragmented.
func dontFragment(frame []byte) bool {
	return binary.BigEndian.Uint16(fragmentField(frame))&flagDF != 0
}

// fragments does what a router does with a packet that may be fragmented.
func fragments(frame []byte, mtu int) (pieces [][]byte) {
	ip := frame[ethernetHeader:]
	ip = ip[:binary.BigEndian.Uint16(ip[2:])]
	field := binary.BigEndian.Uint16(fragmentField(frame))
	payload, offset := ip[ipv4Header:], field&offsetMask
	most := (mtu - ipv4Header) / fragmentOctets * fragmentOctets
	for len(payload) > 0 {
		n, more := len(payload), field&flagMF
		if n > most {
			n, more = most, flagMF
		}
		piece := append([]byte(nil), frame[:ethernetHeader+ipv4Header]...)
		header := piece[ethernetHeader:]
		binary.BigEndian.PutUint16(header[2:], uint16(ipv4Header+n))
		binary.BigEndian.PutUint16(fragmentField(piece), offset|more)
		sumHeader(header)
		pieces = append(pieces, append(piece, payload[:n]...))
		payload, offset = payload[n:], offset+uint16(n/fragmentOctets)
	}
	return pieces
}

// sumHeader computes the checksum of an IPv4 header.
func sumHeader(header []byte) {
	clear(header[10:12])
	binary.BigEndian.PutUint16(header[10:], ^onesSum(header[:ipv4Header]))
}

func TestFragments(t *testing.T) {
	frame := sctpFrame(make([]byte, 300)...) // 300 chunks of 4 octets
	pieces := fragments(frame, 700)
	var got []byte
	for i, p := range pieces {
		ip := p[ethernetHeader:]
		field := binary.BigEndian.Uint16(fragmentField(p))
		if more := i < len(pieces)-1; len(ip) > 700 || int(field&offsetMask)*fragmentOctets != len(got) || field&flagMF != 0 != more || onesSum(ip[:ipv4Header]) != 0xffff {
			t.Errorf("piece %d of %d begins % x", i, len(pieces), ip[:ipv4Header])
		}
		got = append(got, ip[ipv4Header:]...)
	}
	if string(got) != string(frame[ethernetHeader+ipv4Header:]) || len(pieces) != 2 {
		t.Errorf("%d pieces have %d octets of %d", len(pieces), len(got), len(frame)-ethernetHeader-ipv4Header)
	}
}
