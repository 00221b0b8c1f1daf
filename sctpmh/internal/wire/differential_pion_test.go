package wire_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pion/sctp"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// The parser of github.com/pion/sctp has been written by others after the same
// RFC. It is not exported; what is, for fuzzing, is whether it takes a packet
// ([sctp.TryMarshalUnmarshal]), and its associations show what it has read: see
// differential_pion_read_test.go.

// A verdict is how pion's parser judges a chunk, seen from ours.
type verdict int

const (
	same verdict = iota
	takes
	refuses
)

// A place is a chunk as it stands in a packet.
type place struct {
	wire.Chunk
	padding []byte // behind it, as much as there is
	behind  []byte // the packet from the chunk's value on, to the packet's end
}

// A difference is a form that the two parsers judge differently, and the
// sentence that settles which of them is right.
type difference struct {
	name  string
	right string // "wire", "pion", or "both" where the RFC leaves it open
	rfc   string // section of RFC 9260
	quote string
	pion  func(p place) verdict
}

// differences are all that there are: pion's verdict on any packet is foretold
// by ours and these.
var differences = []difference{
	{
		"padding that is not zero", "wire", "3.2", "The receiver MUST ignore the padding bytes.",
		func(p place) verdict {
			last := len(p.behind)-len(p.Value) < 4 // pion looks at that of the last chunk only
			return when(last && !zero(p.padding), refuses)
		},
	}, {
		"no padding behind the last chunk", "wire", "6.10",
		"A partial chunk is a chunk that is not completely contained in the SCTP packet; i.e., the SCTP packet is too short to contain all the bytes of the chunk as indicated by the chunk length.",
		func(p place) verdict { return when((len(p.Raw)+len(p.padding))%4 != 0, refuses) },
	}, {
		"HEARTBEAT ACK", "wire", "3.3.6",
		"An endpoint MUST send this chunk to its peer endpoint as a response to a HEARTBEAT chunk (see Section 8.3).",
		func(p place) verdict { return when(p.Type == wire.TypeHeartbeatAck, refuses) },
	}, {
		"a packet with an unknown chunk, whatever its type and what precedes it", "wire", "3.2",
		"Stop processing this SCTP packet and discard the unrecognized chunk and all further chunks. (or) Skip this chunk and continue processing.",
		func(p place) verdict { return when(!pionKnows(p.Type), refuses) },
	}, {
		"flags of INIT and INIT ACK", "wire", "3.3.2",
		"The Chunk Flags field in INIT chunks is reserved, and all bits in it SHOULD be set to 0 by the sender and ignored by the receiver.",
		func(p place) verdict { return when(isInit(p.Type) && p.Flags != 0, refuses) },
	}, {
		"up to four octets behind the parameters of INIT and INIT ACK that are none", "wire", "3.2.1",
		"The total length of a parameter (including Parameter Type, Parameter Length, and Parameter Value fields) MUST be a multiple of 4 bytes.",
		func(p place) verdict {
			in, ok := wire.ParseInit(p.Chunk)
			return when(isInit(p.Type) && ok && len(params(in.Params)) > 0 && len(params(in.Params)) <= 4, takes)
		},
	}, {
		"HEARTBEAT without its parameter", "wire", "3.3.5",
		"Defined as a variable-length parameter using the format described in Section 3.2.1",
		func(p place) verdict { return when(p.Type == wire.TypeHeartbeat && len(p.Value) == 0, takes) },
	}, {
		"zeros behind the parameter of HEARTBEAT", "wire", "3.2.1", "A sender MUST NOT pad with more than 3 bytes.",
		func(p place) verdict {
			info, behind, ok := heartbeat(p.Chunk)
			return when(ok && info && len(behind) > 0 && zero(behind), takes)
		},
	}, {
		"padding of the parameter of HEARTBEAT that is not zero", "wire", "3.2.1", "The receiver MUST ignore the padding bytes.",
		func(p place) verdict {
			info, behind, ok := heartbeat(p.Chunk)
			return when(ok && info && !zero(behind), refuses)
		},
	},
	paddedCauses,
}

var paddedCauses = difference{
	"error causes end on a multiple of four, and with their chunk", "wire", "3.3.10",
	"Error causes are defined as variable-length parameters using the format described in Section 3.2.1",
	func(p place) verdict {
		if !isError(p.Type) {
			return same
		}
		if _, ok := unpadded(p.behind); !ok {
			return refuses
		}
		return takes
	},
}

