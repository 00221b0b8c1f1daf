package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

const mbit = 1_000_000 / 8 // octets a second

// lineQueue is the time that a full queue of a line takes.
const lineQueue = 50 * time.Millisecond

// line is a path with a rate and a round trip. Its queue takes a few packets at
// least, however slow it is.
func line(rate int, rtt time.Duration) netsim.Config {
	return netsim.Config{Delay: rtt / 2, Rate: rate, Queue: max(int(lineQueue.Seconds()*float64(rate)), 30_000)}
}

// bulkNet has one end send as much as it can to the other, with the buffers
// that package sctpmh has.
func bulkNet(seed uint64, aggregate bool, links [2]netsim.Config) *failoverNet {
	n := newUnequalNet(seed, links, nil)
	cfg := Config{Aggregate: aggregate, SendBuffer: 8 << 20, ReceiveBuffer: 4 << 20, MaxPMTU: 1500}
	cfg.Port, cfg.Locals = 4000, aLocals
	n.a.ep.cfg = cfg.withDefaults()
	n.a.assoc = n.a.ep.Dial(Time(netsim.Start), []Pair{onPath1}, 4000, 5000)
	data := make([]byte, 1404)
	n.a.plan = make([]simMessage, 70_000)
	for i := range n.a.plan {
		n.a.plan[i] = simMessage{msg: Message{Stream: 1, Data: data}}
	}
	return n
}

// bulkRate is what arrives in a second, in order, from two seconds on.
func bulkRate(t testing.TB, aggregate bool, links [2]netsim.Config) (rate float64) {
	t.Helper()
	const from, to = 2 * time.Second, 3 * time.Second
	n := bulkNet(1, aggregate, links)
	before := 0
	n.net.At(netsim.Start.Add(from), func() { before = n.b.octets })
	if err := n.net.Run(netsim.Start.Add(to), nil); err != nil {
		t.Fatal(err)
	}
	s := n.a.assoc.Stats()
	rate = float64(n.b.octets-before) / (to - from).Seconds()
	t.Logf("aggregate %v: %.1f Mbit/s, %d packets, %d chunks sent again, %d timeouts, %d arrived twice; %d packets back",
		aggregate, rate/mbit, s.PacketsSent, s.Retransmits, s.Timeouts, n.b.assoc.Stats().Duplicates, n.b.assoc.Stats().PacketsSent)
	if sent, back := s.PacketsSent, n.b.assoc.Stats().PacketsSent; aggregate && back > sent*3/4 {
		t.Errorf("%d packets back for %d: gaps hurry SACKs though data comes by several paths", back, sent)
	}
	return rate
}

// Two paths give what they are worth together, one that is much slower costs
// nothing.
func TestAggregateRates(t *testing.T) {
	for _, c := range []struct {
		name  string
		links [2]netsim.Config
		least float64 // times the first path alone
	}{
		{"50+50 Mbit/s, 20 and 20 ms", [2]netsim.Config{line(50*mbit, 20*time.Millisecond), line(50*mbit, 20*time.Millisecond)}, 1.8},
		{"50+50 Mbit/s, 10 and 60 ms", [2]netsim.Config{line(50*mbit, 10*time.Millisecond), line(50*mbit, 60*time.Millisecond)}, 1.6},
		{"50+50 Mbit/s, 60 and 10 ms", [2]netsim.Config{line(50*mbit, 60*time.Millisecond), line(50*mbit, 10*time.Millisecond)}, 1.6},
		{"100+1 Mbit/s, 20 and 20 ms", [2]netsim.Config{line(100*mbit, 20*time.Millisecond), line(mbit, 20*time.Millisecond)}, 0.95},
		{"100+1 Mbit/s, 10 and 300 ms", [2]netsim.Config{line(100*mbit, 10*time.Millisecond), line(mbit, 300*time.Millisecond)}, 0.95},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			alone, both := bulkRate(t, false, c.links), bulkRate(t, true, c.links)
			t.Logf("%.3f times", both/alone)
			if both < c.least*alone {
				t.Errorf("%.1f Mbit/s are %.2f times the %.1f Mbit/s of the first path alone, want %.2f times", both/mbit, both/alone, alone/mbit, c.least)
			}
		})
	}
}

