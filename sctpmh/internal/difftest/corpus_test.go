package difftest

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// corpus reads the packets of a file of interop/testdata/packets: one on a line,
// in text form.
func corpus(t *testing.T, name string) (packets [][]byte) {
	t.Helper()
	b, err := os.ReadFile("../../../interop/testdata/packets/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		p, err := wire.ParseText(line)
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	return packets
}

// mutate returns a packet that is like one of the corpus but for one to three
// changes. The ports stay, and the tag mostly.
func mutate(rng *rand.Rand, packets [][]byte) []byte {
	p := slices.Clone(packets[rng.IntN(len(packets))])
	for range 1 + rng.IntN(3) {
		if len(p) <= wire.HeaderLen+4 {
			break
		}
		p = changes[rng.IntN(len(changes))](rng, p, packets)
	}
	return p
}

// changes are what a mutation does.
var changes = []func(rng *rand.Rand, p []byte, packets [][]byte) []byte{
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // a bit flips
		p[wire.HeaderLen+rng.IntN(len(p)-wire.HeaderLen)] ^= 1 << rng.IntN(8)
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // an octet of interest
		p[wire.HeaderLen+rng.IntN(len(p)-wire.HeaderLen)] = []byte{0, 1, 3, 4, 5, 0x7f, 0x80, 0xff}[rng.IntN(8)]
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // another chunk type
		p[at(rng, p, false)] = byte(rng.IntN(256))
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // another length of a chunk
		length(p[at(rng, p, false)+2:], rng)
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // another length of a parameter
		if i := at(rng, p, true); i > 0 {
			length(p[i+2:], rng)
		}
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // another type of a parameter
		if i := at(rng, p, true); i > 0 {
			types := []uint16{1, 5, 6, 7, 8, 9, 11, 12, 0x8000, 0x8002, 0x8003, 0x8004, 0x8005, 0x8008, 0xc000, 0xc001, 0xc004, 0xc006}
			n := uint16(rng.Uint32())
			if rng.IntN(2) == 0 {
				n = types[rng.IntN(len(types))]
			}
			binary.BigEndian.PutUint16(p[i:], n)
		}
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // one more parameter
		c := lastChunk(p)
		if p[c] != byte(wire.TypeInit) || len(p)%4 != 0 {
			return p
		}
		p = wire.AppendParam(p, wire.ParamType(rng.Uint32()), make([]byte, rng.IntN(9)))
		binary.BigEndian.PutUint16(p[c+2:], uint16(len(p)-c))
		return p
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // one more chunk
		for len(p)%4 != 0 {
			p = append(p, 0)
		}
		return wire.AppendChunk(p, wire.ChunkType(rng.IntN(256)), byte(rng.IntN(256)), make([]byte, rng.IntN(20)))
	},
	func(rng *rand.Rand, p []byte, packets [][]byte) []byte { // the chunks of another packet behind
		other := packets[rng.IntN(len(packets))]
		return append(p, other[wire.HeaderLen:]...)
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // a piece is missing
		return p[:wire.HeaderLen+rng.IntN(len(p)-wire.HeaderLen)]
	},
	func(rng *rand.Rand, p []byte, _ [][]byte) []byte { // another tag
		if rng.IntN(4) == 0 {
			binary.BigEndian.PutUint32(p[4:], []uint32{0, 8, 10, 0xffffffff}[rng.IntN(4)])
		}
		return p
	},
}

// length changes a length field.
func length(b []byte, rng *rand.Rand) {
	n := binary.BigEndian.Uint16(b)
	binary.BigEndian.PutUint16(b, []uint16{0, 3, 4, 5, n - 4, n - 1, n + 1, n + 4, 0xffff, uint16(rng.Uint32())}[rng.IntN(10)])
}

// at returns where in a packet a chunk begins or, with param, a parameter of an
// INIT; 0 where there is none.
func at(rng *rand.Rand, p []byte, param bool) int {
	var places []int
	place := wire.HeaderLen
	for _, c := range chunks(p) {
		if !param {
			places = append(places, place)
		} else if in, ok := wire.ParseInit(c); ok && c.Type == wire.TypeInit {
			inner := place + 20
			for rest := in.Params; len(rest) > 0; {
				_, next, ok := wire.NextParam(rest)
				if !ok {
					break
				}
				places = append(places, inner)
				inner += len(rest) - len(next)
				rest = next
			}
		}
		place += (4 + len(c.Value) + 3) &^ 3
	}
	if len(places) == 0 {
		if param {
			return 0
		}
		return wire.HeaderLen
	}
	return places[rng.IntN(len(places))]
}

// lastChunk returns where a packet's last chunk begins.
func lastChunk(p []byte) int {
	place, last := wire.HeaderLen, wire.HeaderLen
	for _, c := range chunks(p) {
		last = place
		place += (4 + len(c.Value) + 3) &^ 3
	}
	return last
}
