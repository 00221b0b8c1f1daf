package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// twoHeartbeats is how long a withdrawn path stays idle before it is forgotten.
const twoHeartbeats = idleIntervals * 5 * time.Second

func setCandidates(n *pair, nets ...int) {
	var v []netip.AddrPort
	for _, i := range nets {
		v = append(v, pfOn(i).Remote)
	}
	n.a.assoc.SetCandidates(n.now, v)
	n.step()
}

// nets returns the networks over which an end has paths that are proved.
func nets(s *side) (v []int) {
	for _, p := range s.assoc.AppendPaths(nil) {
		if p.Confirmed {
			v = append(v, pfNet(p.Pair))
		}
	}
	slices.Sort(v)
	return v
}

func wantNets(t *testing.T, n *pair, why string, want ...int) {
	t.Helper()
	if got := nets(n.a); !slices.Equal(got, want) {
		t.Fatalf("%s: paths over networks %v, want %v\n%s", why, got, want, n.trace())
	}
}

// New data leaves an address that was withdrawn at once, that of the handshake
// too, and what is in flight is not sent again. The path is forgotten when it
// has been idle.
func TestWithdrawnAddressIsLeft(t *testing.T) {
	n := pfPair(t, 2, Config{})
	n.send(n.a, 1, 20, 1000)
	setCandidates(n, 2)
	from := n.now
	n.send(n.a, 1, 20, 1000)
	n.advance(time.Second)
	if at := pfSent(n, 1, wire.TypeData, from+1); len(at) > 0 {
		t.Errorf("%d packets with DATA over the withdrawn path", len(at))
	}
	if s := n.a.assoc.Stats(); s.Retransmits > 0 {
		t.Errorf("%d chunks were sent again", s.Retransmits)
	}
	if e := n.wantEvent(n.a, EventFailover); e.Failover.Cause != CauseCommand || e.Failover.To != pfOn(2) {
		t.Errorf("failover %+v", e.Failover)
	}
	n.advance(from.Add(twoHeartbeats).Sub(n.now) - time.Millisecond)
	wantNets(t, n, "before it was idle for long enough", 1, 2)
	n.advance(50 * time.Millisecond)
	wantNets(t, n, "after that", 2)
	if got := len(n.a.assoc.paths.addrs); got != 1 {
		t.Errorf("%d addresses are known, want 1: names whose addresses change would fill the table", got)
	}
	n.send(n.a, 1, 1, 100)
	n.send(n.b, 1, 1, 100)
	n.wantMessages(n.a, time.Second, 1, 100)
}

// A path that the user prefers is preferred no longer.
func TestWithdrawnPrimaryIsLeft(t *testing.T) {
	n := pfPair(t, 2, Config{})
	n.a.assoc.SetPrimary(n.now, pfOn(1))
	setCandidates(n, 2)
	if p := pfInfo(n, 2); !p.InUse {
		t.Errorf("%v", pfBelief(n.a.assoc))
	}
	n.advance(time.Second)
	if n.a.assoc.SetPrimary(n.now, pfOn(1)); !pfInfo(n, 2).InUse {
		t.Errorf("after it was preferred again: %v", pfBelief(n.a.assoc))
	}
}

// Data that the peer sends over a withdrawn path is still taken; the path stays
// as long as it comes.
func TestWithdrawnPathStaysWhileThePeerUsesIt(t *testing.T) {
	n := pfPair(t, 2, Config{})
	setCandidates(n, 2)
	for range 8 {
		n.advance(5 * time.Second)
		n.send(n.b, 1, 1, 100)
	}
	n.advance(100 * time.Millisecond)
	wantNets(t, n, "while the peer sends", 1, 2)
	n.wantMessages(n.a, time.Second, 8, 100)
	if s := n.b.assoc.Stats(); s.Retransmits > 0 {
		t.Errorf("the peer sent %d chunks again", s.Retransmits)
	}
	n.advance(twoHeartbeats)
	wantNets(t, n, "after it stopped", 2)
}

