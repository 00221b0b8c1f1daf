package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// The failover benchmarks measure, in virtual time, what a receiver sees when
// the first of two paths goes silent: the longest gap between messages, over
// 20 runs that differ in the moment of the cut. They report median and worst
// in milliseconds.

const failoverRuns = 20

// receiver notes when messages arrive.
type receiver struct {
	simNode
	at     []Time
	octets int
}

func (r *receiver) Poll(now netsim.Time) (netsim.Packet, bool) {
	a := r.assoc
	if a != nil {
		for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
			if e.Kind == EventEstablished {
				a.Permit(Time(now), r.permit)
			}
		}
		for m, ok := a.Recv(Time(now)); ok; m, ok = a.Recv(Time(now)) {
			r.at = append(r.at, Time(now))
			r.octets += len(m.Data)
		}
	}
	b, on, ok := r.ep.Poll(Time(now), nil)
	if !ok && a != nil {
		b, on, ok = a.Poll(Time(now), nil)
	}
	return netsim.Packet{Src: on.Local, Dst: on.Remote, Data: b}, ok
}

// longestGap returns the longest time without a message after from.
func (r *receiver) longestGap(from Time) (gap time.Duration) {
	for i := 1; i < len(r.at); i++ {
		if r.at[i] > from {
			gap = max(gap, r.at[i].Sub(r.at[i-1]))
		}
	}
	return gap
}

// failoverNet is a sender and a receiver over two paths.
type failoverNet struct {
	net  *netsim.Net
	a    *simNode
	b    *receiver
	link [2]*netsim.Link
}

func newFailoverNet(seed uint64, c netsim.Config, plan []simMessage) *failoverNet {
	return newUnequalNet(seed, [2]netsim.Config{c, c}, plan)
}

func newUnequalNet(seed uint64, links [2]netsim.Config, plan []simMessage) *failoverNet {
	n := &failoverNet{net: netsim.New(seed)}
	n.a = &simNode{name: "a", ep: NewEndpoint(Time(netsim.Start), Config{Port: 4000, Locals: aLocals}, rand.NewPCG(seed, 1)), plan: plan, got: newReceived()}
	n.b = &receiver{simNode: simNode{name: "b", ep: NewEndpoint(Time(netsim.Start), Config{Port: 5000, Locals: bLocals, Accept: true}, rand.NewPCG(seed, 2)), got: newReceived()}}
	n.a.want, n.b.want = &n.b.simNode, n.a
	n.net.Add(n.a)
	n.net.Add(n.b)
	for i := range n.link {
		x, y := aLocals[i].Addr(), bLocals[i].Addr()
		n.link[i] = n.net.Join(fmt.Sprint(i), n.a, []netip.Addr{x}, n.b, []netip.Addr{y}, links[i], links[i])
		n.a.permit = append(n.a.permit, y)
		n.b.permit = append(n.b.permit, x)
	}
	n.a.assoc = n.a.ep.Dial(Time(netsim.Start), []Pair{onPath1, onPath2}, 4000, 5000)
	return n
}

// steady is a message every interval for a time.
func steady(interval, over time.Duration, size int) (plan []simMessage) {
	for at := time.Duration(0); at < over; at += interval {
		plan = append(plan, simMessage{at: Time(netsim.Start).Add(at), msg: Message{Stream: 1, Data: make([]byte, size)}})
	}
	return plan
}

// gaps runs a scenario and reports median and worst of the longest gaps.
func gaps(b *testing.B, c netsim.Config, plan []simMessage, cut func(*failoverNet, netsim.Time)) {
	for range b.N {
		var all []time.Duration
		for run := range failoverRuns {
			n := newFailoverNet(uint64(run), c, plan)
			at := netsim.Start.Add(3*time.Second + time.Duration(run)*7*time.Millisecond)
			n.net.At(at, func() { cut(n, at) })
			if err := n.net.Run(netsim.Start.Add(8*time.Second), nil); err != nil {
				b.Fatal(err)
			}
			all = append(all, n.b.longestGap(Time(at)))
		}
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
		b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "worst-ms")
		b.ReportMetric(0, "ns/op")
	}
}

func cutFirst(n *failoverNet, _ netsim.Time) { n.link[0].Cut(true, true) }

