package engine

import (
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// pathChunks returns the chunks of a packet, which has to end with the last one's padding.
func pathChunks(t *testing.T, packet []byte) (chunks []wire.Chunk) {
	t.Helper()
	for rest := packet[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok || len(rest)%4 != 0 {
			t.Fatalf("a partial chunk: %s", wire.Text(packet))
		}
		chunks, rest = append(chunks, c), next
	}
	return chunks
}

// pathsOf returns the pairs, as a names them, that packets with a chunk of type c took from a time on.
func pathsOf(n *pair, s *side, from Time, c wire.ChunkType) (pairs []Pair) {
	for _, p := range n.seen {
		if p.from != s.name || p.at < from || !has(p.data, c) {
			continue
		}
		if on := fromA(s, p.on); !slices.Contains(pairs, on) {
			pairs = append(pairs, on)
		}
	}
	return pairs
}

func fromA(s *side, on Pair) Pair {
	if s.name == "b" {
		return Pair{on.Remote, on.Local}
	}
	return on
}

// pathsWant checks what pathsOf returns.
func pathsWant(t *testing.T, what string, got []Pair, want ...Pair) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s over %v, want %v", what, got, want)
	}
}

// 6, 6.10: from the handshake to the end, with losses on the way, packets have whole chunks only, control chunks first, ascending
// TSNs, no more than the path carries, and INIT, INIT ACK and SHUTDOWN COMPLETE alone.
//
//rfc:9260 6-10 6.8-1 6.9-8 6.10-1 6.10-3 6.10-4 6.10-5 6.10-8
func TestRFC9260PathsPackets(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	i := 0
	n.drop = func(*side, Pair, []byte) bool { i++; return i%13 == 7 }
	for range 20 {
		n.send(n.a, 1, 1, 3000)
		n.send(n.a, 2, 5, 20)
		n.send(n.b, 1, 7, 30)
		n.advance(7 * time.Millisecond)
	}
	n.advance(2 * time.Second)
	n.a.assoc.Shutdown(n.now)
	n.advance(10 * time.Second)
	n.wantEvent(n.a, EventClosed)
	kinds := map[wire.ChunkType]int{}
	for _, p := range n.seen {
		var last *wire.Data
		chunks := pathChunks(t, p.data)
		for _, c := range chunks {
			kinds[c.Type]++
			d, ok := wire.ParseData(c)
			isData := ok && c.Type == wire.TypeData
			alone := c.Type == wire.TypeInit || c.Type == wire.TypeInitAck || c.Type == wire.TypeShutdownComplete
			if last != nil && (!isData || d.TSN.LessEq(last.TSN)) || alone && len(chunks) > 1 {
				t.Fatalf("order of chunks: %s", wire.Text(p.data))
			}
			if isData {
				last = &d
			}
		}
		if len(p.data) > basePMTU-20-8 || !wire.ChecksumOK(p.data) {
			t.Fatalf("%d octets, checksum right %v: %s", len(p.data), wire.ChecksumOK(p.data), wire.Text(p.data))
		}
	}
	for _, c := range []wire.ChunkType{wire.TypeInit, wire.TypeInitAck, wire.TypeData, wire.TypeSack, wire.TypeShutdownComplete} {
		if kinds[c] == 0 {
			t.Errorf("no %v was sent", c)
		}
	}
	if a, b := n.a.assoc.Stats(), n.b.assoc.Stats(); a.Malformed+b.Malformed != 0 || a.Retransmits == 0 || len(n.b.got) != 120 || len(n.a.got) != 140 {
		t.Errorf("%d and %d messages, %+v, %+v", len(n.b.got), len(n.a.got), a, b)
	}
}

// 6.10: the TSNs of a packet ascend even when a tail loss probe repeats what was last sent in another order.
//
//rfc:9260 6.10-4
func TestRFC9260PathsProbeAscends(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 1, 10)
	n.advance(time.Second)
	sent := 0
	n.drop = func(s *side, on Pair, b []byte) bool {
		if s != n.a || on != onPath1 || !has(b, wire.TypeData) {
			return false
		}
		sent++
		return sent == 1 || sent > 4 // the first, and all after the fourth
	}
	for range 12 {
		n.send(n.a, 1, 1, 10)
		n.advance(2 * time.Millisecond)
	}
	start := n.now
	n.wantMessages(n.b, time.Second, 13, 10)
	for _, p := range n.seen {
		if p.from != "a" || p.on != onPath2 || p.at < start || !has(p.data, wire.TypeData) {
			continue
		}
		var tsns []wire.TSN
		for _, c := range pathChunks(t, p.data) {
			if d, ok := wire.ParseData(c); ok && c.Type == wire.TypeData {
				tsns = append(tsns, d.TSN)
			}
		}
		if len(tsns) < 5 || !slices.IsSortedFunc(tsns, func(t, u wire.TSN) int { return int(int32(t.Sub(u))) }) {
			t.Errorf("%s", wire.Text(p.data))
		}
		return
	}
	t.Error("nothing went over path 2")
}