// report tells how often a difference showed; one that never does any more is
// to be struck from the table.
func (d difference) report(t *testing.T, n int) {
	t.Helper()
	t.Logf("%5d × %s (right: %s; RFC 9260 section %s: %q)", n, d.name, d.right, d.rfc, d.quote)
	if n == 0 {
		t.Errorf("%s: no packet shows this difference any more", d.name)
	}
}

func when(b bool, v verdict) verdict {
	if b {
		return v
	}
	return same
}

func zero(b []byte) bool { return strings.Trim(string(b), "\x00") == "" }

func isInit(t wire.ChunkType) bool  { return t == wire.TypeInit || t == wire.TypeInitAck }
func isError(t wire.ChunkType) bool { return t == wire.TypeAbort || t == wire.TypeError }

// isExtension reports whether pion looks into a chunk and we do not.
func isExtension(t wire.ChunkType) bool {
	return t == wire.TypeIData || t == wire.TypeReconfig || t == wire.TypeForwardTSN || t == wire.TypeIForwardTSN
}

func pionKnows(t wire.ChunkType) bool {
	return t <= wire.TypeCookieAck && t != wire.TypeHeartbeatAck || t == wire.TypeShutdownComplete || isExtension(t)
}

// params returns what is no parameter at the end of some.
func params(b []byte) (left []byte) {
	for len(b) > 0 {
		_, rest, ok := wire.NextParam(b)
		if !ok {
			break
		}
		b = rest
	}
	return b
}

func causes(b []byte) (all []wire.Cause, ok bool) {
	for len(b) > 0 {
		c, rest, ok := wire.NextCause(b)
		if !ok {
			return all, false
		}
		all, b = append(all, c), rest
	}
	return all, true
}

// unpadded reads causes as pion does: one begins where the value of the one
// before ends, and all that follows in the packet is taken for causes.
func unpadded(b []byte) (all []wire.Cause, ok bool) {
	for len(b) >= 4 {
		c, _, ok := wire.NextCause(b)
		if !ok {
			return all, false
		}
		all, b = append(all, c), b[4+len(c.Info):]
	}
	return all, true
}

// heartbeat returns what is behind the first parameter of a HEARTBEAT, its
// padding included, and whether it is of the right type.
func heartbeat(c wire.Chunk) (info bool, behind []byte, ok bool) {
	p, _, ok := wire.NextParam(c.Value)
	if c.Type != wire.TypeHeartbeat || !ok {
		return false, nil, false
	}
	return p.Type == wire.ParamHeartbeatInfo, c.Value[len(p.Raw):], true
}

// ours is what the package says of a chunk that is whole.
func ours(c wire.Chunk) (ok bool) {
	switch c.Type {
	case wire.TypeData:
		_, ok = wire.ParseData(c)
	case wire.TypeInit, wire.TypeInitAck:
		var in wire.Init
		in, ok = wire.ParseInit(c)
		ok = ok && len(params(in.Params)) == 0
	case wire.TypeSack:
		_, ok = wire.ParseSack(c)
	case wire.TypeHeartbeat, wire.TypeHeartbeatAck:
		_, ok = wire.HeartbeatInfo(c)
	case wire.TypeAbort, wire.TypeError:
		_, ok = causes(c.Value)
	case wire.TypeShutdown:
		_, ok = wire.ParseShutdown(c)
	default:
		return true
	}
	return ok
}

// judge returns our verdict on a packet and, by the differences, pion's.
// known is false when pion's depends on chunks that we do not look into.
// applied are the differences that matter.
func judge(packet []byte) (our, pion, known bool, applied []int) {
	if !wire.ChecksumOK(packet) {
		return false, false, true, nil
	}
	our, pion, known = true, true, true
	for rest := packet[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok {
			return false, false, true, applied
		}
		p := place{c, rest[len(c.Raw) : len(rest)-len(next)], rest[wire.ChunkHeaderLen:]}
		taken := ours(c)
		our = our && taken
		refused := false
		for i, d := range differences {
			switch v := d.pion(p); {
			case v == takes && !ours(c):
				taken = true
				applied = append(applied, i)
			case v == refuses:
				refused = true
				applied = append(applied, i)
			}
		}
		pion = pion && taken && !refused
		known = known && !isExtension(c.Type)
		rest = next
	}
	return our, pion, known || !pion, applied
}

const mutations = 60_000