func BenchmarkFailover(b *testing.B) {
	messages := steady(50*time.Millisecond, 7*time.Second, 100)
	b.Run("RTT=20ms/message=50ms", func(b *testing.B) {
		gaps(b, netsim.Config{Delay: 10 * time.Millisecond}, messages, cutFirst)
	})
	b.Run("RTT=0.2ms/message=50ms", func(b *testing.B) {
		gaps(b, netsim.Config{Delay: 100 * time.Microsecond}, messages, cutFirst)
	})
	b.Run("RTT=20ms/message=50ms/answers-lost", func(b *testing.B) {
		gaps(b, netsim.Config{Delay: 10 * time.Millisecond}, messages, func(n *failoverNet, _ netsim.Time) { n.link[0].Cut(false, true) })
	})
	b.Run("RTT=20ms/bulk=50Mbit", func(b *testing.B) {
		c := netsim.Config{Delay: 10 * time.Millisecond, Rate: 6_250_000, Queue: 312_500}
		gaps(b, c, steady(100*time.Microsecond, 7*time.Second, 1204), cutFirst)
	})
}

// BenchmarkFirstPathDead reports how much later the first message arrives when
// the first path is dead before the connect.
func BenchmarkFirstPathDead(b *testing.B) {
	for range b.N {
		var first [2]Time
		for i, dead := range []bool{false, true} {
			n := newFailoverNet(1, netsim.Config{Delay: 10 * time.Millisecond}, steady(50*time.Millisecond, time.Second, 100))
			n.link[0].Cut(dead, dead)
			if err := n.net.Run(netsim.Start.Add(3*time.Second), nil); err != nil {
				b.Fatal(err)
			}
			first[i] = n.b.at[0]
		}
		b.ReportMetric(float64(first[1].Sub(first[0]).Microseconds())/1000, "extra-ms")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkLossyPath reports what share of a good path's rate is reached, from
// two seconds on, after the first path began to lose 30 % both ways.
func BenchmarkLossyPath(b *testing.B) {
	c := netsim.Config{Delay: 10 * time.Millisecond, Rate: 1_250_000, Queue: 62_500}
	const from, to = 5 * time.Second, 15 * time.Second
	for range b.N {
		var shares []float64
		for run := range failoverRuns {
			n := newFailoverNet(uint64(run), c, steady(500*time.Microsecond, to, 1204))
			n.net.At(netsim.Start.Add(3*time.Second), func() { n.link[0].SetLoss(0.3) })
			var before int
			n.net.At(netsim.Start.Add(from), func() { before = n.b.octets })
			if err := n.net.Run(netsim.Start.Add(to), nil); err != nil {
				b.Fatal(err)
			}
			rate := float64(n.b.octets-before) / (to - from).Seconds()
			shares = append(shares, 100*rate/(1_250_000*1204/1232))
		}
		slices.Sort(shares)
		b.ReportMetric(shares[len(shares)/2], "median-%")
		b.ReportMetric(shares[0], "worst-%")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkThroughput reports what a bulk transfer reaches of a path of 100
// Mbit/s with a queue of 50 ms, by round trip, loss and algorithm.
func BenchmarkThroughput(b *testing.B) {
	for _, algorithm := range []CongestionControl{CUBIC, NewReno} {
		for _, rtt := range []time.Duration{200 * time.Microsecond, 20 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
			for _, loss := range []float64{0, 0.001, 0.01} {
				name := []string{"CUBIC", "NewReno"}[algorithm]
				b.Run(fmt.Sprintf("%s/RTT=%v/loss=%v%%", name, rtt, 100*loss), func(b *testing.B) {
					for range b.N {
						b.ReportMetric(throughput(b, algorithm, rtt, loss), "Mbit/s")
						b.ReportMetric(0, "ns/op")
					}
				})
			}
		}
	}
}

// throughput returns the goodput of twenty seconds, without the first five.
func throughput(b *testing.B, algorithm CongestionControl, rtt time.Duration, loss float64) float64 {
	const rate, from, to = 12_500_000, 5 * time.Second, 20 * time.Second
	c := netsim.Config{Delay: rtt / 2, Rate: rate, Queue: rate / 20}
	n := newFailoverNet(1, c, nil)
	big := Config{Port: 4000, Locals: aLocals, CongestionControl: algorithm, SendBuffer: 16 << 20, ReceiveBuffer: 32 << 20, MaxPMTU: 1500}
	n.a.ep.cfg, n.b.ep.cfg.ReceiveBuffer = big.withDefaults(), big.ReceiveBuffer
	n.a.assoc = n.a.ep.Dial(Time(netsim.Start), []Pair{onPath1}, 4000, 5000)
	n.link[0].SetLoss(loss)
	n.link[1].SetLoss(loss)
	n.a.plan = make([]simMessage, int(to.Seconds())*rate/1204)
	data := make([]byte, 1204)
	for i := range n.a.plan {
		n.a.plan[i] = simMessage{msg: Message{Stream: 1, Data: data}}
	}
	var before int
	n.net.At(netsim.Start.Add(from), func() { before = n.b.octets })
	if err := n.net.Run(netsim.Start.Add(to), nil); err != nil {
		b.Fatal(err)
	}
	return float64(n.b.octets-before) * 8 / (to - from).Seconds() / 1e6
}