// 6.4: DATA takes the path that the user prefers, another one while that does not work, and again the preferred one.
//
//rfc:9260 6.4-1 6.4.1-1
func TestRFC9260PathsPrimary(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.SetPrimary(n.now, onPath2)
	used := func() []Pair {
		start := n.now
		for range 10 {
			n.send(n.a, 1, 1, 100)
			n.advance(50 * time.Millisecond)
		}
		return pathsOf(n, n.a, start, wire.TypeData)
	}
	pathsWant(t, "preferred: DATA", used(), onPath2)
	n.drop = silent(onPath2)
	used()
	pathsWant(t, "it is dead: DATA", used(), onPath1)
	n.drop = nil
	n.advance(10 * time.Second)
	pathsWant(t, "it is back: DATA", used(), onPath2)
	n.wantMessages(n.b, time.Second, 40, 100)
}

// 6.4: replies take the pair that the question came by, whatever path DATA takes.
//
//rfc:9260 6.4-2
func TestRFC9260PathsReplies(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	start := n.now
	n.a.assoc.SetPrimary(n.now, onPath2)
	n.b.assoc.SetPrimary(n.now, Pair{onPath1.Remote, onPath1.Local})
	n.advance(12 * time.Second)
	n.a.assoc.Shutdown(n.now)
	n.drop = func(_ *side, _ Pair, b []byte) bool { return has(b, wire.TypeShutdownAck) }
	n.advance(15 * time.Millisecond)
	b, _ := wire.ParseText(fmt.Sprintf("5000>4000 tag=%08x SHUTDOWN-ACK{}", uint32(n.a.assoc.LocalTag())))
	n.a.assoc.Handle(n.now, onPath1, b) // as if it had come by the other path
	n.advance(time.Second)
	asked := map[string]Pair{}
	answers := 0
	for _, p := range n.seen {
		s := map[string]*side{"a": n.a, "b": n.b}[p.from]
		for _, c := range pathChunks(t, p.data) {
			switch c.Type {
			case wire.TypeHeartbeat:
				asked[string(c.Value)] = fromA(s, p.on)
			case wire.TypeHeartbeatAck:
				if answers++; asked[string(c.Value)] != fromA(s, p.on) {
					t.Errorf("question by %v, answer by %v", asked[string(c.Value)], p.on)
				}
			}
		}
	}
	if answers < 4 {
		t.Errorf("%d HEARTBEATs were answered", answers)
	}
	pathsWant(t, "SHUTDOWN", pathsOf(n, n.a, start, wire.TypeShutdown), onPath2)
	pathsWant(t, "SHUTDOWN ACK", pathsOf(n, n.b, start, wire.TypeShutdownAck), onPath2)
	pathsWant(t, "SHUTDOWN COMPLETE", pathsOf(n, n.a, start, wire.TypeShutdownComplete), onPath1)
}

// 6.4, 6.7: SACKs take the path that the DATA came by, always the same one, although own DATA takes another.
//
//rfc:9260 6.4-3 6.7-2
func TestRFC9260PathsSacks(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	start := n.now
	n.b.assoc.SetPrimary(n.now, Pair{onPath2.Remote, onPath2.Local})
	n.send(n.a, 1, 60, 1000) // so much that DATA waits when SACKs are due
	n.advance(n.delay)
	n.send(n.b, 1, 60, 1000)
	n.wantMessages(n.a, time.Second, 60, 1000)
	n.wantMessages(n.b, time.Second, 60, 1000)
	pathsWant(t, "DATA of a", pathsOf(n, n.a, start, wire.TypeData), onPath1)
	pathsWant(t, "SACKs of b", pathsOf(n, n.b, start, wire.TypeSack), onPath1)
	pathsWant(t, "DATA of b", pathsOf(n, n.b, start, wire.TypeData), onPath2)
	pathsWant(t, "SACKs of a", pathsOf(n, n.a, start, wire.TypeSack), onPath2)
}

