package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// narrow drops what is larger than an IP packet of mtu octets on path 1, and
// nothing on path 2.
func narrow(mtu int) func(*side, Pair, []byte) bool {
	return func(_ *side, on Pair, b []byte) bool {
		return on.Remote.Addr().As4()[1] == 1 && len(b)+28 > mtu
	}
}

// wantMTU waits for the size that a path is known to carry.
func (n *pair) wantMTU(p *path, within time.Duration, want int) {
	n.t.Helper()
	for end := n.now.Add(within); n.now < end && p.pmtu.size+p.headers() != want; {
		n.advance(10 * time.Millisecond)
	}
	if got := p.pmtu.size + p.headers(); got != want {
		n.t.Fatalf("%v carries %d octets after %v, want %d", p.pair, got, within, want)
	}
}

// The search finds what each network carries, exactly for the usual sizes, and
// never sends DATA in larger packets than those that were answered.
//
//rfc:9260 6.10-1 6.10-2 7.3-1
//rfc:6951 5.6-1 5.6-3
func TestPathMTUIsFound(t *testing.T) {
	for _, test := range []struct{ mtu, atLeast, atMost int }{
		{9000, 9000, 9000}, {8000, 1500, 1500}, {1500, 1500, 1500}, {1492, 1476, 1492}, {1400, 1384, 1400}, {1280, 1280, 1280},
	} {
		n := newPair(t, Config{MaxPMTU: 9000}, Config{MaxPMTU: 9000})
		drop := narrow(test.mtu)
		n.drop = func(s *side, on Pair, b []byte) bool {
			if drop(s, on, b) && has(b, wire.TypeData) {
				t.Errorf("MTU %d: DATA in a packet of %d octets", test.mtu, len(b)+28)
			}
			return drop(s, on, b)
		}
		n.connect()
		n.advance(20 * time.Second)
		p := n.a.assoc.paths.find(onPath1)
		if got := p.pmtu.size + p.headers(); got < test.atLeast || got > test.atMost {
			t.Errorf("MTU %d: found %d", test.mtu, got)
		}
		n.send(n.a, 1, 20, 20_000)
		n.wantMessages(n.b, 2*time.Second, 20, 20_000)
		if s := n.a.assoc.Stats(); s.Timeouts+s.FastRetransmits+s.TailProbes != 0 {
			t.Errorf("MTU %d: lost probes count as loss of data: %+v", test.mtu, s)
		}
	}
}

// The search ends: at the largest size that may be tried, and at what the
// network carries.
func TestPathMTUSearchEnds(t *testing.T) {
	for _, test := range []struct{ largest, mtu int }{{1280, 9000}, {1400, 9000}, {1500, 9000}, {9000, 9000}, {9000, 1400}, {9000, 1500}} {
		n := newPair(t, Config{MaxPMTU: test.largest}, Config{MaxPMTU: test.largest})
		n.drop = narrow(test.mtu)
		n.connect()
		n.advance(30 * time.Second)
		before := n.a.assoc.Stats().SizeProbes
		n.advance(time.Minute)
		if more := n.a.assoc.Stats().SizeProbes - before; more != 0 {
			t.Errorf("largest %d, MTU %d: %d more probes in a minute", test.largest, test.mtu, more)
		}
	}
}

// A network that carries less than before, and says nothing of it: small
// packets pass and large ones vanish. The transfer goes on in small ones.
//
//rfc:9260 6.9-6
//rfc:6951 5.6-3
func TestBlackHole(t *testing.T) {
	n := newPair(t, Config{MaxPMTU: 9000}, Config{MaxPMTU: 9000})
	n.drop = narrow(1500)
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	p := n.a.assoc.paths.find(onPath1)
	n.wantMTU(p, 5*time.Second, 1500)
	n.send(n.a, 1, 20, 5000)
	n.drop = narrow(1300)
	n.send(n.a, 1, 20, 5000)
	oversize := false
	n.drop = func(s *side, on Pair, b []byte) bool {
		// IP may fragment what was cut for a larger size (section 6.9).
		oversize = oversize || s == n.a && s.assoc.Marks().Fragment
		return narrow(1300)(s, on, b) && !(s == n.a && s.assoc.Marks().Fragment)
	}
	n.wantMessages(n.b, 5*time.Second, 40, 5000)
	if !oversize || p.pmtu.size+p.headers() > 1300 || n.a.assoc.Stats().BlackHoles == 0 {
		t.Errorf("fragments allowed %v, size %d, black holes %d", oversize, p.pmtu.size+p.headers(), n.a.assoc.Stats().BlackHoles)
	}
}

// The network of the second path carries less: what was cut for the first one
// goes over it all the same.
//
//rfc:9260 6-9 6.9-5 6.9-6 6.9-10 7.3-2 7.3-3 7.3-4
func TestFailoverToANarrowPath(t *testing.T) {
	n := newPair(t, Config{MaxPMTU: 9000}, Config{MaxPMTU: 9000})
	second := func(s *side, on Pair, b []byte) bool {
		return on.Remote.Addr().As4()[1] == 2 && len(b)+28 > 1280 && !s.assoc.Marks().Fragment
	}
	n.drop = second
	n.connect()
	n.wantMTU(n.a.assoc.paths.find(onPath1), 5*time.Second, 9000)
	n.send(n.a, 1, 20, 20_000)
	n.drop = func(s *side, on Pair, b []byte) bool { return silent(onPath1)(s, on, b) || second(s, on, b) }
	n.send(n.a, 1, 20, 20_000)
	n.wantMessages(n.b, 2*time.Second, 40, 20_000)
}

// A route that carries more than before is noticed in time.
func TestPathMTURises(t *testing.T) {
	n := newPair(t, Config{MaxPMTU: 9000}, Config{MaxPMTU: 9000})
	n.drop = narrow(1500)
	n.connect()
	n.wantMTU(n.a.assoc.paths.find(onPath1), 5*time.Second, 1500)
	n.advance(10 * time.Second)
	n.drop = nil
	n.wantMTU(n.a.assoc.paths.find(onPath1), pmtuRaise+10*time.Second, 9000)
}

// An ICMP message lowers the size only if it quotes a packet of ours, and
// never below what every path carries.
//
//rfc:9260 10-1 10-5 10-6
func TestHints(t *testing.T) {
	n := newPair(t, Config{MaxPMTU: 9000}, Config{MaxPMTU: 9000})
	n.connect()
	a := n.a.assoc
	p := a.paths.find(onPath1)
	n.wantMTU(p, 5*time.Second, 9000)
	quote := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: a.PeerTag()})
	for _, bad := range []struct {
		quoted []byte
		mtu    int
	}{
		{nil, 1400}, {quote[:8], 1400}, {quote, 0}, {quote, 68}, {quote, 1279}, {quote, 9000}, {quote, -1},
		{wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: a.PeerTag() + 1}), 1400},
		{wire.AppendHeader(nil, wire.Header{SrcPort: 4001, DstPort: 5000, Tag: a.PeerTag()}), 1400},
	} {
		a.Hint(n.now, onPath1, bad.quoted, bad.mtu)
		if got := p.pmtu.size + p.headers(); got != 9000 {
			t.Errorf("a hint of %d octets that quotes %x is believed: %d", bad.mtu, bad.quoted, got)
		}
	}
	n.drop = narrow(1400)
	a.Hint(n.now, onPath1, quote, 1400)
	n.wantMTU(p, 100*time.Millisecond, 1400)
}
