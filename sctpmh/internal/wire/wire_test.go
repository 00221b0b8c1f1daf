package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// examples are packets written out by hand from the figures of RFC 9260
// section 3, and their text.
var examples = []struct{ hex, text string }{
	{"0fa0 1388 1a2b3c4d 00000000 | 00 03 0012 00000007 0001 0002 00000009 6869 0000", "4000>5000 tag=1a2b3c4d DATA{flags=BE tsn=7 sid=1 ssn=2 ppid=9 data=6869}"},
	{"0fa0 1388 1a2b3c4d 00000000 | 00 0c 0013 00000007 0001 0000 00000000 616263 00", "4000>5000 tag=1a2b3c4d DATA{flags=IU tsn=7 sid=1 ssn=0 ppid=0 data=616263}"},
	{"0fa0 1388 00000000 00000000 | 01 00 0030 0a0b0c0d 00010000 000a 0800 00000005 | 0005 0008 c0000201 | 000c 0006 0005 0000 | c006 0008 6d680001 | 8008 0004",
		"4000>5000 tag=00000000 INIT{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5 addr=192.0.2.1 p000c=0005 pc006=6d680001 p8008=}"},
	{"0fa0 1388 00000001 00000000 | 02 00 0031 0a0b0c0d 00010000 000a 0800 00000005 | 0006 0014 20010db8000000000000000000000001 | 0007 0009 6b6b6b6b6b 000000",
		"4000>5000 tag=00000001 INIT-ACK{tag=0a0b0c0d rwnd=65536 os=10 is=2048 tsn=5 addr=2001:db8::1 p0007=6b6b6b6b6b}"},
	{"0fa0 1388 00000001 00000000 | 03 00 001c 00000064 00001000 0002 0001 0002 0003 0005 0005 00000060", "4000>5000 tag=00000001 SACK{cum=100 rwnd=4096 gaps=2-3,5-5 dups=96}"},
	{"0fa0 1388 00000001 00000000 | 04 00 0010 0001 000c 0102030405060708", "4000>5000 tag=00000001 HEARTBEAT{info=0102030405060708}"},
	{"0fa0 1388 00000001 00000000 | 05 00 0010 0001 000c 0102030405060708", "4000>5000 tag=00000001 HEARTBEAT-ACK{info=0102030405060708}"},
	{"0fa0 1388 00000001 00000000 | 06 01 0004", "4000>5000 tag=00000001 ABORT{flags=T}"},
	{"0fa0 1388 00000001 00000000 | 06 00 000b 000c 0007 627965 00", "4000>5000 tag=00000001 ABORT{c000c=627965}"},
	{"0fa0 1388 00000001 00000000 | 07 00 0008 00000009", "4000>5000 tag=00000001 SHUTDOWN{cum=9}"},
	{"0fa0 1388 00000001 00000000 | 08 00 0004", "4000>5000 tag=00000001 SHUTDOWN-ACK{}"},
	{"0fa0 1388 00000001 00000000 | 09 00 0014 0001 0008 0005 0000 0003 0008 00000010", "4000>5000 tag=00000001 ERROR{c0001=00050000 c0003=00000010}"},
	{"0fa0 1388 00000001 00000000 | 0a 00 0006 6b6b 0000 | 00 03 0011 00000001 0000 0000 00000000 78 000000", "4000>5000 tag=00000001 COOKIE-ECHO{value=6b6b} DATA{flags=BE tsn=1 sid=0 ssn=0 ppid=0 data=78}"},
	{"0fa0 1388 00000001 00000000 | 0b 00 0004", "4000>5000 tag=00000001 COOKIE-ACK{}"},
	{"0fa0 1388 00000001 00000000 | 0e 01 0004", "4000>5000 tag=00000001 SHUTDOWN-COMPLETE{flags=T}"},
	{"0fa0 1388 00000001 00000000 | c1 00 0008 01020304", "4000>5000 tag=00000001 ASCONF{value=01020304}"},
	{"0fa0 1388 00000001 00000000 | ee 0f 0005 01 000000", "4000>5000 tag=00000001 CHUNK-ee{flags=0f value=01}"},
}