// 6.4: what is found lost by later acknowledgements is sent again over its path.
//
//rfc:9260 6.4-5
func TestRFC9260PathsFastRetransmit(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	start, i := n.now, 0
	n.drop = func(s *side, _ Pair, b []byte) bool {
		if s == n.a && has(b, wire.TypeData) {
			i++
		}
		return s == n.a && has(b, wire.TypeData) && i%30 == 10
	}
	n.send(n.a, 1, 105, 1200)
	n.wantMessages(n.b, time.Second, 105, 1200)
	if s := n.a.assoc.Stats(); s.FastRetransmits < 3 || s.TailProbes != 0 {
		t.Fatalf("%+v", s)
	}
	pathsWant(t, "DATA", pathsOf(n, n.a, start, wire.TypeData), onPath1)
}

// 6.3.3, 6.4: after T3-rtx, DATA is sent again over another path that works, under a timer with that path's RTO.
//
//rfc:9260 6.3.3-1 6.3.3-2 6.4-4
func TestRFC9260PathsT3OfTheOther(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.late = func(_ *side, on Pair, _ []byte) time.Duration {
		return time.Duration(on.Remote.Addr().As4()[1]-1) * 90 * time.Millisecond
	}
	n.connect()
	n.advance(7 * time.Second)
	p1, p2 := n.a.assoc.paths.find(onPath1), n.a.assoc.paths.find(onPath2)
	p1.rto.measured = false // no tail loss probe comes before T3-rtx
	start, moved := n.now, 0
	n.drop = func(s *side, on Pair, b []byte) bool {
		if s == n.a && on == onPath2 && has(b, wire.TypeData) {
			if moved++; p2.loss.t3.at.Sub(n.now) != p2.rto.rto || p2.rto.rto < p1.rto.rto*3/2 {
				t.Errorf("T3 is set to %v, RTOs %v and %v", p2.loss.t3.at.Sub(n.now), p1.rto.rto, p2.rto.rto)
			}
		}
		return fromA(s, on) == onPath1
	}
	n.send(n.a, 1, 4, 1200)
	n.advance(110 * time.Millisecond)
	if moved != 4 || n.a.assoc.Stats().Timeouts != 1 || n.a.assoc.Stats().TailProbes != 0 {
		t.Errorf("%d packets moved, %+v", moved, n.a.assoc.Stats())
	}
	n.wantMessages(n.b, 300*time.Millisecond, 4, 1200)
	pathsWant(t, "DATA", pathsOf(n, n.a, start, wire.TypeData), onPath1, onPath2)
}

// 6.1: the lowest TSN outstanding on a path restarts its T3-rtx when it is sent again there, although a lower one is in flight
// over another path.
//
//rfc:9260 6.1-19
func TestRFC9260PathsT3RestartBesideAnother(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 1, 10)
	n.advance(time.Second)
	p1 := n.a.assoc.paths.find(onPath1)
	sent, checked := 0, false
	n.drop = func(s *side, on Pair, b []byte) bool {
		if s != n.a || !has(b, wire.TypeData) {
			return false
		}
		if on == onPath2 {
			return true // outstanding
		}
		if sent++; n.a.assoc.Stats().FastRetransmits == 1 && !checked {
			checked = true
			if left := p1.loss.t3.at.Sub(n.now); left != p1.rto.rto || p1.loss.count < 2 {
				t.Errorf("%d in flight, T3 expires in %v, RTO %v", p1.loss.count, left, p1.rto.rto)
			}
		}
		return sent == 1
	}
	n.a.assoc.SetPrimary(n.now, onPath2)
	n.send(n.a, 1, 1, 10)
	n.a.assoc.SetPrimary(n.now, onPath1)
	for range 14 {
		n.send(n.a, 1, 1, 10)
		n.advance(2 * time.Millisecond)
	}
	if !checked {
		t.Error("nothing was sent again")
	}
}

// 8.3: the answer comes at once, to where the question came from, and has all
// of its parameters as they were, known or not.
//
//rfc:9260 8.3-8
func TestHeartbeatAckRepeatsAll(t *testing.T) {
	for _, value := range []string{"000100080a0b0c0d", "0001000700010200", "0001000c00010203040506078009000501000000"} {
		s := newRFCSetup(t)
		p := s.reach("ESTABLISHED")
		b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: wire.Tag(p.local)})
		raw, err := hex.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		b = wire.AppendChunk(b, wire.TypeHeartbeat, 0, raw)
		wire.SetChecksum(b)
		s.assoc.Handle(s.now, Pair{bLocals[0], peerA}, b)
		out, on, ok := s.assoc.Poll(s.now, nil)
		if !ok || on.Remote != peerA {
			t.Fatalf("%s: no answer to the sender", value)
		}
		c, rest, _ := wire.NextChunk(out[wire.HeaderLen:])
		if got := hex.EncodeToString(c.Value); c.Type != wire.TypeHeartbeatAck || got != value || len(rest) > 0 {
			t.Errorf("%s is answered with %v %s", value, c.Type, got)
		}
	}
}
