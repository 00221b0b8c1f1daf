package wire

// HeartbeatInfo returns what the sender put into a HEARTBEAT, which the
// HEARTBEAT ACK returns unchanged (sections 3.3.5 and 3.3.6): one parameter
// that fills the chunk.
func HeartbeatInfo(c Chunk) (info []byte, ok bool) {
	p, rest, ok := NextParam(c.Value)
	return p.Value, ok && len(rest) == 0 && p.Type == ParamHeartbeatInfo
}

// AppendHeartbeat appends a HEARTBEAT or HEARTBEAT ACK, as t says.
func AppendHeartbeat(b []byte, t ChunkType, info []byte) []byte {
	b, start := beginTLV(b, byte(t), 0)
	return endTLV(AppendParam(b, ParamHeartbeatInfo, info), start)
}

// AppendPad appends a PAD chunk of n octets of padding (RFC 4820 section 3).
func AppendPad(b []byte, n int) []byte {
	b, start := beginTLV(b, byte(TypePad), 0)
	return endTLV(append(b, make([]byte, n)...), start)
}
