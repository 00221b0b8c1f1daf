package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// pfPair returns two endpoints that are joined over so many networks: path i
// is 10.i.0.1 to 10.i.0.2, and data takes path 1.
func pfPair(t *testing.T, nets int, cfg Config) *pair {
	t.Helper()
	n := newPair(t, cfg, cfg)
	var as, bs []netip.AddrPort
	for i := 1; i <= nets; i++ {
		as, bs = append(as, pfOn(i).Local), append(bs, pfOn(i).Remote)
	}
	n.a.ep.cfg.Locals, n.b.ep.cfg.Locals = as, bs
	n.connect()
	n.a.assoc.Permit(n.now, pfAddrs(bs))
	n.b.assoc.Permit(n.now, pfAddrs(as))
	n.advance(time.Second)
	n.send(n.a, 1, 3, 100)
	n.advance(200 * time.Millisecond)
	for i := 1; i <= nets; i++ {
		if p := pfInfo(n, i); p.State != Active || p.InUse != (i == 1) {
			t.Fatalf("path %d at the start: %s", i, pfText(p))
		}
	}
	n.a.events = nil
	return n
}

func pfAddrs(v []netip.AddrPort) (addrs []netip.Addr) {
	for _, a := range v {
		addrs = append(addrs, a.Addr())
	}
	return addrs
}

func pfOn(i int) Pair {
	return Pair{addrPort(fmt.Sprintf("10.%d.0.1:5001", i)), addrPort(fmt.Sprintf("10.%d.0.2:9899", i))}
}

// pfNet is the network that a pair belongs to.
func pfNet(on Pair) int { return int(on.Remote.Addr().As4()[1]) }

// pfCut silences networks.
func pfCut(n *pair, nets ...int) {
	n.drop = func(_ *side, on Pair, _ []byte) bool { return slices.Contains(nets, pfNet(on)) }
}

// pfInfo is path i as its user sees it.
func pfInfo(n *pair, i int) PathInfo {
	n.t.Helper()
	for _, p := range n.a.assoc.AppendPaths(nil) {
		if p.Pair == pfOn(i) {
			return p
		}
	}
	n.t.Fatalf("path %d is gone: %v", i, pfBelief(n.a.assoc))
	return PathInfo{}
}

// pfAwait lets time pass until path i is in a state.
func pfAwait(n *pair, i int, want PathState, within time.Duration) {
	n.t.Helper()
	for end := n.now.Add(within); pfInfo(n, i).State != want; n.advance(time.Millisecond) {
		if n.now >= end {
			n.t.Fatalf("path %d is not %v within %v: %s\n%s", i, want, within, pfText(pfInfo(n, i)), n.trace())
		}
	}
}

// pfSent returns when a sent a chunk of a type over path i, from an instant on.
func pfSent(n *pair, i int, typ wire.ChunkType, from Time) (at []Time) {
	for _, p := range n.seen {
		if p.from == "a" && p.on == pfOn(i) && p.at >= from && has(p.data, typ) {
			at = append(at, p.at)
		}
	}
	return at
}

// 3.2 (1): the first timeout, of data or of a heartbeat, makes a path potentially failed: PFMR is 0.
//
//rfc:7829 3.2-1
func TestRFC7829FirstTimeout(t *testing.T) {
	for _, data := range []bool{true, false} {
		n := pfPair(t, 1, Config{})
		pfCut(n, 1)
		if data {
			n.send(n.a, 1, 1, 100)
		}
		pfAwait(n, 1, PotentiallyFailed, 7*time.Second)
		if e := n.wantEvent(n.a, EventPath); e.State != PotentiallyFailed || e.Pair != onPath1 {
			t.Errorf("data %v: event %+v", data, e)
		}
		if p, s := pfInfo(n, 1), n.a.assoc.Stats(); p.Errors != 1 || (s.Timeouts == 1) != data {
			t.Errorf("data %v: %d errors, %d timeouts of data", data, p.Errors, s.Timeouts)
		}
	}
}

