package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// mark hands a packet with DATA to b as one that the network marked.
func (n *pair) mark(first wire.TSN, count int) {
	n.t.Helper()
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: n.b.assoc.LocalTag()})
	for i := range count {
		b = wire.AppendData(b, &wire.Data{Begin: true, End: true, TSN: first.Add(uint32(i)), Stream: 1, SSN: wire.SSN(i), Payload: []byte("x")})
	}
	wire.SetChecksum(b)
	n.b.assoc.HandleMarked(n.now, Pair{bLocals[0], aLocals[0]}, b)
}

// The receiver echoes the lowest TSN of the marked packet with every SACK until
// the sender says that it reduced its window (RFC 4960 appendix A).
func TestMarksAreEchoed(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	b := n.b.assoc
	first := b.rcv.cum.Add(1)
	n.mark(first, 3)
	for range 2 {
		out, _, ok := b.Poll(n.now, nil)
		c, _, _ := wire.NextChunk(out[wire.HeaderLen:])
		if tsn, isEcho := wire.ParseLowestTSN(c); !ok || !isEcho || tsn != first || !has(out, wire.TypeSack) {
			t.Fatalf("sent %s, want ECNE of %d with a SACK", wire.Text(out), first)
		}
		b.sack.now = true
	}
	p := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: b.LocalTag()})
	p = wire.AppendLowestTSN(p, wire.TypeCWR, first)
	wire.SetChecksum(p)
	b.Handle(n.now, Pair{bLocals[0], aLocals[0]}, p)
	out, _, _ := b.Poll(n.now, nil)
	if has(out, wire.TypeECNE) {
		t.Errorf("echoed after CWR: %s", wire.Text(out))
	}
}

// The sender reduces the window of the path once a round trip, answers each
// echo with CWR, and repeats nothing.
func TestEchoReducesOnce(t *testing.T) {
	n := bulk(t)
	a := n.a.assoc
	p := a.paths.current
	n.send(n.a, 1, 20, 1200)
	before, tsn := p.cc.cwnd, a.flight.first
	cwr := func(at wire.TSN) string {
		b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.LocalTag()})
		b = wire.AppendLowestTSN(b, wire.TypeECNE, at)
		wire.SetChecksum(b)
		a.Handle(n.now, onPath1, b)
		out, _, _ := a.Poll(n.now, nil)
		c, _, _ := wire.NextChunk(out[wire.HeaderLen:])
		if got, ok := wire.ParseLowestTSN(c); !ok || c.Type != wire.TypeCWR || got != at {
			t.Fatalf("an echo of %d is answered with %s", at, wire.Text(out))
		}
		return ""
	}
	cwr(tsn)
	once := p.cc.cwnd
	cwr(tsn)
	cwr(tsn.Add(3))
	if once >= before || once < before/2 || p.cc.cwnd != once {
		t.Errorf("window %d, %d after an echo, %d after three for one round trip", before, once, p.cc.cwnd)
	}
	n.wantMessages(n.b, time.Second, 220, 1200)
	if s := a.Stats(); s.Marked != 1 || s.Retransmits != 0 {
		t.Errorf("%d reductions, %d chunks sent again", s.Marked, s.Retransmits)
	}
	// What was never sent was never marked.
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.LocalTag()})
	b = wire.AppendLowestTSN(b, wire.TypeECNE, a.flight.next.Add(5))
	wire.SetChecksum(b)
	a.Handle(n.now, onPath1, b)
	if a.Stats().Marked != 1 {
		t.Error("an echo of an unsent TSN is believed")
	}
}

// DATA is ECN-capable when both ends are, and not where such packets vanish.
func TestECNNeedsBothEnds(t *testing.T) {
	for _, test := range []struct{ a, b, want bool }{{true, true, true}, {false, true, false}, {true, false, false}} {
		n := newPair(t, Config{NoECN: !test.a}, Config{NoECN: !test.b})
		n.connect()
		capable := false
		n.drop = func(s *side, _ Pair, b []byte) bool {
			capable = capable || s.assoc.Marks().ECT
			if s.assoc.Marks().ECT && !has(b, wire.TypeData) {
				t.Errorf("ECN-capable without DATA: %s", wire.Text(b))
			}
			return false
		}
		n.send(n.a, 1, 10, 1000)
		n.send(n.b, 1, 10, 1000)
		n.wantMessages(n.b, time.Second, 10, 1000)
		if capable != test.want {
			t.Errorf("a can %v, b can %v: ECN-capable packets %v", test.a, test.b, capable)
		}
	}
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.drop = func(s *side, _ Pair, _ []byte) bool { return s.assoc.Marks().ECT }
	n.send(n.a, 1, 10, 1000)
	n.wantMessages(n.b, 3*time.Second, 10, 1000)
}
