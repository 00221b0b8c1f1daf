package engine

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
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
	const from, to = 2 * time.Second, 4 * time.Second
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
			at := netsim.Start.Add(3*time.Second + time.Duration(run)*7*time.Millisecond)
			n.net.At(at, func() { n.link[dead].Cut(true, false) })
			if err := n.net.Run(at.Add(time.Second), nil); err != nil {
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