// 3.2 (2): while another path is active, one in PF carries no data, neither new nor repeated, even if the user prefers it.
//
//rfc:7829 3.2-2 3.2-3 3.2-4 3.2-5
func TestRFC7829NoDataOverFailedPath(t *testing.T) {
	for _, wish := range []string{"none", "before", "after"} {
		n := pfPair(t, 2, Config{})
		if wish == "before" {
			n.a.assoc.SetPrimary(n.now, onPath1)
		}
		pfCut(n, 1)
		n.send(n.a, 1, 30, 1000)
		pfAwait(n, 1, PotentiallyFailed, time.Second)
		n.step()
		from := n.now + 1
		if wish == "after" && !n.a.assoc.SetPrimary(n.now, onPath1) {
			t.Error("a path in PF cannot be preferred")
		}
		for range 20 {
			n.send(n.a, 1, 5, 1000)
			n.advance(100 * time.Millisecond)
		}
		if p := pfInfo(n, 1); p.State != PotentiallyFailed || p.InUse {
			t.Fatalf("wish %s: %s", wish, pfText(p))
		}
		if at := pfSent(n, 1, wire.TypeData, from); len(at) > 0 {
			t.Errorf("wish %s: %d packets with DATA over the path in PF\n%s", wish, len(at), n.trace())
		}
		if !pfInfo(n, 2).InUse {
			t.Errorf("wish %s: path 2 is not in use", wish)
		}
		pfArrived(n, 133)
	}
}

// pfArrived checks how many messages b got.
func pfArrived(n *pair, count int) {
	n.t.Helper()
	if n.advance(time.Second); len(n.b.got) != count {
		n.t.Errorf("b got %d messages, want %d", len(n.b.got), count)
	}
}

// 3.2 (2, 4), 4.1: to be chosen for data changes nothing of what is believed of a path, nor does sending over it.
//
//rfc:7829 3.2-6 3.2-9 4.1-2
func TestRFC7829ChoiceChangesNothing(t *testing.T) {
	for _, st := range []PathState{Active, PotentiallyFailed, Inactive} {
		n := pfPair(t, 3, Config{})
		a := n.a.assoc
		pfCut(n, 1, 2, 3)
		for i := range 4 {
			for _, p := range a.paths.all {
				if p.confirmed() {
					p.state = st
				}
			}
			old := a.paths.current
			old.errors, old.stalls = 10*(i+1), 10*(i+1)
			before := pfBelief(a)
			a.reselect(n.now, CauseCommand)
			if a.paths.current == old {
				t.Fatalf("%v: choice %d moved nothing: %v", st, i, before)
			}
			n.send(n.a, 1, 1, 100)
			if after := pfBelief(a); !slices.Equal(after, before) {
				t.Errorf("%v: a choice changed\n%v to\n%v", st, before, after)
			}
		}
		if at := pfSent(n, 2, wire.TypeData, 0); len(at) == 0 {
			t.Errorf("%v: no DATA over path 2", st)
		}
	}
}

// pfBelief is what is believed of every path.
func pfBelief(a *Assoc) (s []string) {
	for _, p := range a.AppendPaths(nil) {
		s = append(s, pfText(p))
	}
	return s
}

func pfText(p PathInfo) string {
	return fmt.Sprintf("%v %v errors=%d", p.Pair, p.State, p.Errors)
}

// 3.2 (4): with no path active, data takes one in PF and none that is inactive, also if only an address that is no longer
// permitted is left to it.
//
//rfc:7829 3.2-7
func TestRFC7829FailedBeforeInactive(t *testing.T) {
	for _, withdrawn := range []bool{false, true} {
		n := pfPair(t, 2, Config{PathMaxRetrans: 3, AssocMaxRetrans: 50})
		if withdrawn {
			n.a.assoc.Permit(n.now, nil)
		}
		pfCut(n, 1)
		n.send(n.a, 1, 1, 100)
		pfAwait(n, 1, Inactive, 10*time.Second)
		pfArrived(n, 4)
		pfCut(n, 1, 2)
		n.send(n.a, 1, 1, 100)
		pfAwait(n, 2, PotentiallyFailed, time.Second)
		from := n.now
		n.advance(500 * time.Millisecond)
		if p, q := pfInfo(n, 1), pfInfo(n, 2); p.State != Inactive || q.State != PotentiallyFailed {
			t.Fatalf("withdrawn %v: %s\n%s", withdrawn, pfText(p), pfText(q))
		}
		if dead, doubtful := pfSent(n, 1, wire.TypeData, from), pfSent(n, 2, wire.TypeData, from); len(dead) > 0 || len(doubtful) == 0 {
			t.Errorf("withdrawn %v: %d packets over the inactive path, %d over the one in PF", withdrawn, len(dead), len(doubtful))
		}
	}
}