// Both parsers take the same packets, but for the differences. A mutation is
// replayed by its seed.
func TestPionTakesTheSamePackets(t *testing.T) {
	corpus := packets(t)
	var took, judged int
	explains := make([]int, len(differences))
	for seed := range uint64(mutations + len(corpus)) {
		p := mutated(corpus, seed)
		our, pion, known, applied := judge(p)
		if !known {
			continue
		}
		judged++
		if got := sctp.TryMarshalUnmarshal(p) == 1; got != pion {
			t.Errorf("seed %d: pion takes it: %v; want %v; we do: %v\n%x\n%s", seed, got, pion, our, p, wire.Text(p))
		}
		if our {
			took++
		}
		if our != pion {
			for _, i := range applied {
				explains[i]++
			}
		}
	}
	for i, d := range differences {
		d.report(t, explains[i])
	}
	t.Logf("%d packets, %d judged, of which we take %d", mutations+len(corpus), judged, took)
	if judged < mutations/2 || took < judged/4 || took > judged*3/4 {
		t.Error("the packets are not mixed well")
	}
}

// texts are packets of every chunk type that both parsers read.
var texts = []string{
	"5000>5000 tag=00000007 DATA{flags=BE tsn=7 sid=1 ssn=0 ppid=7 data=686921}",
	"5000>5000 tag=00000007 DATA{flags=IUB tsn=7 sid=65535 ssn=9 ppid=51 data=00}",
	"5000>5000 tag=00000007 DATA{flags=E tsn=4294967295 sid=2 ssn=40000 ppid=4294967295 data=~100}",
	"5000>5000 tag=00000007 DATA{flags=BE tsn=7 sid=1 ssn=1 ppid=0 data=0102} DATA{flags=BE tsn=8 sid=1 ssn=2 ppid=0 data=030405}",
	"5000>5000 tag=00000007 SACK{cum=100 rwnd=65536} DATA{flags=UBE tsn=9 sid=3 ssn=0 ppid=1 data=01020304}",
	"5000>5000 tag=00000007 SACK{cum=100 rwnd=4096 gaps=2-3,5-5 dups=96,97}",
	"5000>5000 tag=00000000 INIT{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5}",
	"5000>5000 tag=00000000 INIT{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5 p8008=c0c182 pc000=}",
	"5000>5000 tag=00000000 INIT{tag=0a0b0c0d rwnd=1500 os=1 is=65535 tsn=4294967295 p8000= p8001=00000001 p8008=c0}",
	"5000>5000 tag=00000000 INIT{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5 addr=192.0.2.1 addr=2001:db8::1 p000c=00050006 pc006=6d680001}",
	"5000>5000 tag=00000007 INIT-ACK{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5 p0007=6b6b6b6b6b p8008=c0}",
	"5000>5000 tag=00000007 HEARTBEAT{info=0102030405060708}",
	"5000>5000 tag=00000007 HEARTBEAT{value=0001000701020300}",
	"5000>5000 tag=00000007 HEARTBEAT{value=000100080102030400000000} SACK{cum=1 rwnd=1}",
	"5000>5000 tag=00000007 HEARTBEAT{info=01020304} DATA{flags=BE tsn=7 sid=1 ssn=0 ppid=7 data=6869}",
	"5000>5000 tag=00000007 HEARTBEAT-ACK{info=0102030405060708}",
	"5000>5000 tag=00000007 ABORT{flags=T}",
	"5000>5000 tag=00000007 ABORT{c000c=62796521 c0009=00000007}",
	"5000>5000 tag=00000007 ABORT{c000d=6279 c0001=00050000}",
	"5000>5000 tag=00000007 ERROR{c0001=00050000 c0003=00000010 c0006=ee0f000501}",
	"5000>5000 tag=00000007 ERROR{c0001=00050000} COOKIE-ACK{}",
	"5000>5000 tag=00000007 SHUTDOWN{cum=9}",
	"5000>5000 tag=00000007 SHUTDOWN-ACK{}",
	"5000>5000 tag=00000007 SHUTDOWN-COMPLETE{flags=T}",
	"5000>5000 tag=00000007 COOKIE-ECHO{value=6b6b6b} DATA{flags=BE tsn=1 sid=0 ssn=0 ppid=0 data=78}",
	"5000>5000 tag=00000007 COOKIE-ACK{} SACK{cum=1 rwnd=1}",
	"5000>5000 tag=00000007 CHUNK-ee{flags=0f value=01} COOKIE-ACK{}",
	"5000>5000 tag=00000007",
}

