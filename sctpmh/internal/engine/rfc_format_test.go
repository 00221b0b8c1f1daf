package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// fmtChunks returns the chunks of a packet.
func fmtChunks(packet []byte) (chunks []wire.Chunk) {
	for rest := packet[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok {
			break
		}
		chunks, rest = append(chunks, c), next
	}
	return chunks
}

// fmtData returns the DATA chunks that a side sent, without repetitions.
func fmtData(n *pair, s *side) (all []wire.Data) {
	known := map[wire.TSN]bool{}
	for _, p := range n.seen {
		for _, c := range fmtChunks(p.data) {
			if d, ok := wire.ParseData(c); ok && p.from == s.name && c.Type == wire.TypeData && !known[d.TSN] {
				known[d.TSN] = true
				all = append(all, d)
			}
		}
	}
	return all
}

// fmtBegin has a side that has sent nothing begin with a TSN.
func fmtBegin(s *side, tsn wire.TSN) {
	s.assoc.flight = newInflight(tsn)
	s.other.assoc.peer.tsn = tsn
	s.other.assoc.rcv.cum = tsn.Add(^uint32(0))
}

// 1.6: TSN 0 follows TSN 2^32-1, and neither acknowledgement nor repair of losses suffers from the wrap.
//
//rfc:9260 1.6-1 1.6-2 1.6-4
func TestRFC9260FormatTSNWraps(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	fmtBegin(n.a, 1<<32-20)
	fmtBegin(n.b, 1<<32-20)
	i := 0
	n.drop = func(_ *side, _ Pair, b []byte) bool { i++; return i%7 == 0 && has(b, wire.TypeData) }
	n.send(n.a, 1, 60, 1000)
	n.send(n.b, 1, 60, 1000)
	n.wantMessages(n.a, 5*time.Second, 60, 1000)
	n.wantMessages(n.b, 5*time.Second, 60, 1000)
	for _, s := range []*side{n.a, n.b} {
		for i, d := range fmtData(n, s) {
			if want := wire.TSN(uint32(1<<32 - 20 + i)); d.TSN != want {
				t.Fatalf("%s: TSN %d, want %d", s.name, d.TSN, want)
			}
		}
		if r := s.assoc.Stats().Retransmits; r == 0 || r > 20 {
			t.Errorf("%s sent %d chunks again", s.name, r)
		}
	}
}

// 1.6: stream sequence number 0 follows 65535, also when messages overtake each other.
//
//rfc:9260 1.6-5
func TestRFC9260FormatSSNWraps(t *testing.T) {
	const first = 1<<16 - 20
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.out.flow(flowID{stream: 1}).ssn = first
	n.b.assoc.reasm.streams[1] = &inStream{next: first}
	i := 0
	n.late = func(*side, Pair, []byte) time.Duration { i++; return time.Duration(i%4) * 15 * time.Millisecond }
	n.send(n.a, 1, 60, 1000)
	n.wantMessages(n.b, 5*time.Second, 60, 1000)
	for i, d := range fmtData(n, n.a) {
		if want := wire.SSN(uint16(first + i)); d.SSN != want {
			t.Fatalf("SSN %d, want %d", d.SSN, want)
		}
	}
}