// 3.2 (4): among paths in PF data takes one with the fewest errors in a row, so that it alternates.
//
//rfc:7829 3.2-8
func TestRFC7829FewestErrors(t *testing.T) {
	n := pfPair(t, 3, Config{})
	pfCut(n, 3)
	pfAwait(n, 3, PotentiallyFailed, 7*time.Second)
	n.advance(time.Second) // path 3 gets ahead
	used := map[int]int{}
	n.drop = func(s *side, on Pair, b []byte) bool {
		if s == n.a && has(b, wire.TypeData) && pfAll(n, PotentiallyFailed) {
			used[pfNet(on)]++
			for i := range 3 {
				if p, q := pfInfo(n, pfNet(on)), pfInfo(n, i+1); q.Errors < p.Errors {
					t.Errorf("DATA over %s instead of %s", pfText(p), pfText(q))
				}
			}
		}
		return true
	}
	n.send(n.a, 1, 1, 100)
	n.advance(10 * time.Second)
	if used[1] == 0 || used[2] == 0 || used[3] == 0 {
		t.Errorf("packets with DATA over each path: %v", used)
	}
}

// pfAll reports whether all three paths are in a state.
func pfAll(n *pair, st PathState) bool {
	return pfInfo(n, 1).State == st && pfInfo(n, 2).State == st && pfInfo(n, 3).State == st
}

// 3.2 (5): HEARTBEATs over a path in PF follow each other by the timeout; HB.interval does not count there.
//
//rfc:7829 3.2-10 3.2-11
func TestRFC7829ProbesIgnoreTheInterval(t *testing.T) {
	n := pfPair(t, 2, Config{HeartbeatInterval: time.Hour})
	pfCut(n, 1)
	n.send(n.a, 1, 1, 100)
	pfAwait(n, 1, PotentiallyFailed, time.Second)
	from := n.now
	n.advance(4 * time.Second)
	if p := pfInfo(n, 1); p.State != PotentiallyFailed {
		t.Fatal(pfText(p))
	}
	at := pfSent(n, 1, wire.TypeHeartbeat, from)
	if len(at) < 5 || len(at) > 50 {
		t.Fatalf("%d HEARTBEATs", len(at))
	}
	for i, last := range at[:len(at)-1] {
		if gap := at[i+1].Sub(last); gap > time.Second {
			t.Errorf("%v between HEARTBEATs", gap)
		}
	}
	if idle := pfSent(n, 2, wire.TypeHeartbeat, from+1); len(idle) > 0 {
		t.Errorf("%d HEARTBEATs over the path that works", len(idle))
	}
}

// 3.2 (6): a HEARTBEAT ACK clears the errors of a path in PF and makes it active again; the user hears of both changes.
//
//rfc:7829 3.2-13 3.2-18
func TestRFC7829HeartbeatAckRevives(t *testing.T) {
	n := pfPair(t, 2, Config{})
	from := n.now
	pfCut(n, 2)
	pfAwait(n, 2, PotentiallyFailed, 7*time.Second)
	n.advance(time.Second)
	if p := pfInfo(n, 2); p.Errors < 2 {
		t.Fatal(pfText(p))
	}
	n.drop = nil
	pfAwait(n, 2, Active, 1100*time.Millisecond)
	if p := pfInfo(n, 2); p.Errors != 0 {
		t.Error(pfText(p))
	}
	var heard []PathState
	for _, e := range n.a.events {
		if e.Kind == EventPath && e.Pair == onPath2 {
			heard = append(heard, e.State)
		}
	}
	if !slices.Equal(heard, []PathState{PotentiallyFailed, Active}) {
		t.Errorf("the user heard of %v", heard)
	}
	if at := pfSent(n, 2, wire.TypeData, from); len(at) > 0 {
		t.Error("DATA over the path that was not in use")
	}
}

