package pattern

import (
	"encoding/binary"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// A Sum is what came on a stream.
type Sum struct {
	Messages, Octets uint64
	Chain            uint64 // over all messages, in their order
	Set              uint64 // over all messages, in whatever order
}

// String returns the sum as the line protocol has it.
func (s Sum) String() string {
	return fmt.Sprintf("messages=%d octets=%d chain=%016x set=%016x", s.Messages, s.Octets, s.Chain, s.Set)
}

// Sums are the sums of an association's streams. The zero value is ready; it
// is not safe for concurrent use.
type Sums struct {
	streams map[uint16]*running
}

// running is a stream's sum and the message that has come in part.
type running struct {
	done    Sum
	chain   uint64 // done.Chain, further by the part
	message uint64 // the hash of the part alone
	length  uint32 // of the part
}

// Add counts a message of a stream, or one piece of it: last is true with the
// only or the last one. The protocol identifier is that of the last piece.
func (s *Sums) Add(stream uint16, ppid uint32, piece []byte, last bool) {
	r := s.streams[stream]
	if r == nil {
		if s.streams == nil {
			s.streams = make(map[uint16]*running)
		}
		r = &running{done: Sum{Chain: offset}, chain: offset, message: offset}
		s.streams[stream] = r
	}
	r.hash(piece)
	r.length += uint32(len(piece))
	if last {
		r.end(ppid)
	}
}

// end completes a message.
func (r *running) end(ppid uint32) {
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:4], r.length)
	binary.LittleEndian.PutUint32(trailer[4:], ppid)
	r.hash(trailer[:])
	r.done.Messages++
	r.done.Octets += uint64(r.length)
	r.done.Chain = r.chain
	r.done.Set += r.message
	r.message, r.length = offset, 0
}

// All returns the streams on which whole messages came and their sums, in the
// order of the streams.
func (s *Sums) All() iter.Seq2[uint16, Sum] {
	return func(yield func(uint16, Sum) bool) {
		for _, stream := range slices.Sorted(maps.Keys(s.streams)) {
			if r := s.streams[stream]; r.done.Messages > 0 && !yield(stream, r.done) {
				return
			}
		}
	}
}

// Constants of FNV-1a with 64 bits.
const (
	offset = 0xcbf29ce484222325
	prime  = 0x100000001b3
)

// hash takes both hashes over further octets: in one pass each waits for its
// own multiplications only, which makes the second one free.
func (r *running) hash(b []byte) {
	chain, message := r.chain, r.message
	for _, c := range b {
		chain = (chain ^ uint64(c)) * prime
		message = (message ^ uint64(c)) * prime
	}
	r.chain, r.message = chain, message
}
