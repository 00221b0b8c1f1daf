package wire

import "encoding/binary"

// ParseShutdown reads the cumulative TSN of a SHUTDOWN (section 3.3.8).
func ParseShutdown(c Chunk) (TSN, bool) {
	if len(c.Value) != 4 {
		return 0, false
	}
	return TSN(binary.BigEndian.Uint32(c.Value)), true
}

// AppendShutdown appends a SHUTDOWN.
func AppendShutdown(b []byte, cum TSN) []byte {
	b, start := beginTLV(b, byte(TypeShutdown), 0)
	return endTLV(binary.BigEndian.AppendUint32(b, uint32(cum)), start)
}