// 3.2 (6): a path that is back begins with the window that its timeout left, one packet, and slow start.
//
//rfc:7829 3.2-14
func TestRFC7829WindowAfterReturn(t *testing.T) {
	n := pfPair(t, 2, Config{})
	n.a.assoc.SetPrimary(n.now, onPath1)
	size := n.a.assoc.paths.current.maxPayload(&n.a.assoc.cfg)
	n.send(n.a, 1, 200, size)
	n.advance(time.Second)
	pfCut(n, 1)
	n.send(n.a, 1, 50, size)
	pfAwait(n, 1, PotentiallyFailed, time.Second)
	if n.a.assoc.Stats().Timeouts == 0 {
		t.Fatal("no timeout of data")
	}
	n.drop = nil
	for end := n.now.Add(10 * time.Second); !pfInfo(n, 1).InUse; n.advance(time.Millisecond) {
		if n.now > end {
			t.Fatal("the preferred path is not taken again")
		}
	}
	n.advance(200 * time.Millisecond)
	for i, want := range []int{1, 2} {
		from := n.now
		if i == 0 {
			n.send(n.a, 1, 40, size)
		}
		n.advance(2*n.delay - 1)
		if got := len(pfSent(n, 1, wire.TypeData, from)); got != want {
			t.Errorf("flight %d has %d packets, want %d\n%s", i, got, want, n.trace())
		}
		n.advance(1)
	}
}

// 3.2 (8): the user hears that a path became inactive; from then on HB.interval counts.
//
//rfc:7829 3.2-15
func TestRFC7829InactiveIsProbedSeldom(t *testing.T) {
	n := pfPair(t, 2, Config{PathMaxRetrans: 2})
	pfCut(n, 2)
	pfAwait(n, 2, Inactive, 20*time.Second)
	if e := n.a.events[len(n.a.events)-1]; e.Kind != EventPath || e.State != Inactive || e.Pair != onPath2 {
		t.Errorf("the last event is %+v", e)
	}
	from := n.now
	n.advance(2 * time.Minute)
	at := pfSent(n, 2, wire.TypeHeartbeat, from)
	if len(at) < 4 {
		t.Fatalf("%d HEARTBEATs in two minutes", len(at))
	}
	for i, last := range at[:len(at)-1] {
		if gap := at[i+1].Sub(last); gap < n.a.assoc.cfg.HeartbeatInterval {
			t.Errorf("%v between HEARTBEATs", gap)
		}
	}
}

// pfMute drops HEARTBEATs, so that only data can prove a path, and DATA of a
// while it is shut.
func pfMute(n *pair, shut *bool) {
	n.drop = func(s *side, _ Pair, b []byte) bool {
		return has(b, wire.TypeHeartbeat) || has(b, wire.TypeHeartbeatAck) || *shut && s == n.a && has(b, wire.TypeData)
	}
}

// 3.2 (7, 9): the acknowledgement of a chunk that took several paths proves none of them, that of one which took a single
// path proves that.
//
//rfc:7829 3.2-16 3.2-17
func TestRFC7829AckOfAScatteredChunk(t *testing.T) {
	for st, limit := range map[PathState]int{PotentiallyFailed: 8, Inactive: 1} {
		n := pfPair(t, 2, Config{PathMaxRetrans: limit, AssocMaxRetrans: 50})
		shut := true
		pfMute(n, &shut)
		n.send(n.a, 1, 1, 100)
		pfAwait(n, 1, st, 10*time.Second)
		pfAwait(n, 2, st, 10*time.Second)
		before := []PathInfo{pfInfo(n, 1), pfInfo(n, 2)}
		shut = false
		n.wantMessages(n.b, 20*time.Second, 4, 100)
		n.advance(100 * time.Millisecond)
		if n.a.assoc.outstanding() {
			t.Fatal("not acknowledged")
		}
		for i, was := range before {
			if p := pfInfo(n, i+1); p.State != st || p.Errors < was.Errors {
				t.Errorf("path %d went from %v with %d errors to %v with %d", i+1, was.State, was.Errors, p.State, p.Errors)
			}
		}
		n.send(n.a, 1, 1, 100)
		n.advance(100 * time.Millisecond)
		for i := 1; i <= 2; i++ {
			if p := pfInfo(n, i); p.InUse && (p.State != Active || p.Errors != 0) || !p.InUse && p.State != st {
				t.Errorf("after a chunk that took one path: %s", pfText(p))
			}
		}
	}
}

// 3.2 (9): so does that of a chunk which was repeated, but over the same path.
//
//rfc:7829 3.2-17
func TestRFC7829AckOfARepeatedChunk(t *testing.T) {
	n := pfPair(t, 1, Config{})
	shut := true
	pfMute(n, &shut)
	n.send(n.a, 1, 1, 100)
	pfAwait(n, 1, PotentiallyFailed, time.Second)
	n.advance(time.Second)
	shut = false
	pfAwait(n, 1, Active, 10*time.Second)
	if p := pfInfo(n, 1); p.Errors != 0 || n.a.assoc.outstanding() {
		t.Error(pfText(p))
	}
}