func fmtPacket(t *testing.T, format string, args ...any) []byte {
	t.Helper()
	b, err := wire.ParseText(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fmtLife is an association from INIT to SHUTDOWN COMPLETE over a bad network. Both ends send as soon as they can.
func fmtLife(t *testing.T) *pair {
	t.Helper()
	n := newPair(t, Config{}, Config{})
	i := 0
	n.drop = func(*side, Pair, []byte) bool { i++; return i%5 == 0 }
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	for i := 0; n.a.sent == nil || n.b.sent == nil; i++ {
		if i > 5000 {
			t.Fatal("not established\n" + n.trace())
		}
		n.advance(time.Millisecond)
		for _, s := range []*side{n.a, n.b} {
			if s.assoc != nil && s.assoc.Established() && s.sent == nil {
				n.send(s, 1, 10, 3000)
			}
		}
	}
	n.wantMessages(n.a, 5*time.Second, 10, 3000)
	n.wantMessages(n.b, 5*time.Second, 10, 3000)
	n.a.assoc.Shutdown(n.now)
	n.advance(10 * time.Second)
	for _, s := range []*side{n.a, n.b} {
		if e := n.wantEvent(s, EventClosed); e.Err != nil {
			t.Fatalf("%s closed with %v", s.name, e.Err)
		}
	}
	return n
}

// 3: INIT, INIT ACK and SHUTDOWN COMPLETE are alone in their packets, and no other port is used than the two.
//
//rfc:9260 3-1
func TestRFC9260FormatAlone(t *testing.T) {
	alone := map[wire.ChunkType]int{wire.TypeInit: 0, wire.TypeInitAck: 0, wire.TypeShutdownComplete: 0}
	for _, p := range fmtLife(t).seen {
		chunks := fmtChunks(p.data)
		for _, c := range chunks {
			if _, ok := alone[c.Type]; ok && len(chunks) != 1 {
				t.Errorf("not alone: %s", wire.Text(p.data))
			}
			if _, ok := alone[c.Type]; ok {
				alone[c.Type]++
			}
		}
		if h, _ := wire.ParseHeader(p.data); p.from == "a" && (h.SrcPort != 4000 || h.DstPort != 5000) || p.from == "b" && (h.SrcPort != 5000 || h.DstPort != 4000) {
			t.Errorf("ports: %s", wire.Text(p.data))
		}
	}
	for c, n := range alone {
		if n == 0 {
			t.Errorf("no %v was sent", c)
		}
	}
	s := newRFCSetup(t)
	p := s.reach("SHUTDOWN-PENDING")
	s.send("4000>5000 tag=%08x HEARTBEAT{info=00} SACK{cum=%d rwnd=65536} SHUTDOWN-ACK{}", p.local, p.ltsn)
	for !slices.Contains(s.sent[0].chunks, "SHUTDOWN-COMPLETE") {
		s.next()
	}
	s.only("SHUTDOWN-COMPLETE")
}

// 3.3.11, 3.3.12: COOKIE ECHO leads its packet and comes before all DATA of the end that dials; COOKIE ACK comes before
// all DATA and SACKs of the other.
//
//rfc:9260 3.2.2-3 3.3.11-1 3.3.12-1
func TestRFC9260FormatCookiesComeFirst(t *testing.T) {
	met := map[wire.ChunkType]bool{}
	for _, p := range fmtLife(t).seen {
		for i, c := range fmtChunks(p.data) {
			before := map[string]wire.ChunkType{"a": wire.TypeCookieEcho, "b": wire.TypeCookieAck}[p.from]
			if met[c.Type] = true; (c.Type == wire.TypeData || c.Type == wire.TypeSack) && !met[before] || c.Type == wire.TypeCookieEcho && i > 0 {
				t.Errorf("too early: %s sends %s", p.from, wire.Text(p.data))
			}
		}
	}
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.arrive(Pair{bLocals[0], peerA}, fmtPacket(t, "4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi))
	s.submit("at once")
	s.acked(s.first("COOKIE-ACK"), rfcTSN)
	s.first("DATA")
}

// 3.1: neither port is ever 0: such a packet gets no answer, and a port that the user does not name is drawn.
//
//rfc:9260 3.1-1 3.1-2
func TestRFC9260FormatPorts(t *testing.T) {
	for _, ports := range []string{"0>5000", "4000>0", "0>0"} {
		s := newRFCSetup(t)
		s.blue(ports, 0x5e5e5e5e, "SHUTDOWN-ACK{}", "")
		s.blue(ports, 0x5e5e5e5e, rfcHi, "")
		s.silent("%s tag=00000000 %s", ports, rfcInit)
	}
	s := newRFCSetup(t)
	for range 100 {
		b, _, _ := s.ep.Dial(s.now, []Pair{onPath1}, 0, 5000).Poll(s.now, nil)
		if h, _ := wire.ParseHeader(b); h.SrcPort < ephemeralPort || h.DstPort != 5000 {
			t.Fatalf("ports %d, %d", h.SrcPort, h.DstPort)
		}
	}
}

// 3.3.1: fragments have consecutive TSNs, the same stream, SSN, PPID and U bit; B marks the first, E the last, both a
// message in one piece; none is empty.
//
//rfc:9260 3.3.1-4 3.3.1-5 3.3.1-6 3.3.1-7 3.3.1-11 3.3.1-12 3.3.1-13
func TestRFC9260FormatFragments(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	messages := []Message{
		{Stream: 3, PPID: 70, Data: make([]byte, 5000)}, {Stream: 3, PPID: 71, Data: make([]byte, 1)}, {Stream: 3, PPID: 72, Data: make([]byte, 2500)},
		{Stream: 4, PPID: 73, Unordered: true, Data: make([]byte, 5000)}, {Stream: 4, PPID: 74, Unordered: true, Data: make([]byte, 100)},
		{Stream: 4, PPID: 75, Data: make([]byte, n.a.assoc.MaxPayload())},
	}
	ssn := []wire.SSN{0, 1, 2, 0, 0, 0}
	for _, m := range messages {
		if err := n.a.assoc.Send(n.now, m); err != nil {
			t.Fatal(err)
		}
		n.advance(100 * time.Millisecond)
	}
	chunks := fmtData(n, n.a)
	for i, tsn := 0, chunks[0].TSN; i < len(messages); i++ {
		for m, rest := messages[i], len(messages[i].Data); rest > 0; tsn++ {
			if len(chunks) == 0 {
				t.Fatalf("message %d: no chunk with TSN %d", i, tsn)
			}
			d := chunks[0]
			begin, size := rest == len(m.Data), len(d.Payload)
			d.Payload, d.Immediate, chunks = nil, false, chunks[1:]
			want := wire.Data{TSN: tsn, Stream: m.Stream, SSN: ssn[i], PPID: m.PPID, Unordered: m.Unordered, Begin: begin, End: size == rest}
			if fmt.Sprint(d) != fmt.Sprint(want) || size == 0 || size > rest {
				t.Fatalf("message %d: %d octets %+v, want %+v", i, size, d, want)
			}
			rest -= size
		}
	}
	if len(chunks) > 0 {
		t.Errorf("%d chunks too many", len(chunks))
	}
}

// 3.3.1: unordered messages pass those that wait for a lost one, and their SSNs mean nothing.
//
//rfc:9260 3.3.1-2 3.3.1-3
func TestRFC9260FormatUnordered(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for _, d := range []string{"flags=BE tsn=101 sid=1 ssn=1 ppid=0 data=62", "flags=UBE tsn=102 sid=1 ssn=7777 ppid=0 data=75", "flags=UE tsn=105 sid=1 ssn=9 ppid=0 data=7a",
		"flags=UB tsn=103 sid=1 ssn=0 ppid=0 data=78", "flags=U tsn=104 sid=1 ssn=5 ppid=0 data=79"} {
		s.send("4000>5000 tag=%08x DATA{%s}", p.local, d)
	}
	if got := s.received(); !slices.Equal(got, []string{"u", "xyz"}) {
		t.Errorf("received %q before the lost chunk", got)
	}
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=100 sid=1 ssn=0 ppid=0 data=61}", p.local)
	if got := s.received(); !slices.Equal(got, []string{"u", "xyz", "a", "b"}) {
		t.Errorf("received %q", got)
	}
}

// 3.3.4: the SACK of the RFC's figure. Reports never touch one another: a chunk between two joins them.
//
//rfc:9260 3.3.4-2 3.3.4-3
func TestRFC9260FormatSackFigure(t *testing.T) {
	s := newRFCSetup(t)
	s.ep = NewEndpoint(s.now, Config{Port: 5000, Locals: bLocals, Accept: true, ReceiveBuffer: 4660}, rand.NewPCG(5, 6))
	local := s.open(rfcTag, 10, "").init.Tag
	for _, c := range []struct {
		tsns []int
		want string
	}{
		{[]int{10, 11, 12, 15, 14, 17}, "SACK{cum=12 rwnd=4660 gaps=2-3,5-5}"},
		{[]int{16}, "SACK{cum=12 rwnd=4660 gaps=2-5}"},
		{[]int{13}, "SACK{cum=17 rwnd=4660}"},
	} {
		for _, tsn := range c.tsns {
			s.skip()
			s.send("4000>5000 tag=%08x DATA{flags=UBE tsn=%d sid=0 ssn=0 ppid=0 data=00}", local, tsn)
		}
		if got := s.only("SACK").text; got != fmt.Sprintf("5000>4000 tag=%08x %s", rfcTag, c.want) {
			t.Errorf("after %v: %s, want %s", c.tsns, got, c.want)
		}
	}
}

// 3.3.5: each path is proved by a random number of its own of 64 bits, all of which are random.
//
//rfc:9260 3.3.5-3
func TestRFC9260FormatNonce(t *testing.T) {
	a := established(t)
	nonces, every, none := map[string]bool{}, ^uint64(0), uint64(0)
	for i := range maxPaths - 1 {
		addr := netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})
		a.Permit(1e9, []netip.Addr{addr})
		a.Expire(1e9)
		for b, on, ok := a.Poll(1e9, nil); ok; b, on, ok = a.Poll(1e9, nil) {
			info, isProbe := wire.HeartbeatInfo(fmtChunks(b)[0])
			if !isProbe || on.Remote.Addr() != addr {
				continue
			}
			if len(info) < 8 || nonces[string(info)] {
				t.Fatalf("nonce %x is short or was used before", info)
			}
			nonces[string(info)] = true
			var v uint64
			for _, o := range info[:8] {
				v = v<<8 | uint64(o)
			}
			every, none = every&v, none|v
		}
	}
	if len(nonces) < 2*(maxPaths-1) || every != 0 || ^none != 0 {
		t.Errorf("%d nonces; bits that were always set %016x, never %016x", len(nonces), every, ^none)
	}
}

// 3.3.6: a HEARTBEAT is answered with what it carried, octet for octet, to where it came from.
//
//rfc:9260 3.3.6-1 3.3.6-2 8.3-8
func TestRFC9260FormatHeartbeatInfoReturns(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	var infos []string
	for _, n := range []int{0, 1, 2, 3, 4, 8, 24, 28} {
		infos = append(infos, "info="+strings.Repeat("0123456789abcdef", 4)[:2*n])
	}
	for _, info := range append(infos, "value=0001000501", "value=00010007010203") { // some count no padding
		heartbeat := fmtPacket(t, "4000>5000 tag=%08x HEARTBEAT{%s}", p.local, info)
		_, want, _ := strings.Cut(wire.Text(heartbeat), "HEARTBEAT{")
		s.arrive(Pair{bLocals[0], peerA}, heartbeat)
		s.settle()
		if a := s.only("HEARTBEAT-ACK"); !strings.HasSuffix(a.text, "HEARTBEAT-ACK{"+want) || a.to != peerA {
			t.Errorf("%s to %v, want {%s", a.text, a.to, want)
		}
		s.none()
	}
}

// 3.3.7: an ABORT shares its packet with no DATA, and is the last chunk in it.
//
//rfc:9260 3.3.7-1 3.3.7-2
func TestRFC9260FormatAbortIsLast(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	if err := s.assoc.Send(s.now, Message{Data: []byte("never sent")}); err != nil {
		t.Fatal(err)
	}
	s.abort()
	s.only("ABORT")
	s.none()
	s = newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	if err := s.assoc.Send(s.now, Message{Data: []byte("never sent")}); err != nil {
		t.Fatal(err)
	}
	s.send("4000>5000 tag=%08x HEARTBEAT{info=0001020304050607} CHUNK-c5{value=00} %s DATA{flags=BE tsn=101 sid=0 ssn=1 ppid=0 data=}", p.local, rfcHi)
	a := s.next()
	if slices.Contains(a.chunks, "DATA") || slices.Index(a.chunks, "ABORT") != len(a.chunks)-1 || len(a.chunks) < 2 {
		t.Errorf("want control chunks, then ABORT: %s", a.text)
	}
	s.none()
	s.is("CLOSED")
}

// 3.3.7: an ABORT whose causes are malformed is dropped without a word.
//
//rfc:9260 3.3.7-3
func TestRFC9260FormatMalformedAbort(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED"}, rfcAll...), func(s *rfcSetup, p rfcPlace) {
		for _, value := range []string{"00", "000c00", "000c0003", "000c0000", "000c0009", "000c00ff00", "000c0004000c00ff"} {
			s.silent("4000>5000 tag=%08x ABORT{value=%s}", p.local, value)
			s.silent("4000>5000 tag=%08x ABORT{flags=T value=%s}", p.peer, value)
		}
	})
}

// 3.3.8: SHUTDOWN has no gap reports, which takes back none: a chunk that a SACK reported is not sent again.
//
//rfc:9260 3.3.8-2
func TestRFC9260FormatShutdownTakesNothingBack(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for _, m := range []string{"one", "two", "three"} {
		s.submit(m)
	}
	s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536 gaps=2-2}", p.local, p.ltsn-1)
	s.skip()
	s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	s.is("SHUTDOWN-RECEIVED")
	s.advance(10 * time.Second)
	all := ""
	for len(s.sent) > 0 {
		all += s.next().text
	}
	if strings.Contains(all, fmt.Sprintf("tsn=%d ", p.ltsn+1)) || !strings.Contains(all, fmt.Sprintf("tsn=%d ", p.ltsn)) {
		t.Errorf("want TSN %d again, not %d: %s", p.ltsn, p.ltsn+1, all)
	}
}
