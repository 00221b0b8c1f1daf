package wire

import (
	"encoding/binary"
	"net/netip"
)

// ParamType is the type of a parameter (section 3.2.1 and the registry).
type ParamType uint16

// Parameter types.
const (
	ParamHeartbeatInfo      ParamType = 1
	ParamIPv4               ParamType = 5
	ParamIPv6               ParamType = 6
	ParamStateCookie        ParamType = 7
	ParamUnrecognized       ParamType = 8
	ParamCookiePreservative ParamType = 9
	ParamHostName           ParamType = 11
	ParamSupportedAddrTypes ParamType = 12
	ParamECN                ParamType = 0x8000
	ParamZeroChecksum       ParamType = 0x8001 // RFC 9653
	ParamRandom             ParamType = 0x8002 // RFC 4895
	ParamChunks             ParamType = 0x8003 // RFC 4895
	ParamHMAC               ParamType = 0x8004 // RFC 4895
	ParamPad                ParamType = 0x8005 // RFC 4820
	ParamDTLSKeyManagement  ParamType = 0x8006 // draft-ietf-tsvwg-sctp-dtls-chunk
	ParamSupportedExt       ParamType = 0x8008 // RFC 5061
	ParamForwardTSN         ParamType = 0xC000 // RFC 3758
	ParamAdaptation         ParamType = 0xC006 // RFC 5061
)

// UnknownAction says what the two high bits of an unknown type ask for:
// whether the parameters after it are handled, and whether it is reported
// (section 3.2.1).
func (t ParamType) UnknownAction() (skip, report bool) { return t&0x8000 != 0, t&0x4000 != 0 }

// A Param is a view of one parameter.
type Param struct {
	Type  ParamType
	Value []byte // without header and padding
	Raw   []byte // header and value, without padding
}

// NextParam returns the first parameter of b and what follows it, and reports
// false when b does not begin with a whole one.
func NextParam(b []byte) (p Param, rest []byte, ok bool) {
	t, v, raw, rest, ok := nextTLV(b)
	return Param{Type: ParamType(t), Value: v, Raw: raw}, rest, ok
}

// nextTLV is the one walker over parameters and causes.
func nextTLV(b []byte) (t uint16, value, raw, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 4 || n > len(b) {
		return 0, nil, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[4:n:n], b[:n:n], b[min(padded(n), len(b)):], true
}

// AppendParam appends a parameter and its padding.
func AppendParam(b []byte, t ParamType, value []byte) []byte {
	b, start := beginTLV(b, byte(t>>8), byte(t))
	return endTLV(append(b, value...), start)
}

// AppendAddrParam appends an IPv4 or IPv6 Address parameter (sections
// 3.3.2.1.1 and 3.3.2.1.2).
func AppendAddrParam(b []byte, a netip.Addr) []byte {
	if a = a.Unmap(); a.Is4() {
		v := a.As4()
		return AppendParam(b, ParamIPv4, v[:])
	}
	v := a.As16()
	return AppendParam(b, ParamIPv6, v[:])
}

// Addr returns the address in an address parameter.
func (p Param) Addr() (netip.Addr, bool) {
	switch {
	case p.Type == ParamIPv4 && len(p.Value) == 4, p.Type == ParamIPv6 && len(p.Value) == 16:
		return netip.AddrFromSlice(p.Value)
	}
	return netip.Addr{}, false
}