// 4.1: with all paths inactive data is still tried, over one with the fewest errors; that changes neither state nor count,
// and all arrives once one path is back.
//
//rfc:7829 4-1 4.1-1 4.1-2 4.1-3
func TestRFC7829Dormant(t *testing.T) {
	n := pfPair(t, 3, Config{PathMaxRetrans: 2, AssocMaxRetrans: 200})
	pfCut(n, 1, 2, 3)
	n.send(n.a, 1, 20, 100)
	for i := 1; i <= 3; i++ {
		pfAwait(n, i, Inactive, 30*time.Second)
	}
	used := map[int]int{}
	n.drop = func(s *side, on Pair, b []byte) bool {
		if s == n.a && has(b, wire.TypeData) {
			used[pfNet(on)]++
			for i := range 3 {
				if p, q := pfInfo(n, pfNet(on)), pfInfo(n, i+1); q.Errors < p.Errors {
					t.Errorf("DATA over %s instead of %s", pfText(p), pfText(q))
				}
			}
		}
		return true
	}
	for range 300 {
		before := n.a.assoc.AppendPaths(nil)
		n.advance(200 * time.Millisecond)
		for i, p := range n.a.assoc.AppendPaths(nil) {
			if was := before[i]; p.Confirmed && (p.State != Inactive || p.Errors < was.Errors) {
				t.Fatalf("from %s to %s", pfText(was), pfText(p))
			}
		}
	}
	if used[1]+used[2]+used[3] < 6 || used[1] == 0 || used[2] == 0 || used[3] == 0 {
		t.Errorf("packets with DATA over each path: %v", used)
	}
	pfCut(n, 1, 3)
	pfArrived(n, 3)
	n.wantMessages(n.b, 30*time.Second, 23, 100)
}

// 4.1: among equals the next path is one that was still heard when that of the last failure was not: it shares less with
// it than its addresses may say.
func TestRFC7829DormantDiverges(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.ep.cfg.Locals = []netip.AddrPort{aLocals[0], aLocals[1], addrPort("10.1.0.3:5001")}
	n.connect()
	n.b.assoc.Permit(n.now, pfAddrs(n.a.ep.cfg.Locals))
	n.advance(2 * time.Second)
	pfCut(n, 1)
	n.advance(6 * time.Second) // network 2 is heard, network 1 is not
	a := n.a.assoc
	neighbour := a.paths.find(Pair{addrPort("10.1.0.3:5001"), bLocals[0]})
	p1, p2 := a.paths.find(onPath1), a.paths.find(onPath2)
	for _, p := range []*path{p1, p2, neighbour} {
		if p == nil || !p.confirmed() {
			t.Fatalf("paths %v", pfBelief(a))
		}
		p.state, p.errors = Inactive, 20
	}
	for _, order := range [][]*path{{p1, p2, neighbour}, {neighbour, p2, p1}} {
		a.paths.all, a.paths.current = order, order[0]
		order[0].errors, order[2].errors = 20, 20
		a.pathError(n.now, order[0], CauseTimeout)
		if a.paths.current != p2 {
			t.Errorf("after %v comes %v", order[0].pair, a.paths.current.pair)
		}
	}
}

// 5 (3): a path that the user prefers gets the data back when it returns: the preference does not move by itself.
//
//rfc:7829 5-8
func TestRFC7829Switchback(t *testing.T) {
	n := pfPair(t, 2, Config{})
	n.a.assoc.SetPrimary(n.now, onPath1)
	pfCut(n, 1)
	n.send(n.a, 1, 5, 100)
	n.advance(3 * time.Second)
	if !pfInfo(n, 2).InUse {
		t.Fatal(pfBelief(n.a.assoc))
	}
	n.drop = nil
	n.advance(15 * time.Second)
	from := n.now
	n.send(n.a, 1, 5, 100)
	n.advance(100 * time.Millisecond)
	if len(pfSent(n, 1, wire.TypeData, from)) == 0 || len(pfSent(n, 2, wire.TypeData, from)) > 0 || !pfInfo(n, 1).InUse {
		t.Errorf("%v\n%s", pfBelief(n.a.assoc), n.trace())
	}
	pfArrived(n, 13)
}
