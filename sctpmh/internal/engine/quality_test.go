package engine

import (
	"math/rand/v2"
	"testing"
	"time"
)

// A link that comes and goes does not drag the traffic along: the preferred
// path has to stay for longer each time before it is taken again.
func TestFlappingPrimary(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.SetPrimary(n.now, onPath1)
	moves := 0
	for range 120 { // four minutes, one second dead in every two
		for _, drop := range []func(*side, Pair, []byte) bool{silent(onPath1), nil} {
			n.drop = drop
			for range 10 {
				n.send(n.a, 1, 1, 100)
				n.advance(100 * time.Millisecond)
			}
		}
		n.a.got, n.b.got = nil, nil
	}
	for _, e := range n.a.events {
		if e.Kind == EventFailover {
			moves++
		}
	}
	if moves == 0 || moves > 12 {
		t.Errorf("%d moves of traffic in 120 failures of the preferred path", moves)
	}
	n.drop = nil
	for range 200 {
		n.send(n.a, 1, 1, 100)
		n.advance(time.Second)
	}
	if p := n.a.assoc.paths.current; p.pair != onPath1 {
		t.Errorf("data takes %v: the preferred path never proves itself", p.pair)
	}
}

// A path that fails once is preferred again a second after it came back.
func TestSwitchBack(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	a := n.a.assoc
	a.SetPrimary(n.now, onPath1)
	n.drop = silent(onPath1)
	n.send(n.a, 1, 10, 1000)
	n.advance(5 * time.Second)
	if a.paths.current.pair != onPath2 {
		t.Fatalf("data takes %v", a.paths.current.pair)
	}
	n.drop = nil
	back := n.now
	for a.paths.find(onPath1).state != Active {
		n.advance(10 * time.Millisecond)
	}
	active := n.now
	for a.paths.current.pair != onPath1 && n.now.Sub(active) < time.Minute {
		n.advance(10 * time.Millisecond)
	}
	if took := n.now.Sub(active); took < holdMin || took > holdMin+50*time.Millisecond {
		t.Errorf("active %v after it came back, preferred %v after that", active.Sub(back), took)
	}
}

// A path that loses much is left within two seconds, although every probe and
// every loss is answered, and is not taken again while it is like that.
func TestLossyPathIsLeft(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := newPair(t, Config{}, Config{})
		n.connect()
		n.send(n.a, 1, 100, 1200)
		n.advance(time.Second)
		n.drop = func(_ *side, on Pair, _ []byte) bool { return on.Remote.Addr().As4()[1] == 1 && rng.Float64() < 0.3 }
		began := n.now
		left := Time(0)
		for n.now.Sub(began) < 10*time.Second {
			n.send(n.a, 1, 2, 1200)
			n.advance(5 * time.Millisecond)
			on2 := n.a.assoc.paths.current.pair == onPath2
			switch {
			case on2 && left == 0:
				left = n.now
			case !on2 && left != 0:
				t.Fatalf("seed %d: the lossy path is taken again %v later", seed, n.now.Sub(left))
			}
		}
		if left == 0 || left.Sub(began) > 2*time.Second {
			t.Errorf("seed %d: left after %v", seed, left.Sub(began))
		}
	}
}

// The SACKs of an end that only receives go elsewhere when the path that they
// take is dead in that direction, and the end notices.
func TestReceiverNoticesADeadPath(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 10, 100)
	n.advance(time.Second)
	n.drop = func(s *side, on Pair, _ []byte) bool { return s == n.b && on.Remote.Addr().As4()[1] == 1 }
	for range 20 {
		n.send(n.a, 1, 1, 100)
		n.advance(50 * time.Millisecond)
	}
	if p := n.b.assoc.paths.find(Pair{bLocals[0], aLocals[0]}); p.state != PotentiallyFailed {
		t.Errorf("the receiver takes its path for %v", p.state)
	}
	n.wantMessages(n.b, time.Second, 30, 100)
}
