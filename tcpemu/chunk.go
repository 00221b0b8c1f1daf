package tcpemu

// maxChunk is how many octets of small messages are put together. A larger
// message is kept as it came.
const maxChunk = 16 << 10

// appendChunk keeps the octets of a message. They are copied: credit counts
// octets, and a peer that sends one at a time, or little to a reader that does
// not read between much for one that does, would otherwise have each of them
// hold the memory of a whole message, or of what arrived together with it. At
// most as much again is held for nothing.
func appendChunk(chunks [][]byte, b []byte) [][]byte {
	if len(b) >= maxChunk {
		return append(chunks, b)
	}
	n := len(chunks)
	if n == 0 {
		return append(chunks, append([]byte(nil), b...))
	}
	last := &chunks[n-1]
	if cap(*last)-len(*last) < len(b) {
		size := min(2*cap(*last), maxChunk)
		return append(chunks, append(make([]byte, 0, max(size, len(b))), b...))
	}
	*last = append(*last, b...)
	return chunks
}
