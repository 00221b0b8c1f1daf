// Package pattern makes the messages that foreign peers and we send to one
// another, and the sums by which what arrived is compared. Both are defined by
// the documentation of package interop, for peers in any language; a process
// that speaks its line protocol needs no more than this package of ours.
//
// A sender fills one buffer again and again:
//
//	for i := range count {
//		pattern.Fill(buf, seed, i)
//		send(stream+i%streams, buf)
//	}
//
// A receiver adds what arrives, in pieces if it comes so, and says what it has:
//
//	sums.Add(stream, ppid, piece, last)
//	for stream, sum := range sums.All() {
//		fmt.Printf("@ sum stream=%d %v\n", stream, sum)
//	}
package pattern

import "encoding/binary"

// Fill makes message i of those with a seed, as long as the buffer is.
func Fill(message []byte, seed, i uint64) {
	x := seed*0x9E3779B97F4A7C15 + i
	for len(message) >= 8 {
		x = next(x)
		binary.LittleEndian.PutUint64(message, x)
		message = message[8:]
	}
	if len(message) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], next(x))
		copy(message, last[:])
	}
}

// next is a step of a linear congruential generator, with Knuth's factor for
// MMIX: the quality is that no two messages are the same.
func next(x uint64) uint64 { return x*6364136223846793005 + 1442695040888963407 }