func packet(t testing.TB, s string) []byte {
	b := unhex(t, strings.ReplaceAll(s, "|", ""))
	SetChecksum(b)
	return b
}

// Text and ParseText are each other's inverse, and the octets are those of
// the RFC's figures.
//
//rfc:9260 3-2 3.2-1 3.2-2 3.2-3 3.2.1-1 3.2.1-2 3.3.1-1 3.3.1-5 3.3.1-8 3.3.1-9 3.3.1-10 3.3.2.1-1 3.3.3.1-2
//rfc:9260 3.3.4-1
func TestExamples(t *testing.T) {
	for _, e := range examples {
		p := packet(t, e.hex)
		if got := Text(p); got != e.text {
			t.Errorf("text of %x\n got %s\nwant %s", p, got, e.text)
		}
		got, err := ParseText(e.text)
		if err != nil || !bytes.Equal(got, p) {
			t.Errorf("%s\n got %x, %v\nwant %x", e.text, got, err, p)
		}
	}
}

// CRC32c of "123456789" is e3069283, and it is sent least significant octet
// first (RFC 9260 appendix A). The header's own field counts as zeros.
//
//rfc:9260 6.8-1 6.8-2 6.8-3
//rfc:6951 5.3-3
func TestChecksum(t *testing.T) {
	p := append([]byte("12345678"), 0, 0, 0, 0)
	p = append(p, '9')
	SetChecksum(p)
	if !ChecksumOK(p) {
		t.Error("own checksum is wrong")
	}
	p[12]++
	if ChecksumOK(p) || ChecksumOK(p[:11]) {
		t.Error("a wrong checksum passes")
	}
	if crc := crc32.Checksum([]byte("123456789"), castagnoli); crc != 0xE3069283 {
		t.Errorf("CRC32c %08x", crc)
	}
	q := make([]byte, HeaderLen)
	SetChecksum(q)
	if got, want := binary.LittleEndian.Uint32(q[8:]), crc32.Checksum(make([]byte, HeaderLen), castagnoli); got != want {
		t.Errorf("checksum %08x, want %08x", got, want)
	}
}

// Every truncation of every example is malformed or a shorter packet, never a
// panic, and never reads beyond its end (CVE-2016-9555, CVE-2021-3655).
func TestTruncations(t *testing.T) {
	for _, e := range examples {
		p := packet(t, e.hex)
		for n := range p {
			walk(t, p[:n:n])
		}
	}
}

// walk looks at everything in a packet, as an endpoint would, and fails when
// it does not end.
func walk(t testing.TB, p []byte) {
	if _, ok := ParseHeader(p); !ok {
		return
	}
	rest := p[HeaderLen:]
	for steps := 0; len(rest) > 0; steps++ {
		if steps > len(p) {
			t.Fatalf("walking %x does not end", p)
		}
		c, next, ok := NextChunk(rest)
		if !ok {
			return
		}
		if len(next) >= len(rest) {
			t.Fatalf("no progress in %x", p)
		}
		rest = next
		ParseData(c)
		HeartbeatInfo(c)
		ParseShutdown(c)
		if in, ok := ParseInit(c); ok {
			walkParams(t, in.Params)
		}
		walkCauses(t, c.Value)
		if s, ok := ParseSack(c); ok {
			for i := range s.NumGaps() {
				s.Gap(i)
			}
			for i := range s.NumDups() {
				s.Dup(i)
			}
			s.Valid()
		}
	}
}

func walkParams(t testing.TB, b []byte) {
	for steps := 0; len(b) > 0; steps++ {
		p, next, ok := NextParam(b)
		if !ok {
			return
		}
		if len(next) >= len(b) {
			t.Fatalf("no progress in parameters %x", b)
		}
		p.Addr()
		b = next
	}
}

