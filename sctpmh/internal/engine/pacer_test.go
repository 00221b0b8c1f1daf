package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A window that opens at once leaves in small trains over the round trip, not
// as one burst, and is used up all the same.
//
//rfc:9260 6.1-14
func TestWindowIsPaced(t *testing.T) {
	n := newPair(t, Config{SendBuffer: 4 << 20}, Config{ReceiveBuffer: 16 << 20})
	n.delay = 50 * time.Millisecond
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(time.Second)
	p := n.a.assoc.paths.current
	p.cc.cwnd, p.cc.ssthresh = 200*p.pmdcs(&n.a.assoc.cfg), 100*p.pmdcs(&n.a.assoc.cfg)
	began := len(n.seen)
	start := n.now
	n.send(n.a, 1, 400, 1200)
	n.advance(100 * time.Millisecond)
	most, total := 0, 0
	at := map[Time]int{}
	for _, s := range n.seen[began:] {
		if s.from == "a" && has(s.data, wire.TypeData) && s.at.Sub(start) < 100*time.Millisecond {
			at[s.at]++
			total++
			most = max(most, at[s.at])
		}
	}
	if most > burstPackets+2 || total < 190 {
		t.Errorf("%d packets in the first round trip of a window of 200, %d at once", total, most)
	}
}

// Short round trips are not paced: timers are coarser.
func TestShortRoundTripsAreNotPaced(t *testing.T) {
	var c pacer
	cc := newCongestion(CUBIC, 1220, true)
	for range 1000 {
		if !c.allow(1e9, &cc, time.Millisecond, 1220) {
			t.Fatal("a packet has to wait")
		}
		c.sent(1232)
	}
}

// A paced window is in full use although less than all of it is in flight when
// a SACK comes: slow start doubles it each round trip.
func TestPacingLetsTheWindowGrow(t *testing.T) {
	n := newPair(t, Config{SendBuffer: 8 << 20}, Config{ReceiveBuffer: 16 << 20})
	n.delay = 150 * time.Millisecond
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(time.Second)
	p := n.a.assoc.paths.current
	n.send(n.a, 1, 3000, 1200)
	before := p.cc.cwnd
	n.advance(7 * 300 * time.Millisecond)
	if p.cc.cwnd < 60*before {
		t.Errorf("window from %d to %d octets in seven round trips", before, p.cc.cwnd)
	}
}
