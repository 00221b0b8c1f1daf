package tcpemu

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// held is the memory that octets take which wait to be read.
func held(chunks [][]byte) (octets int) {
	for _, c := range chunks {
		octets += cap(c) + int(unsafe.Sizeof(c))
	}
	return octets
}

// A peer that cuts its octets as small as it can fills no more memory than one
// that sends full packets.
func TestSmallMessagesTakeNoMoreMemory(t *testing.T) {
	for _, size := range []int{1, 7, 300, 1200, 9000} {
		var r recvHalf
		for n := 0; n < initialWindow; n += size {
			r.add(make([]byte, size, 4*size), false)
		}
		if got, limit := held(r.chunks), 2*initialWindow+2*maxChunk; got > limit {
			t.Errorf("%d octets in messages of %d take %d, at most %d", initialWindow, size, got, limit)
		}
	}
}

// What waits does not keep the memory that it arrived in.
func TestMessagesAreCopied(t *testing.T) {
	packets := make([]byte, 64<<10)
	var r recvHalf
	r.add(packets[:1000:1000], false)
	packets[0] = 1
	if r.chunks[0][0] == 1 {
		t.Error("an unread message keeps what it arrived in")
	}
}

func TestChunksKeepOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r recvHalf
	var want, got []byte
	for range 2000 {
		b := make([]byte, 1+rng.IntN(3000))
		if rng.IntN(50) == 0 {
			b = make([]byte, maxChunk+rng.IntN(3000))
		}
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		want = append(want, b...)
		r.add(b, false)
		if rng.IntN(3) == 0 {
			b := make([]byte, 1+rng.IntN(20_000))
			got = append(got, b[:r.take(b)]...)
		}
	}
	rest := make([]byte, len(want))
	if got = append(got, rest[:r.take(rest)]...); !bytes.Equal(got, want) {
		t.Errorf("%d octets read of %d, or others", len(got), len(want))
	}
}