func walkCauses(t testing.TB, b []byte) {
	for len(b) > 0 {
		_, next, ok := NextCause(b)
		if !ok {
			return
		}
		if len(next) >= len(b) {
			t.Fatalf("no progress in causes %x", b)
		}
		b = next
	}
}

// Chunk lengths of zero to three are malformed: taking them for progress is
// an endless loop (CVE-2026-99128; pion #469).
//
//rfc:9260 6.10-7
func TestShortLengths(t *testing.T) {
	for n := range byte(4) {
		if _, _, ok := NextChunk([]byte{0, 0, 0, n, 0, 0, 0, 0}); ok {
			t.Errorf("a chunk of length %d is taken", n)
		}
		if _, _, ok := NextParam([]byte{0, 1, 0, n, 0, 0, 0, 0}); ok {
			t.Errorf("a parameter of length %d is taken", n)
		}
	}
	for _, b := range [][]byte{{0, 0, 0, 9, 0, 0, 0, 0}, {0, 0, 0xFF, 0xFF}, {0, 0, 0}} {
		if _, _, ok := NextChunk(b); ok {
			t.Errorf("%x: a chunk longer than its packet is taken", b)
		}
	}
}

//rfc:9260 3.3.4-1
func TestSackValidity(t *testing.T) {
	for text, want := range map[string]bool{
		"SACK{cum=1 rwnd=1}":                          true,
		"SACK{cum=1 rwnd=1 gaps=2-2,4-9}":             true,
		"SACK{cum=1 rwnd=1 gaps=1-2}":                 false, // 1 would be the cumulative TSN
		"SACK{cum=1 rwnd=1 gaps=0-2}":                 false,
		"SACK{cum=1 rwnd=1 gaps=5-4}":                 false,
		"SACK{cum=1 rwnd=1 gaps=5-9,3-4}":             false,
		"SACK{cum=1 rwnd=1 gaps=5-9,9-12}":            false,
		"SACK{cum=1 rwnd=1 gaps=65535-65535}":         true,
		"SACK{cum=1 rwnd=1 gaps=2-65535,65535-65535}": false,
	} {
		p, err := ParseText("1>2 tag=1 " + text)
		if err != nil {
			t.Fatal(err)
		}
		c, _, _ := NextChunk(p[HeaderLen:])
		s, ok := ParseSack(c)
		if !ok || s.Valid() != want {
			t.Errorf("%s: valid %v, want %v", text, s.Valid(), want)
		}
	}
	for _, v := range []string{"00000001 00000001 0001 0000", "00000001 00000001 0000 ffff", "00000001 00000001 0000 0000 00"} {
		if _, ok := ParseSack(Chunk{Value: unhex(t, v)}); ok {
			t.Errorf("%s: counts that do not match the length are taken", v)
		}
	}
}

// "Chunk Types are encoded such that the highest-order 2 bits specify the
// action" (section 3.2).
func TestUnknownActions(t *testing.T) {
	for typ, want := range map[ChunkType][2]bool{0x3F: {false, false}, 0x7F: {false, true}, 0xBF: {true, false}, 0xFF: {true, true}} {
		if skip, report := typ.UnknownAction(); skip != want[0] || report != want[1] {
			t.Errorf("chunk %02x: skip %v, report %v", uint8(typ), skip, report)
		}
	}
	for typ, want := range map[ParamType][2]bool{0x3FFF: {false, false}, 0x7FFF: {false, true}, 0xBFFF: {true, false}, 0xFFFF: {true, true}} {
		if skip, report := typ.UnknownAction(); skip != want[0] || report != want[1] {
			t.Errorf("parameter %04x: skip %v, report %v", uint16(typ), skip, report)
		}
	}
}

