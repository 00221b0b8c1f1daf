package wire

import (
	"encoding/binary"
	"time"
)

// CookiePreservative returns by how much the sender of an INIT wishes the life
// of its cookie lengthened (section 3.3.2.1.3).
func (p Param) CookiePreservative() (time.Duration, bool) {
	if p.Type != ParamCookiePreservative || len(p.Value) != 4 {
		return 0, false
	}
	return time.Duration(binary.BigEndian.Uint32(p.Value)) * time.Millisecond, true
}

// AppendCookiePreservative appends a Cookie Preservative parameter.
func AppendCookiePreservative(b []byte, by time.Duration) []byte {
	ms := min(max(by.Milliseconds(), 0), 1<<32-1)
	return AppendParam(b, ParamCookiePreservative, binary.BigEndian.AppendUint32(nil, uint32(ms)))
}

// SupportsAddrType reports whether a Supported Address Types parameter names
// a type of address parameter (section 3.3.2.1.5).
func (p Param) SupportsAddrType(t ParamType) bool {
	if p.Type != ParamSupportedAddrTypes {
		return false
	}
	for v := p.Value; len(v) >= 2; v = v[2:] {
		if ParamType(binary.BigEndian.Uint16(v)) == t {
			return true
		}
	}
	return false
}

// AppendSupportedAddrTypes appends a Supported Address Types parameter.
func AppendSupportedAddrTypes(b []byte, types ...ParamType) []byte {
	var v []byte
	for _, t := range types {
		v = binary.BigEndian.AppendUint16(v, uint16(t))
	}
	return AppendParam(b, ParamSupportedAddrTypes, v)
}

// Adaptation returns the code of an Adaptation Layer Indication (RFC 5061
// section 4.2.6).
func (p Param) Adaptation() (uint32, bool) {
	if p.Type != ParamAdaptation || len(p.Value) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(p.Value), true
}

// AppendAdaptation appends an Adaptation Layer Indication.
func AppendAdaptation(b []byte, code uint32) []byte {
	return AppendParam(b, ParamAdaptation, binary.BigEndian.AppendUint32(nil, code))
}

// ParseLowestTSN reads an ECNE or CWR chunk, which RFC 9260 reserves and RFC
// 4960 appendix A fills: the lowest TSN that congestion was signalled for.
func ParseLowestTSN(c Chunk) (TSN, bool) {
	if c.Type != TypeECNE && c.Type != TypeCWR || len(c.Value) != 4 {
		return 0, false
	}
	return TSN(binary.BigEndian.Uint32(c.Value)), true
}

// AppendLowestTSN appends an ECNE or CWR chunk, as t says.
func AppendLowestTSN(b []byte, t ChunkType, lowest TSN) []byte {
	return AppendChunk(b, t, 0, binary.BigEndian.AppendUint32(nil, uint32(lowest)))
}
