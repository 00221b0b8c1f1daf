package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A pair is two endpoints over a network of the test's own: every packet
// takes delay and what late adds, unless drop takes it. It is small so that a test can say
// exactly what happens; whole networks are netsim's.
type pair struct {
	t     *testing.T
	now   Time
	delay time.Duration
	drop  func(from *side, on Pair, packet []byte) bool
	late  func(from *side, on Pair, packet []byte) time.Duration // added to delay
	seen  []sighting                                             // every packet sent
	queue []transit
	a, b  *side
}

type side struct {
	name   string
	ep     *Endpoint
	assoc  *Assoc
	other  *side
	events []Event
	sent   map[wire.StreamID]int // messages so far
	got    []Message
	hold   bool // do not take messages
}

type transit struct {
	at   Time
	to   *side
	on   Pair
	data []byte
}

type sighting struct {
	at   Time
	from string
	on   Pair
	data []byte
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

var (
	aLocals = []netip.AddrPort{addrPort("10.1.0.1:5001"), addrPort("10.2.0.1:5001")}
	bLocals = []netip.AddrPort{addrPort("10.1.0.2:9899"), addrPort("10.2.0.2:9899")}
	onPath1 = Pair{aLocals[0], bLocals[0]}
	onPath2 = Pair{aLocals[1], bLocals[1]}
)

// newPair returns two endpoints with two addresses each, joined by two
// networks; between the networks there is no route.
func newPair(t *testing.T, cfgA, cfgB Config) *pair {
	cfgA.Port, cfgB.Port = 4000, 5000
	cfgA.Locals, cfgB.Locals = aLocals, bLocals
	cfgB.Accept = true
	// Packets of one size, unless a test is about it.
	cfgA.MaxPMTU, cfgB.MaxPMTU = or(cfgA.MaxPMTU, basePMTU), or(cfgB.MaxPMTU, basePMTU)
	n := &pair{t: t, now: 1e9, delay: 10 * time.Millisecond}
	n.a = &side{name: "a", ep: NewEndpoint(n.now, cfgA, rand.NewPCG(1, 2))}
	n.b = &side{name: "b", ep: NewEndpoint(n.now, cfgB, rand.NewPCG(3, 4))}
	n.a.other, n.b.other = n.b, n.a
	return n
}

// connect dials from a over path 1, waits for the handshake and permits both
// addresses at both ends.
func (n *pair) connect() {
	n.t.Helper()
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	if n.b.assoc == nil || !n.a.assoc.Established() {
		n.t.Fatalf("not established: events %v\n%s", n.a.events, n.trace())
	}
	n.a.assoc.Permit(n.now, []netip.Addr{bLocals[0].Addr(), bLocals[1].Addr()})
	n.b.assoc.Permit(n.now, []netip.Addr{aLocals[0].Addr(), aLocals[1].Addr()})
	n.advance(100 * time.Millisecond)
}

// step sends what is due now.
func (n *pair) step() {
	n.t.Helper()
	for _, s := range []*side{n.a, n.b} {
		n.flush(s, s.ep.Poll)
		if s.assoc == nil {
			continue
		}
		n.flush(s, s.assoc.Poll)
		n.collect(s)
		for !s.hold {
			m, ok := s.assoc.Recv(n.now)
			if !ok {
				break
			}
			s.got = append(s.got, m)
		}
		n.flush(s, s.assoc.Poll)
		if err := s.assoc.Check(); err != nil {
			n.t.Fatalf("%s at %v: %v\n%s", s.name, n.now, err, n.trace())
		}
	}
}

func (n *pair) flush(s *side, poll func(Time, []byte) ([]byte, Pair, bool)) {
	for i := 0; ; i++ {
		if i > 100000 {
			n.t.Fatalf("%s: Poll does not end", s.name)
		}
		b, on, ok := poll(n.now, nil)
		if !ok {
			return
		}
		n.seen = append(n.seen, sighting{n.now, s.name, on, b})
		routed := on.Local.Addr().As4()[1] == on.Remote.Addr().As4()[1] &&
			slices.Contains(s.other.ep.cfg.Locals, on.Remote)
		if !routed || n.drop != nil && n.drop(s, on, b) {
			continue
		}
		delay := n.delay
		if n.late != nil {
			delay += n.late(s, on, b)
		}
		n.queue = append(n.queue, transit{n.now.Add(delay), s.other, Pair{on.Remote, on.Local}, b})
	}
}

// advance lets time pass, event by event.
func (n *pair) advance(d time.Duration) {
	n.t.Helper()
	end := n.now.Add(d)
	n.step()
	for range 1 << 20 {
		next := end
		for _, q := range n.queue {
			next = min(next, q.at)
		}
		for _, s := range []*side{n.a, n.b} {
			if s.assoc != nil {
				if at, ok := s.assoc.NextDeadline(); ok {
					next = min(next, max(at, n.now))
				}
			}
		}
		n.now = next
		n.deliver()
		for _, s := range []*side{n.a, n.b} {
			if s.assoc != nil {
				s.assoc.Expire(n.now)
			}
		}
		n.step()
		if n.now == end {
			return
		}
	}
	n.t.Fatal("time does not pass: a deadline is always due\n" + n.trace())
}

func (n *pair) deliver() {
	due := n.queue
	n.queue = nil
	for _, q := range due {
		if q.at > n.now {
			n.queue = append(n.queue, q)
			continue
		}
		n.deliverTo(q.to, q.on, q.data)
	}
}

// deliverTo does what a driver does with a packet.
func (n *pair) deliverTo(s *side, on Pair, data []byte) {
	a := s.assoc
	r, ok := Route(data)
	if !ok {
		return
	}
	mine := a != nil && !a.Closed() && a.owns(r)
	if mine && !r.Setup {
		a.Handle(n.now, on, data)
		return
	}
	var tcb *TCB
	if a != nil && !a.Closed() && (mine || a.peerAt(r, on)) {
		tcb = a.TCB()
	}
	made, verdict := s.ep.Handle(n.now, on, data, tcb)
	switch verdict {
	case Complete:
		a.CookieEchoed(n.now, on, data)
	case Restart:
		a.Restarted()
		n.collect(s)
	}
	if made != nil {
		s.assoc, s.got = made, nil
	}
}

// owns reports whether a packet is an association's by its tag.
func (a *Assoc) owns(r RouteKey) bool {
	local, peer := a.Ports()
	return r.LocalPort == local && r.PeerPort == peer && (r.Tag == a.LocalTag() || r.Reflected && r.Tag == a.PeerTag())
}

// peerAt reports whether the ports and the source of a packet are those of an
// association's peer.
func (a *Assoc) peerAt(r RouteKey, on Pair) bool {
	if local, peer := a.Ports(); r.LocalPort != local || r.PeerPort != peer {
		return false
	}
	return slices.ContainsFunc(a.hs.candidates, func(c candidate) bool { return c.pair.Remote == on.Remote }) ||
		slices.ContainsFunc(a.paths.all, func(p *path) bool { return p.pair.Remote == on.Remote })
}

// collect reads what happened to an association.
func (n *pair) collect(s *side) {
	for e, ok := s.assoc.NextEvent(); ok; e, ok = s.assoc.NextEvent() {
		s.events = append(s.events, e)
		if e.Kind == EventPeerShutdown {
			s.assoc.Shutdown(n.now)
		}
	}
}

// trace prints the last packets for a failure.
func (n *pair) trace() string {
	var b bytes.Buffer
	for _, s := range n.seen[max(0, len(n.seen)-40):] {
		fmt.Fprintf(&b, "%8.3fms %s %v %s\n", float64(s.at-1e9)/1e6, s.from, s.on, wire.Text(s.data))
	}
	return b.String()
}

// send sends count messages of size octets on a stream.
func (n *pair) send(s *side, stream wire.StreamID, count, size int) {
	n.t.Helper()
	if s.sent == nil {
		s.sent = make(map[wire.StreamID]int)
	}
	for range count {
		i := s.sent[stream]
		s.sent[stream]++
		m := Message{Stream: stream, PPID: 7, Data: bytes.Repeat([]byte{byte(i), byte(stream)}, size)[:size]}
		for s.assoc.SendSpace() == 0 {
			n.advance(time.Millisecond)
		}
		if err := s.assoc.Send(n.now, m); err != nil {
			n.t.Fatalf("Send: %v", err)
		}
		n.step()
	}
}

// wantMessages waits for count messages at s and checks them against send.
func (n *pair) wantMessages(s *side, within time.Duration, count, size int) {
	n.t.Helper()
	for end := n.now.Add(within); len(s.got) < count && n.now < end; {
		n.advance(time.Millisecond)
	}
	if len(s.got) != count {
		n.t.Fatalf("%s got %d messages within %v, want %d\n%s", s.name, len(s.got), within, count, n.trace())
	}
	next := map[wire.StreamID]int{}
	for _, m := range s.got {
		i := next[m.Stream]
		next[m.Stream]++
		if want := bytes.Repeat([]byte{byte(i), byte(m.Stream)}, size)[:size]; !bytes.Equal(m.Data, want) {
			n.t.Fatalf("message %d of stream %d is wrong", i, m.Stream)
		}
	}
}

// wantEvent returns the first event of a kind at s.
func (n *pair) wantEvent(s *side, k EventKind) Event {
	n.t.Helper()
	i := slices.IndexFunc(s.events, func(e Event) bool { return e.Kind == k })
	if i < 0 {
		n.t.Fatalf("%s has no event of kind %d: %v\n%s", s.name, k, s.events, n.trace())
	}
	return s.events[i]
}

// wantNoEvent fails when s saw an event of a kind.
func (n *pair) wantNoEvent(s *side, k EventKind) {
	n.t.Helper()
	if slices.ContainsFunc(s.events, func(e Event) bool { return e.Kind == k }) {
		n.t.Fatalf("%s has an event of kind %d: %v\n%s", s.name, k, s.events, n.trace())
	}
}

// count returns how many of the packets sent by s satisfy f.
func (n *pair) count(s *side, f func(on Pair, packet []byte) bool) int {
	c := 0
	for _, p := range n.seen {
		if p.from == s.name && f(p.on, p.data) {
			c++
		}
	}
	return c
}

// has reports whether a packet carries a chunk of type t.
func has(packet []byte, t wire.ChunkType) bool {
	for b := packet[wire.HeaderLen:]; len(b) > 0; {
		c, rest, ok := wire.NextChunk(b)
		if !ok {
			return false
		}
		if c.Type == t {
			return true
		}
		b = rest
	}
	return false
}

// silent drops everything on the given pairs, seen from side a.
func silent(pairs ...Pair) func(*side, Pair, []byte) bool {
	return func(s *side, on Pair, _ []byte) bool {
		if s.name == "b" {
			on = Pair{on.Remote, on.Local}
		}
		return slices.Contains(pairs, on)
	}
}