// The length of a chunk "does not count any chunk padding. However, it does
// include any padding of variable-length parameters other than the last"
// (section 3.2).
func TestPaddingOfTheLastParameterIsNotCounted(t *testing.T) {
	params := AppendParam(AppendParam(nil, 0x8000, []byte{1}), 0x8001, []byte{2})
	b := AppendInit(nil, TypeInit, Init{Tag: 1, Params: params})
	if c, rest, ok := NextChunk(b); !ok || len(rest) != 0 || len(c.Raw) != 20+8+5 || len(b) != 36 {
		t.Errorf("%x: chunk length %d of %d", b, len(c.Raw), len(b))
	}
}

//rfc:9260 3.3.2.1.2-1
func TestAddrParams(t *testing.T) {
	for _, a := range []string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"} {
		want := netip.MustParseAddr(a).Unmap()
		p, rest, ok := NextParam(AppendAddrParam(nil, netip.MustParseAddr(a)))
		if got, isAddr := p.Addr(); !ok || len(rest) != 0 || !isAddr || got != want {
			t.Errorf("%s: %v, %v", a, got, isAddr)
		}
	}
	for _, p := range []Param{{Type: ParamIPv4, Value: make([]byte, 5)}, {Type: ParamIPv6, Value: make([]byte, 4)}, {Type: ParamPad, Value: make([]byte, 4)}} {
		if _, ok := p.Addr(); ok {
			t.Errorf("%+v is taken for an address", p)
		}
	}
}

// Serial number arithmetic around the wrap (section 1.6).
//
//rfc:9260 1.6-2 1.6-5
func TestSerialNumbers(t *testing.T) {
	for _, x := range []struct {
		a, b TSN
		less bool
	}{{1, 2, true}, {2, 1, false}, {5, 5, false}, {0xFFFFFFFF, 0, true}, {0, 0xFFFFFFFF, false}, {0xFFFFFFF0, 0x10, true}} {
		if x.a.Less(x.b) != x.less {
			t.Errorf("%d < %d: %v", x.a, x.b, !x.less)
		}
	}
	if TSN(2).Sub(0xFFFFFFFF) != 3 || TSN(0xFFFFFFFF).Add(2) != 1 || !SSN(0xFFFF).Less(0) {
		t.Error("wrap")
	}
}

func TestNoAllocations(t *testing.T) {
	p := packet(t, examples[4].hex)
	data := Data{Begin: true, End: true, Payload: make([]byte, 1000)}
	buf := make([]byte, 0, 2048)
	if n := testing.AllocsPerRun(100, func() {
		walk(t, p)
		b := AppendData(AppendHeader(buf, Header{}), &data)
		SetChecksum(b)
	}); n != 0 {
		t.Errorf("%v allocations to read and write a packet", n)
	}
}

func TestParseTextErrors(t *testing.T) {
	for _, s := range []string{"", "x", "1>2", "1>2 tag=z", "1>2 tag=1 DATA", "1>2 tag=1 NOPE{}", "1>2 tag=1 DATA{tsn=x}", "1>2 tag=1 DATA{foo=1}",
		"1>2 tag=1 SACK{cum=1 gaps=a-b}", "1>2 tag=1 DATA{data=~99999}", "1>2 tag=1 INIT{tag=1 addr=nope}", "1>2 tag=1 SHUTDOWN{cum}"} {
		if _, err := ParseText(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, e := range examples {
		f.Add(packet(f, e.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		walk(t, b)
		ChecksumOK(b)
	})
}

// FuzzText: what the text of a packet reads back as has the same text.
func FuzzText(f *testing.F) {
	for _, e := range examples {
		f.Add(packet(f, e.hex), e.text)
	}
	f.Fuzz(func(t *testing.T, b []byte, s string) {
		text := Text(b)
		if again, err := ParseText(text); err == nil && Text(again) != text {
			t.Errorf("%x\nreads %s\n then %s", b, text, Text(again))
		}
		if p, err := ParseText(s); err == nil {
			if q, err := ParseText(Text(p)); err != nil || Text(q) != Text(p) {
				t.Errorf("%q\nreads %s\n then %s, %v", s, Text(p), Text(q), err)
			}
		}
	})
}