// packets is the corpus: the texts, and what fuzzing of this package and of the
// engine's endpoint has found worth keeping.
func packets(t *testing.T) (all [][]byte) {
	t.Helper()
	for _, s := range texts {
		p, err := wire.ParseText(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, b := range kept(t, "testdata/fuzz/FuzzPacket/*") {
		all = append(all, sealed(b))
	}
	for _, b := range kept(t, "../engine/testdata/fuzz/FuzzEndpoint/*") {
		for len(b) > 2 { // each has its length before it
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			all, b = append(all, sealed(b[2:2+n:2+n])), b[2+n:]
		}
	}
	if len(all) < 200 {
		t.Fatalf("%d packets in the corpus", len(all))
	}
	return all
}

// kept returns the first octet string of each file of a fuzz corpus.
func kept(t *testing.T, pattern string) (all [][]byte) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatal(pattern, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		s, err := strconv.Unquote(strings.TrimSuffix(strings.TrimPrefix(lines[1], "[]byte("), ")"))
		if err != nil {
			t.Fatal(fmt.Errorf("%s: %w", name, err))
		}
		all = append(all, []byte(s))
	}
	return all
}

// sealed gives what is long enough for a packet the right checksum.
func sealed(b []byte) []byte {
	if len(b) >= wire.HeaderLen {
		wire.SetChecksum(b)
	}
	return b
}

// mutated returns a packet of the corpus, one of the texts as often as not,
// changed in up to three places. The first seeds are the corpus itself.
func mutated(corpus [][]byte, seed uint64) []byte {
	if seed < uint64(len(corpus)) {
		return corpus[seed]
	}
	r := rand.New(rand.NewPCG(seed, 9260))
	other := func() []byte {
		if r.IntN(2) == 0 {
			return corpus[r.IntN(len(texts))]
		}
		return corpus[r.IntN(len(corpus))]
	}
	p := append([]byte(nil), other()...)
	for range 1 + r.IntN(3) {
		p = mutate(r, p, other)
	}
	sealed(p)
	if r.IntN(50) == 0 && len(p) >= wire.HeaderLen {
		p[8+r.IntN(4)]++ // not to zero, which stands for none (RFC 9653)
		p[11] |= 1
	}
	return p
}

// telling are octets that more often than others are a length, type or flag.
var telling = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 0x40, 0x80, 0xC0, 0xFF}

func mutate(r *rand.Rand, p []byte, other func() []byte) []byte {
	if len(p) <= wire.HeaderLen {
		return append([]byte(nil), other()...)
	}
	at := wire.HeaderLen + r.IntN(len(p)-wire.HeaderLen)
	c, header := chunkAt(r, p)
	switch r.IntN(10) {
	case 0:
		p[at] ^= 1 << r.IntN(8)
	case 1:
		p[at] = telling[r.IntN(len(telling))]
	case 2:
		p = p[:len(p)-1-r.IntN(4)]
	case 3:
		p = append(p, make([]byte, r.IntN(5))...)
	case 4: // octets less or more in the middle, at most three
		n := r.IntN(4)
		p = append(append(p[:at:at], telling[:n]...), p[min(at+r.IntN(4), len(p)):]...)
	case 5: // another packet's chunks behind these
		if o := other(); len(o) > wire.HeaderLen {
			p = append(p, o[wire.HeaderLen:]...)
		}
	case 6: // a chunk once more
		p = append(p, c.Raw...)
	case 7: // the length of a chunk
		p[header+3] += byte(r.IntN(9) - 4)
	case 8: // its flags
		p[header+1] = byte(1) << r.IntN(8)
	case 9: // what may be padding
		p[len(p)-1] = telling[r.IntN(2)]
	}
	return p
}

// chunkAt returns one of the chunks of a packet and where it begins.
func chunkAt(r *rand.Rand, p []byte) (c wire.Chunk, at int) {
	var starts []int
	for rest := p[wire.HeaderLen:]; ; {
		_, next, ok := wire.NextChunk(rest)
		if !ok {
			break
		}
		starts, rest = append(starts, len(p)-len(rest)), next
	}
	if len(starts) == 0 {
		return c, max(len(p)-4, 0)
	}
	at = starts[r.IntN(len(starts))]
	c, _, _ = wire.NextChunk(p[at:])
	return c, at
}
