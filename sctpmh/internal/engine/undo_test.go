package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// bulk connects a pair over one path, and has a send until the window is wide.
func bulk(t *testing.T) *pair {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	n.send(n.a, 1, 200, 1200)
	n.wantMessages(n.b, 10*time.Second, 200, 1200)
	return n
}

// A packet that others overtake by far is sent again in vain; the window is as
// before, and the next such packet is waited for.
func TestLatePacketCostsNoSpeed(t *testing.T) {
	n := bulk(t)
	p := n.a.assoc.paths.current
	before := p.cc.cwnd
	data := 0
	n.late = func(s *side, _ Pair, b []byte) time.Duration {
		if s == n.a && has(b, wire.TypeData) {
			if data++; data == 5 || data == 65 {
				return 8 * time.Millisecond
			}
		}
		return 0
	}
	n.send(n.a, 1, 30, 1200)
	n.wantMessages(n.b, time.Second, 230, 1200)
	n.advance(100 * time.Millisecond)
	s := n.a.assoc.Stats()
	if s.FastRetransmits != 1 || s.Undone != 1 || p.cc.cwnd < before {
		t.Errorf("%d found lost, %d undone, window from %d to %d octets", s.FastRetransmits, s.Undone, before, p.cc.cwnd)
	}
	n.send(n.a, 1, 60, 1200)
	n.wantMessages(n.b, time.Second, 290, 1200)
	n.advance(100 * time.Millisecond)
	if s := n.a.assoc.Stats(); s.FastRetransmits != 1 {
		t.Errorf("%d found lost: the reordering was not learnt", s.FastRetransmits)
	}
}

// A network that holds everything back for longer than the timeout: nothing is
// lost, and the window is as before.
func TestSpuriousTimeoutIsUndone(t *testing.T) {
	n := bulk(t)
	p := n.a.assoc.paths.current
	before := p.cc.cwnd
	began := n.now
	n.late = func(s *side, _ Pair, b []byte) time.Duration {
		return max(0, 150*time.Millisecond-n.now.Sub(began)) // they arrive together
	}
	n.send(n.a, 1, 10, 1200)
	n.advance(time.Second)
	s := n.a.assoc.Stats()
	if s.Timeouts == 0 || s.Undone != 1 || p.cc.cwnd < before {
		t.Errorf("%d timeouts, %d undone, window from %d to %d octets", s.Timeouts, s.Undone, before, p.cc.cwnd)
	}
}
