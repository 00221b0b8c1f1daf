package netsim

import (
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Config is what one direction of a link does to packets.
type Config struct {
	Delay, Jitter time.Duration // Jitter is added, uniformly from zero to it; packets keep their order
	Loss          float64       // of single packets
	Burst         Burst
	Reorder       float64       // of packets that are held back
	ReorderBy     time.Duration // for how long
	Duplicate     float64
	Corrupt       float64 // of packets with one bit turned
	MTU           int     // octets of an IP packet, UDP and IP headers included; 0: any
	Rate          int     // octets a second; 0: any
	Queue         int     // octets that wait for the rate; the rest is dropped
	Mark          int     // with more octets waiting, ECN-capable packets are marked; 0: none are
	DropECT       bool    // ECN-capable packets vanish
}

// Burst is a Gilbert-Elliott channel: it turns bad with probability Enter and
// good with probability Leave, a chance each packet, and loses what passes
// while it is bad. Being bad ends after a second at the latest, however few
// packets pass.
type Burst struct{ Enter, Leave float64 }

const longestBurst = time.Second

// A Link joins two nodes: packets between an address of A and one of B.
type Link struct {
	net  *Net
	a, b end
	up   direction // from a to b
	down direction // from b to a
	nat  *nat
}

type end struct {
	node  Node
	addrs []netip.Addr
}

// direction is one way over a link.
type direction struct {
	Config
	rng     *rand.Rand
	cut     bool
	bad     bool // state of the burst channel
	badEnd  Time
	free    Time // when the sender's queue is empty
	last    Time // arrival of the latest packet, for keeping the order
	packets int
	octets  int
}

// Join adds a link between addresses of two nodes. name seeds its randomness.
func (n *Net) Join(name string, a Node, aAddrs []netip.Addr, b Node, bAddrs []netip.Addr, up, down Config) *Link {
	l := &Link{net: n, a: end{a, aAddrs}, b: end{b, bAddrs}}
	l.up = direction{Config: up, rng: n.source(name + "/up")}
	l.down = direction{Config: down, rng: n.source(name + "/down")}
	n.links = append(n.links, l)
	return l
}

func (n *Net) source(name string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(name))
	return rand.New(rand.NewPCG(n.seed, h.Sum64()))
}

// Cut stops (or restores) each direction; packets vanish without a sign.
func (l *Link) Cut(up, down bool) { l.up.cut, l.down.cut = up, down }

// Packets returns how many packets each direction delivered.
func (l *Link) Packets() (up, down int) { return l.up.packets, l.down.packets }

func (e end) has(a netip.Addr) bool {
	for _, x := range e.addrs {
		if x == a {
			return true
		}
	}
	return false
}

func (l *Link) carries(src, dst netip.Addr) bool {
	if l.nat != nil {
		return l.a.has(src) && l.b.has(dst) || l.b.has(src) && dst == l.nat.public
	}
	return l.a.has(src) && l.b.has(dst) || l.b.has(src) && l.a.has(dst)
}

// send takes a packet from one of the ends.
func (l *Link) send(p Packet) {
	d, to := &l.down, l.a.node
	if l.a.has(p.Src.Addr()) {
		d, to = &l.up, l.b.node
	}
	if l.nat != nil {
		var ok bool
		if p, ok = l.nat.translate(l.net.now, p, d == &l.up); !ok {
			l.net.counts.Unrouted++
			l.net.trace(p, "no mapping")
			return
		}
	}
	d.send(l.net, p, to)
}

// send decides what becomes of a packet.
func (d *direction) send(n *Net, p Packet, to Node) {
	switch {
	case d.cut:
		n.counts.Cut++
		n.trace(p, "cut")
		return
	case d.MTU > 0 && p.Len() > d.MTU && !p.Fragment:
		n.counts.TooBig++
		n.trace(p, "too big")
		if n.TooBig != nil {
			n.TooBig(p, d.MTU)
		}
		return
	}
	pieces := 1
	if d.MTU > 0 && p.Len() > d.MTU {
		n.counts.Fragmented++
		pieces = (p.Len() + d.MTU - 1) / d.MTU
	}
	for range pieces { // the packet needs all of them
		if d.lost(n.now) || p.ECT && d.DropECT {
			n.counts.Lost++
			n.trace(p, "lost")
			return
		}
	}
	if d.chance(d.Corrupt) && len(p.Data) > 0 {
		n.counts.Corrupted++
		bit := d.rng.IntN(8 * len(p.Data))
		p.Data = append([]byte(nil), p.Data...)
		p.Data[bit/8] ^= 1 << (bit % 8)
	}
	leave := n.now
	if d.Rate > 0 {
		backlog := int(time.Duration(max(d.free, n.now)-n.now).Seconds() * float64(d.Rate))
		if backlog > d.Queue {
			n.counts.Queued++
			n.trace(p, "queue full")
			return
		}
		if d.Mark > 0 && backlog > d.Mark && p.ECT {
			n.counts.Marked++
			p.CE = true
		}
		d.free = max(d.free, n.now).Add(time.Duration(float64(len(p.Data)) / float64(d.Rate) * 1e9))
		leave = d.free
	}
	arrive := leave.Add(d.Delay)
	if d.Jitter > 0 {
		arrive = arrive.Add(time.Duration(d.rng.Int64N(int64(d.Jitter))))
	}
	arrive = max(arrive, d.last)
	if d.chance(d.Reorder) {
		n.counts.Reordered++
		arrive = arrive.Add(d.ReorderBy)
	} else {
		d.last = arrive
	}
	d.arrive(n, arrive, p, to)
	if d.chance(d.Duplicate) {
		n.counts.Duplicated++
		p.Data = append([]byte(nil), p.Data...)
		d.arrive(n, arrive.Add(d.Delay/8), p, to)
	}
}

func (d *direction) arrive(n *Net, at Time, p Packet, to Node) {
	n.schedule(at, func() {
		d.packets++
		d.octets += len(p.Data)
		n.deliver(p, to)
	})
}

func (d *direction) lost(now Time) bool {
	if d.Burst.Enter > 0 {
		if d.bad {
			d.bad = now < d.badEnd && !d.chance(d.Burst.Leave)
		} else if d.bad = d.chance(d.Burst.Enter); d.bad {
			d.badEnd = now.Add(longestBurst)
		}
	}
	return d.chance(d.Loss) || d.bad
}

func (d *direction) chance(p float64) bool { return p > 0 && d.rng.Float64() < p }

// SetMTU changes the MTU of both directions; 0 is none. Packets that are under
// way pass.
func (l *Link) SetMTU(octets int) { l.up.MTU, l.down.MTU = octets, octets }

// SetLoss changes the loss of both directions.
func (l *Link) SetLoss(p float64) { l.up.Loss, l.down.Loss = p, p }

// SetDelay changes the delay of both directions. Packets that are under way are
// not overtaken.
func (l *Link) SetDelay(d time.Duration) { l.up.Delay, l.down.Delay = d, d }
