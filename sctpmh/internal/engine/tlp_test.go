package engine

import (
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A tail loss probe that takes data to another path asks the silent one whether
// it lives, though data is in flight over it. When the SACKs of a flight died
// with their path, the probe's answer acknowledges all of it, which starts the
// path's timers over, and new data would go the dead way until they expire.
func TestTailProbeAsksTheSilentPath(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 4, 1200)
	n.wantMessages(n.b, time.Second, 4, 1200)
	n.advance(time.Second)
	dead := false
	n.drop = func(s *side, on Pair, _ []byte) bool {
		return fromA(s, on) == onPath1 && (dead || s == n.b)
	}
	n.send(n.a, 1, 4, 1200)
	start := n.now
	dead = true
	n.advance(70 * time.Millisecond) // two round trips until the probe, one until its answer
	p := n.a.assoc.paths.find(onPath1)
	if s := n.a.assoc.Stats(); s.TailProbes != 1 || n.a.assoc.outstanding() {
		t.Fatalf("%+v, outstanding %v\n%s", s, n.a.assoc.outstanding(), n.trace())
	}
	if !slices.Contains(pathsOf(n, n.a, start, wire.TypeHeartbeat), onPath1) {
		t.Errorf("the silent path was not asked\n%s", n.trace())
	}
	n.send(n.a, 1, 4, 1200)
	n.advance(80 * time.Millisecond) // its timeout, counted from the probe
	if p.state != PotentiallyFailed {
		t.Errorf("after %v of silence the path is %v\n%s", n.now.Sub(start), p.state, n.trace())
	}
}

// A probe that was built before less was known to pass is fragmented by IP: it
// cannot be cut again (RFC 9260 section 6.9).
func TestTailProbeThatHasBecomeTooLarge(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	a := n.a.assoc
	limit := a.paths.find(onPath1).packetLimit(&a.cfg)
	for _, size := range []int{limit, limit + 4} {
		a.replies = append(a.replies, packet{on: onPath1, b: make([]byte, size), data: true})
		if _, _, ok := a.Poll(n.now, nil); !ok || a.Marks().Fragment != (size > limit) {
			t.Errorf("%d octets where %d pass: sent %v, may be fragmented %v", size, limit, ok, a.Marks().Fragment)
		}
	}
}
