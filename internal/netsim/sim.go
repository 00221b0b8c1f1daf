package netsim

import (
	"container/heap"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Time is an instant in nanoseconds since the network began.
type Time int64

// Add returns the instant d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Start is the instant at which every network begins: not zero, so that a
// node that takes zero for "never" is found out.
const Start = Time(time.Second)

// A Packet is a UDP datagram between two addresses.
type Packet struct {
	Src, Dst netip.AddrPort
	Data     []byte
	Fragment bool // the network may cut it in pieces that fit; else one that is too big vanishes
	ECT, CE  bool // it is ECN-capable; congestion was experienced
}

// Len is the length of the IP packet, headers included.
func (p Packet) Len() int {
	const udp = 8
	if p.Dst.Addr().Is4() {
		return len(p.Data) + 20 + udp
	}
	return len(p.Data) + 40 + udp
}

// A Node is a host. The network calls it, one call at a time.
type Node interface {
	// Deliver hands over a packet. The node may keep p.Data.
	Deliver(now Time, p Packet)
	// Deadline is when Expire is to be called next, if ever.
	Deadline() (at Time, ok bool)
	Expire(now Time)
	// Poll returns the next packet that the node sends now.
	Poll(now Time) (p Packet, ok bool)
}

// A Net is a simulated network.
type Net struct {
	// Trace, if set, gets one line for each thing that happens to a packet.
	Trace io.Writer
	// Step, if set, is called after each event has been handled and all
	// packets that it caused were sent.
	Step func(now Time)

	// TooBig, if set, is told of each packet that vanished because it exceeded
	// the MTU of its link, and of that, as routers tell with ICMP.
	TooBig func(p Packet, mtu int)

	seed   uint64
	now    Time
	events events
	seq    uint64
	nodes  []*host
	links  []*Link
	counts Counts
}

// Counts sums what happened to packets.
type Counts struct {
	Sent, Delivered, Lost, Corrupted, Duplicated, Reordered, Queued, TooBig, Cut, Unrouted int

	Fragmented, Marked, Octets int
}

// host is a node and its place in the event queue.
type host struct {
	node  Node
	alarm uint64 // sequence number of its valid alarm
	armed bool
	at    Time
}

// New returns an empty network.
func New(seed uint64) *Net { return &Net{seed: seed, now: Start} }

// Now returns the present instant.
func (n *Net) Now() Time { return n.now }

// Counts returns what happened so far.
func (n *Net) Counts() Counts { return n.counts }

// Add puts a node into the network.
func (n *Net) Add(node Node) { n.nodes = append(n.nodes, &host{node: node}) }

// At has f called at an instant, after what was scheduled for it before.
func (n *Net) At(at Time, f func()) { n.schedule(max(at, n.now), f) }

func (n *Net) schedule(at Time, f func()) uint64 {
	n.seq++
	heap.Push(&n.events, event{at: at, seq: n.seq, run: f})
	return n.seq
}

// Run lets time pass until end, or until nothing is left to happen, or until
// stop reports true; stop may be nil.
func (n *Net) Run(end Time, stop func() bool) error {
	if err := n.settle(); err != nil {
		return err
	}
	for count := 0; len(n.events) > 0 && n.events[0].at <= end; count++ {
		if n.events[0].at > n.now {
			count = 0
		} else if count > maxEvents {
			return fmt.Errorf("time does not pass at %v: a deadline is always due", time.Duration(n.now))
		}
		if stop != nil && stop() {
			return nil
		}
		e := heap.Pop(&n.events).(event)
		n.now = e.at
		e.run()
		if err := n.settle(); err != nil {
			return err
		}
	}
	n.now = max(n.now, end)
	return nil
}

// next returns when something happens next, if ever.
func (n *Net) next() (at Time, ok bool) {
	if len(n.events) == 0 {
		return 0, false
	}
	return n.events[0].at, true
}

// maxEvents bounds what may happen at one instant, for the same reason as
// maxBurst: a deadline that is always due is a bug.
const maxEvents = 1 << 17

// maxBurst bounds the packets that a node may send at one instant: a node
// whose Poll does not end is a bug to be reported, not to hang in.
const maxBurst = 1 << 17

// settle sends what the nodes have to send and arms their deadlines.
func (n *Net) settle() error {
	for i, h := range n.nodes {
		for sent := 0; ; sent++ {
			p, ok := h.node.Poll(n.now)
			if !ok {
				break
			}
			if sent > maxBurst {
				return fmt.Errorf("node %d sends without end at %v", i, time.Duration(n.now))
			}
			n.send(p)
		}
		n.arm(h)
	}
	if n.Step != nil {
		n.Step(n.now)
	}
	return nil
}

// arm schedules a node's deadline unless the same one is scheduled already.
func (n *Net) arm(h *host) {
	at, ok := h.node.Deadline()
	at = max(at, n.now)
	if !ok || h.armed && h.at == at {
		h.armed = h.armed && ok
		return
	}
	h.armed, h.at = true, at
	var seq uint64
	seq = n.schedule(at, func() {
		if h.armed && h.alarm == seq {
			h.armed = false
			h.node.Expire(n.now)
		}
	})
	h.alarm = seq
}

// route returns the link that carries a packet, nil when there is none.
func (n *Net) route(p Packet) *Link {
	for _, l := range n.links {
		if l.carries(p.Src.Addr(), p.Dst.Addr()) {
			return l
		}
	}
	return nil
}

// send passes a packet to the link between its addresses.
func (n *Net) send(p Packet) {
	n.counts.Sent++
	n.counts.Octets += len(p.Data)
	if l := n.route(p); l != nil {
		l.send(p)
		return
	}
	n.counts.Unrouted++
	n.trace(p, "no route")
}

// deliver hands a packet to the node that has its destination.
func (n *Net) deliver(p Packet, node Node) {
	n.counts.Delivered++
	n.trace(p, "delivered")
	node.Deliver(n.now, p)
}

func (n *Net) trace(p Packet, what string) {
	if n.Trace != nil {
		fmt.Fprintf(n.Trace, "%d %v>%v %d %08x %s\n", n.now, p.Src, p.Dst, len(p.Data), sum(p.Data), what)
	}
}

// sum is a cheap fingerprint of a packet for traces (FNV-1a).
func sum(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

type event struct {
	at  Time
	seq uint64
	run func()
}

// events is a heap ordered by time, then by the order of scheduling.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return x
}