// A path that dies, whichever it is, stalls the others no longer than it does
// data that took it alone.
func TestAggregateFailover(t *testing.T) {
	worst := func(aggregate bool, dead int, links [2]netsim.Config) (gap time.Duration) {
		for run := range 2 {
			n := bulkNet(uint64(run), aggregate, links)
			at := netsim.Start.Add(2*time.Second + time.Duration(run)*7*time.Millisecond)
			n.net.At(at, func() { n.link[dead].Cut(true, false) })
			if err := n.net.Run(at.Add(500*time.Millisecond), nil); err != nil {
				t.Fatal(err)
			}
			gap = max(gap, n.b.longestGap(Time(at)))
		}
		return gap
	}
	near, far := line(20*mbit, 10*time.Millisecond), line(20*mbit, 60*time.Millisecond)
	for _, links := range [][2]netsim.Config{{near, near}, {near, far}} {
		for dead, l := range links {
			alone := worst(false, 0, [2]netsim.Config{l, links[1-dead]})
			both := worst(true, dead, links)
			t.Logf("one way %v and %v, path %d dies: %v, alone %v", links[0].Delay, links[1].Delay, dead+1, both, alone)
			if both > alone {
				t.Errorf("when path %d dies nothing arrives for %v; when data takes it alone, for %v", dead+1, both, alone)
			}
		}
	}
}

// aggregatePair is two ends over two paths of 10 ms each way, path 2 with some
// more, where a takes both at once.
func aggregatePair(t *testing.T, more time.Duration) *pair {
	n := pfPair(t, 2, Config{})
	n.a.assoc.SetAggregate(true)
	n.late = func(_ *side, on Pair, _ []byte) time.Duration {
		if pfNet(on) == 2 {
			return more
		}
		return 0
	}
	n.b.assoc.cfg.HeartbeatInterval, n.a.assoc.cfg.HeartbeatInterval = time.Hour, time.Hour
	n.advance(100 * time.Millisecond)
	n.b.got = nil
	return n
}

// Every path in use says so, and carries data; what arrives out of order over
// them is neither sent again nor acknowledged packet by packet.
func TestAggregateTakesAllPaths(t *testing.T) {
	n := aggregatePair(t, 3*time.Millisecond)
	before := n.b.assoc.Stats().SacksSent
	for range 40 {
		n.send(n.a, 1, 20, 1000)
		n.advance(5 * time.Millisecond)
	}
	n.advance(time.Second)
	var sent [3]int
	for i := 1; i <= 2; i++ {
		if p := pfInfo(n, i); !p.InUse {
			t.Errorf("not in use: %s", pfText(p))
		}
		sent[i] = len(pfSent(n, i, wire.TypeData, 0))
	}
	if sent[1] < 100 || sent[2] < 100 {
		t.Errorf("%d packets over path 1 and %d over path 2", sent[1], sent[2])
	}
	s := n.a.assoc.Stats()
	if s.Retransmits > 0 || s.Timeouts > 0 {
		t.Errorf("%d chunks sent again, %d timeouts, but nothing was lost", s.Retransmits, s.Timeouts)
	}
	if sacks := n.b.assoc.Stats().SacksSent - before; sacks > 500 {
		t.Errorf("%d SACKs for 800 packets", sacks)
	}
	if len(n.b.got) != 800 {
		t.Errorf("%d of 800 messages", len(n.b.got))
	}
}

// A few messages do not take the slow path when the fast one has them there
// sooner, and a path in doubt gets none.
func TestAggregateLeavesPathsOut(t *testing.T) {
	n := aggregatePair(t, 100*time.Millisecond)
	for range 30 { // until its round trip is known
		n.a.assoc.probeNow(n.now, n.a.assoc.paths.find(pfOn(2)))
		n.advance(500 * time.Millisecond)
	}
	from := n.now
	n.send(n.a, 1, 12, 1000)
	n.advance(time.Second)
	if at := pfSent(n, 2, wire.TypeData, from); len(at) > 0 {
		t.Errorf("%d of 12 packets take the path that is 200 ms longer", len(at))
	}

	n = aggregatePair(t, 0)
	n.a.assoc.LocalFailed(n.now, pfOn(2).Local.Addr())
	pfCut(n, 2)
	from = n.now
	n.send(n.a, 1, 100, 1000)
	n.advance(time.Second)
	if at := pfSent(n, 2, wire.TypeData, from); len(at) > 0 || pfInfo(n, 2).InUse {
		t.Errorf("%d packets take a path in doubt: %s", len(at), pfText(pfInfo(n, 2)))
	}
}