// The last path that works is never forgotten, and data takes it.
func TestLastPathIsNotForgotten(t *testing.T) {
	t.Run("all withdrawn", func(t *testing.T) {
		n := pfPair(t, 2, Config{})
		setCandidates(n)
		n.advance(time.Minute)
		wantNets(t, n, "after a minute", 1)
		n.send(n.a, 1, 1, 100)
		n.wantMessages(n.b, time.Second, 4, 100)
	})
	t.Run("the others dead", func(t *testing.T) {
		n := pfPair(t, 2, Config{})
		pfCut(n, 2)
		pfAwait(n, 2, PotentiallyFailed, 10*time.Second)
		setCandidates(n, 2)
		n.advance(time.Minute)
		wantNets(t, n, "after a minute", 1, 2)
		n.send(n.a, 1, 1, 100)
		n.wantMessages(n.b, time.Second, 4, 100)
		n.drop = nil
		n.advance(time.Minute)
		wantNets(t, n, "after the other came back", 2)
	})
	t.Run("the other dies", func(t *testing.T) {
		n := pfPair(t, 2, Config{})
		setCandidates(n, 2)
		pfCut(n, 2)
		n.send(n.a, 1, 1, 100)
		n.wantMessages(n.b, 500*time.Millisecond, 4, 100)
		if p := pfInfo(n, 1); !p.InUse {
			n.advance(500 * time.Millisecond)
		}
		if p := pfInfo(n, 1); !p.InUse {
			t.Errorf("data waits for the path that died: %v", pfBelief(n.a.assoc))
		}
	})
}

// An address that comes back is asked at once; when its path was forgotten it
// has to prove itself, and its former failures do not count.
func TestAddressComesBack(t *testing.T) {
	n := pfPair(t, 2, Config{})
	setCandidates(n, 1)
	n.advance(time.Second)
	from := n.now
	setCandidates(n, 1, 2)
	n.advance(time.Millisecond)
	if at := pfSent(n, 2, wire.TypeHeartbeat, from); len(at) != 1 {
		t.Errorf("%d HEARTBEATs over the path that is permitted again, want 1", len(at))
	}
	n.advance(time.Minute)
	wantNets(t, n, "a minute after it was permitted again", 1, 2)
	for _, e := range n.a.events {
		if e.Kind == EventPath && e.State == Unconfirmed {
			t.Errorf("%v was forgotten though it is permitted", e.Pair)
		}
	}

	setCandidates(n, 1)
	n.advance(2 * twoHeartbeats)
	wantNets(t, n, "forgotten", 1)
	setCandidates(n, 1, 2)
	if p := pfInfo(n, 2); p.Confirmed {
		t.Errorf("a path that was forgotten is %s before it answers", pfText(p))
	}
	pfAwait(n, 2, Active, time.Second)
	setCandidates(n, 2)
	n.send(n.a, 1, 1, 100)
	n.wantMessages(n.b, time.Second, 4, 100)
	if p := pfInfo(n, 2); !p.InUse {
		t.Errorf("data does not take the address that came back: %v", pfBelief(n.a.assoc))
	}
}

// To name a stranger again and again does not bother him more.
func TestStrangerIsNotNamedAnew(t *testing.T) {
	n := pfPair(t, 1, Config{})
	stranger := netip.MustParseAddrPort("10.1.66.66:9899")
	for range 20 {
		n.a.assoc.SetCandidates(n.now, []netip.AddrPort{onPath1.Remote, stranger})
		n.advance(200 * time.Millisecond)
		n.a.assoc.SetCandidates(n.now, []netip.AddrPort{onPath1.Remote})
		n.advance(200 * time.Millisecond)
	}
	if got := n.count(n.a, func(on Pair, _ []byte) bool { return on.Remote == stranger }); got > maxProbes {
		t.Errorf("a stranger got %d packets, at most %d are allowed", got, maxProbes)
	}
}

// The port of a candidate is where it is probed; 0 is that of the handshake.
func TestCandidatePort(t *testing.T) {
	n := pfPair(t, 1, Config{})
	other, same := netip.MustParseAddr("10.1.7.1"), netip.MustParseAddr("10.1.7.2")
	n.a.assoc.SetCandidates(n.now, []netip.AddrPort{onPath1.Remote, netip.AddrPortFrom(other, 777), netip.AddrPortFrom(same, 0)})
	n.advance(100 * time.Millisecond)
	for _, want := range []netip.AddrPort{netip.AddrPortFrom(other, 777), netip.AddrPortFrom(same, onPath1.Remote.Port())} {
		if n.count(n.a, func(on Pair, b []byte) bool { return on.Remote == want && has(b, wire.TypeHeartbeat) }) == 0 {
			t.Errorf("no HEARTBEAT to %v", want)
		}
	}
}
