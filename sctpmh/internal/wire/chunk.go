package wire

import "encoding/binary"

// ChunkType is the type of a chunk (section 3.2 and the registry).
type ChunkType uint8

// Chunk types.
const (
	TypeData             ChunkType = 0
	TypeInit             ChunkType = 1
	TypeInitAck          ChunkType = 2
	TypeSack             ChunkType = 3
	TypeHeartbeat        ChunkType = 4
	TypeHeartbeatAck     ChunkType = 5
	TypeAbort            ChunkType = 6
	TypeShutdown         ChunkType = 7
	TypeShutdownAck      ChunkType = 8
	TypeError            ChunkType = 9
	TypeCookieEcho       ChunkType = 10
	TypeCookieAck        ChunkType = 11
	TypeECNE             ChunkType = 12
	TypeCWR              ChunkType = 13
	TypeShutdownComplete ChunkType = 14
	TypeAuth             ChunkType = 15   // RFC 4895
	TypeIData            ChunkType = 64   // RFC 8260
	TypeDTLS             ChunkType = 0x41 // draft-ietf-tsvwg-sctp-dtls-chunk
	TypeAsconfAck        ChunkType = 0x80 // RFC 5061
	TypeReconfig         ChunkType = 0x82 // RFC 6525
	TypePad              ChunkType = 0x84 // RFC 4820
	TypeForwardTSN       ChunkType = 0xC0 // RFC 3758
	TypeAsconf           ChunkType = 0xC1 // RFC 5061
	TypeIForwardTSN      ChunkType = 0xC2 // RFC 8260
)

// Chunk flags.
const (
	FlagE = 1 // DATA: last fragment
	FlagB = 2 // DATA: first fragment
	FlagU = 4 // DATA: unordered
	FlagI = 8 // DATA: acknowledge at once (RFC 7053)
	FlagT = 1 // ABORT, SHUTDOWN COMPLETE: the tag is reflected
)

// ChunkHeaderLen is the length of type, flags and length.
const ChunkHeaderLen = 4

// UnknownAction says what the two high bits of an unknown type ask for:
// whether the chunk is skipped and the rest of the packet handled, and
// whether it is reported (section 3.2).
func (t ChunkType) UnknownAction() (skip, report bool) { return t&0x80 != 0, t&0x40 != 0 }

// A Chunk is a view of one chunk.
type Chunk struct {
	Type  ChunkType
	Flags uint8
	Value []byte // without header and padding
	Raw   []byte // header and value, without padding
}

// NextChunk returns the first chunk of b and what follows it, and reports
// false when b does not begin with a whole chunk. Padding that is missing at
// the very end is tolerated: the length of the last chunk does not count it.
func NextChunk(b []byte) (c Chunk, rest []byte, ok bool) {
	if len(b) < ChunkHeaderLen {
		return c, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < ChunkHeaderLen || n > len(b) {
		return c, nil, false
	}
	c = Chunk{Type: ChunkType(b[0]), Flags: b[1], Value: b[ChunkHeaderLen:n:n], Raw: b[:n:n]}
	return c, b[min(padded(n), len(b)):], true
}

// AppendChunk appends a chunk and its padding. It panics when value does not
// fit the 16-bit length: only a bug can build such a chunk.
func AppendChunk(b []byte, t ChunkType, flags uint8, value []byte) []byte {
	b, start := beginTLV(b, byte(t), flags)
	return endTLV(append(b, value...), start)
}

// AppendError appends an ABORT or ERROR, as t says, with the causes given.
func AppendError(b []byte, t ChunkType, flags uint8, causes []byte) []byte {
	return AppendChunk(b, t, flags, unpadded(causes))
}

// unpadded cuts the padding of the last parameter or cause off: the length of
// a chunk includes "any padding of variable-length parameters other than the
// last parameter in the chunk" (section 3.2). What is no sequence of them is
// returned as it is.
func unpadded(b []byte) []byte {
	for at := 0; at < len(b); {
		_, _, raw, rest, ok := nextTLV(b[at:])
		if !ok {
			return b
		}
		if len(rest) == 0 {
			return b[:at+len(raw)]
		}
		at = len(b) - len(rest)
	}
	return b
}

// padded rounds a length up to a multiple of four (section 3.2).
func padded(n int) int { return (n + 3) &^ 3 }

// beginTLV appends the header of a chunk, parameter or cause, all of which
// have 16 bits of type and 16 of length; endTLV completes it.
func beginTLV(b []byte, t0, t1 byte) (_ []byte, start int) {
	return append(b, t0, t1, 0, 0), len(b)
}

func endTLV(b []byte, start int) []byte {
	n := len(b) - start
	if n > 0xFFFF {
		panic("BUG: chunk, parameter or cause exceeds 65,535 octets")
	}
	binary.BigEndian.PutUint16(b[start+2:], uint16(n))
	return append(b, zeros[:padded(n)-n]...)
}
