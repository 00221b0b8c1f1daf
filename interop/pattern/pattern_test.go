package pattern

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
)

// The values of the worked example in the documentation of package interop.
// They were computed by another implementation, from the text alone.
func TestWorkedExample(t *testing.T) {
	var sums Sums
	for i, want := range []string{"261c826ef29d4bc2fd4d5b", "539b17bb1f929d1ae6fbea", "801aad074d86ef72cfa97a"} {
		message := make([]byte, 11)
		Fill(message, 7, uint64(i))
		if got := hex.EncodeToString(message); got != want {
			t.Errorf("message %d is %s, want %s", i, got, want)
		}
		sums.Add(uint16(1+i%2), 46, message, true)
	}
	want := []string{
		"stream=1 messages=2 octets=22 chain=c84dae5ea80790de set=da441365f5a36cdb",
		"stream=2 messages=1 octets=11 chain=09a5456c3cf2d13f set=09a5456c3cf2d13f",
	}
	if got := said(&sums); !slices.Equal(got, want) {
		t.Errorf("sums are\n%q, want\n%q", got, want)
	}
}

func said(sums *Sums) (lines []string) {
	for stream, sum := range sums.All() {
		lines = append(lines, fmt.Sprintf("stream=%d %v", stream, sum))
	}
	return lines
}

// A shorter message is the beginning of a longer one with the same number.
func TestFillCuts(t *testing.T) {
	whole := make([]byte, 64)
	Fill(whole, 3, 5)
	for n := range len(whole) {
		short := make([]byte, n)
		if Fill(short, 3, 5); !bytes.Equal(short, whole[:n]) {
			t.Errorf("%d octets: % x, want % x", n, short, whole[:n])
		}
	}
}

// What came in pieces counts as what came whole, and a message that has not
// ended does not count.
func TestPieces(t *testing.T) {
	message := make([]byte, 1000)
	Fill(message, 1, 1)
	var whole, pieces Sums
	for range 3 {
		whole.Add(0, 9, message, true)
		for piece := range slices.Chunk(message, 17) {
			pieces.Add(0, 9, piece, false)
		}
		pieces.Add(0, 9, nil, true)
	}
	pieces.Add(0, 9, message[:10], false)
	pieces.Add(1, 9, message[:10], false)
	if a, b := said(&whole), said(&pieces); !slices.Equal(a, b) {
		t.Errorf("whole: %q, in pieces: %q", a, b)
	}
}

// Chain tells the order, where messages end and their protocol identifiers;
// set all but the order.
func TestSumsTellWhatDiffers(t *testing.T) {
	type message struct {
		text string
		ppid uint32
	}
	sum := func(messages ...message) (s Sum) {
		var sums Sums
		for _, m := range messages {
			sums.Add(0, m.ppid, []byte(m.text), true)
		}
		for _, s = range sums.All() {
		}
		return s
	}
	base := sum(message{"ab", 1}, message{"cd", 1})
	swapped := sum(message{"cd", 1}, message{"ab", 1})
	if base.Chain == swapped.Chain || base.Set != swapped.Set {
		t.Errorf("another order: %v and %v", base, swapped)
	}
	for name, other := range map[string]Sum{
		"boundary":   sum(message{"abc", 1}, message{"d", 1}),
		"identifier": sum(message{"ab", 1}, message{"cd", 2}),
		"twice":      sum(message{"ab", 1}, message{"ab", 1}),
	} {
		if base.Chain == other.Chain || base.Set == other.Set {
			t.Errorf("another %s: %v and %v", name, base, other)
		}
	}
}

func BenchmarkFill(b *testing.B) {
	message := make([]byte, 64<<10)
	b.SetBytes(int64(len(message)))
	for i := range b.N {
		Fill(message, 1, uint64(i))
	}
}

func BenchmarkAdd(b *testing.B) {
	message := make([]byte, 64<<10)
	b.SetBytes(int64(len(message)))
	var sums Sums
	for range b.N {
		sums.Add(0, 0, message, true)
	}
}