// A SACK that another one overtook says less than is known. That is no reneging,
// and its window is no more. One that moves the cumulative TSN is never taken for
// that, nor one long after SACKs came by another path.
func TestOvertakenSack(t *testing.T) {
	n := aggregatePair(t, 0)
	a := n.a.assoc
	n.drop = func(*side, Pair, []byte) bool { return true }
	n.send(n.a, 1, 6, 1000)
	first := a.flight.first
	sack := func(why string, net, cum, gapEnd, wantAcked int) {
		t.Helper()
		var gaps []wire.Gap
		if gapEnd > 0 {
			gaps = []wire.Gap{{Start: 2, End: uint16(gapEnd)}}
		}
		b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.tag})
		b = wire.AppendSack(b, first.Add(uint32(cum)-1), 100_000, gaps, nil)
		wire.SetChecksum(b)
		a.Handle(n.now, pfOn(net), b)
		if a.flight.ackedCount != wantAcked {
			t.Errorf("%s: %d chunks are known to have arrived, want %d", why, a.flight.ackedCount, wantAcked)
		}
		n.step()
	}
	sack("the first", 1, 0, 4, 3)
	a.peer.rwnd = 50_000
	sack("an earlier one over the other path", 2, 0, 2, 3)
	if a.peer.rwnd != 50_000 {
		t.Errorf("the window of an overtaken SACK is taken for the peer's: %d octets are left", a.peer.rwnd)
	}
	sack("a second one", 2, 0, 3, 3)
	n.advance(time.Second)
	sack("long after", 2, 0, 3, 2)
	sack("over the first path", 1, 1, 0, 0)
}

// A path that lost the end of a flight, and answers as soon as it is asked, is
// not one that came back from the dead: it carries its share again at once.
func TestAggregateAfterALostTail(t *testing.T) {
	for _, dark := range []time.Duration{0, time.Second} { // for which the path is dead altogether
		n := aggregatePair(t, 40*time.Millisecond)
		for range 30 { // until its round trip is known
			n.a.assoc.probeNow(n.now, n.a.assoc.paths.find(pfOn(2)))
			n.advance(500 * time.Millisecond)
		}
		for range 10 { // more than the first path's window lets out
			n.send(n.a, 1, 20, 1000)
			n.advance(5 * time.Millisecond)
		}
		n.drop = func(s *side, on Pair, b []byte) bool { return pfNet(on) == 2 && s.name == "a" && has(b, wire.TypeData) }
		n.send(n.a, 1, 20, 1000)
		lost := n.now
		for pfInfo(n, 2).State == Active && n.now.Sub(lost) < time.Second {
			n.advance(time.Millisecond)
		}
		if dark > 0 {
			n.drop = silent(pfOn(2))
			n.advance(dark)
		}
		n.drop = nil
		back := n.now
		for !pfInfo(n, 2).InUse && n.now.Sub(back) < 5*time.Second {
			n.advance(10 * time.Millisecond)
		}
		took := n.now.Sub(back)
		if lost == back || dark == 0 && took > 200*time.Millisecond || dark > 0 && took < holdMin {
			t.Errorf("dead for %v: left after %v, in use again after %v\n%s", dark, back.Sub(lost), took, pfText(pfInfo(n, 2)))
		}
	}
}

// A path that loses much is left out, with a chance now and then to show that it
// has become better: soon at first, for it may have been a queue that was too
// short for the first window.
func TestAggregateForgivesLosses(t *testing.T) {
	good := line(2*mbit, 20*time.Millisecond)
	n := bulkNet(1, true, [2]netsim.Config{good, good})
	now := netsim.Start
	inUse := func(d time.Duration) (part float64) {
		const step = 50 * time.Millisecond
		for range d / step {
			now = now.Add(step)
			if err := n.net.Run(now, nil); err != nil {
				t.Fatal(err)
			}
			if p := n.a.assoc.paths.find(onPath2); p != nil && n.a.assoc.inUse(p) {
				part += float64(step) / float64(d)
			}
		}
		return part
	}
	inUse(time.Second)
	if part := inUse(2 * time.Second); part < 0.9 {
		t.Errorf("in use for %.2f of the time, and nothing was lost", part)
	}
	n.link[1].SetLoss(0.3)
	inUse(3 * time.Second)
	if part := inUse(30 * time.Second); part == 0 || part > 0.25 {
		t.Errorf("in use for %.2f of the time, though it loses a third", part)
	}
	n.link[1].SetLoss(0)
	inUse(time.Minute) // each time that it is left out takes twice as long
	if part := inUse(2 * time.Second); part < 0.9 {
		t.Errorf("in use for %.2f of the time, a minute after it has become better", part)
	}
}
