package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// simNode is an endpoint with one association and its user, as a node of a
// simulated network.
type simNode struct {
	name   string
	ep     *Endpoint
	assoc  *Assoc
	former []*Assoc // those whose dialer has begun again
	permit []netip.Addr

	plan     []simMessage // to be sent, in order of time
	next     int
	shutdown bool // shut down when everything is sent and received
	want     *simNode
	got      received
	up, down bool // established, closed
	err      error
	failures int
	broken   error // an invariant that does not hold
}

// simMessage is a message of the plan. Its octets follow from its number.
type simMessage struct {
	at     Time
	number int
	msg    Message
}

// received checks that everything arrives once and in order.
type received struct {
	ordered   map[wire.StreamID]int // how many of a stream's
	unordered map[int]bool
	count     int
}

// payload returns the octets of message number of a node: the number, as far
// as it fits, then a pattern.
func payload(number, size int) []byte {
	b := make([]byte, size)
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], uint32(number))
	copy(b, id[:])
	for i := 4; i < size; i++ {
		b[i] = byte(number*31 + i*7)
	}
	return b
}

func (s *simNode) Deliver(now netsim.Time, p netsim.Packet) {
	on := Pair{Local: p.Dst, Remote: p.Src}
	r, ok := Route(p.Data)
	if !ok {
		return
	}
	for _, a := range append(s.former, s.assoc) {
		if a == nil || a.Closed() {
			continue
		}
		mine := r.Tag == a.LocalTag() || r.Reflected && r.Tag == a.PeerTag()
		if mine && !r.Setup {
			a.Handle(Time(now), on, p.Data)
			return
		}
		if mine || r.Setup && a.paths.find(on) != nil {
			s.setUp(now, on, p.Data, a)
			return
		}
	}
	s.setUp(now, on, p.Data, nil)
}

// setUp takes a packet that is the endpoint's; old is the association that it
// is about, if any.
func (s *simNode) setUp(now netsim.Time, on Pair, data []byte, old *Assoc) {
	var tcb *TCB
	if old != nil {
		tcb = old.TCB()
	}
	made, verdict := s.ep.Handle(Time(now), on, data, tcb)
	switch verdict {
	case Complete:
		old.CookieEchoed(Time(now), on, data)
	case Restart:
		old.Restarted()
	}
	if made == nil {
		return
	}
	if s.assoc != nil {
		if s.want.up {
			s.broken = fmt.Errorf("%s: the peer sets up a second association", s.name)
		}
		// The dialer began again, over other addresses maybe. It will end the
		// one that it does not know.
		s.former = append(s.former, s.assoc)
	}
	s.assoc, s.next, s.up, s.down, s.err = made, 0, false, false, nil
	s.got = newReceived()
}

func newReceived() received {
	return received{ordered: make(map[wire.StreamID]int), unordered: make(map[int]bool)}
}

func (s *simNode) Deadline() (netsim.Time, bool) {
	var next deadline
	for _, a := range s.former {
		if at, ok := a.NextDeadline(); ok {
			(&deadline{at, true}).earlier(&next)
		}
	}
	if s.assoc != nil {
		if at, ok := s.assoc.NextDeadline(); ok {
			(&deadline{at, true}).earlier(&next)
		}
		if s.next < len(s.plan) && s.up && !s.down && s.assoc.SendSpace() > 0 {
			(&deadline{s.plan[s.next].at, true}).earlier(&next)
		}
	}
	return netsim.Time(next.at), next.armed
}

func (s *simNode) Expire(now netsim.Time) {
	for _, a := range append(s.former, s.assoc) {
		if a != nil {
			a.Expire(Time(now))
		}
	}
}

func (s *simNode) Poll(now netsim.Time) (netsim.Packet, bool) {
	s.user(Time(now))
	b, on, ok := s.ep.Poll(Time(now), nil)
	for i := 0; i < len(s.former) && !ok; i++ {
		b, on, ok = s.former[i].Poll(Time(now), nil)
	}
	if !ok && s.assoc != nil {
		b, on, ok = s.assoc.Poll(Time(now), nil)
		s.user(Time(now))
	}
	if !ok {
		s.check()
		return netsim.Packet{}, false
	}
	if len(b) > maxPMTU {
		s.broken = fmt.Errorf("%s sends %d octets: %s", s.name, len(b), wire.Text(b))
	}
	return netsim.Packet{Src: on.Local, Dst: on.Remote, Data: b}, true
}

func (s *simNode) check() {
	if s.assoc != nil && s.broken == nil {
		if err := s.assoc.Check(); err != nil {
			s.broken = fmt.Errorf("%s: %w", s.name, err)
		}
	}
}

// user is what runs on top: it sends the plan, checks what arrives, and ends.
func (s *simNode) user(now Time) {
	a := s.assoc
	if a == nil {
		return
	}
	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
		switch e.Kind {
		case EventEstablished:
			s.up = true
			a.Permit(now, s.permit)
		case EventFailover:
			s.failures++
		case EventClosed:
			s.down, s.err = true, e.Err
		}
	}
	for m, ok := a.Recv(now); ok; m, ok = a.Recv(now) {
		if err := s.receive(m); err != nil && s.broken == nil {
			s.broken = fmt.Errorf("%s: %w", s.name, err)
		}
	}
	for s.up && !s.down && s.next < len(s.plan) && s.plan[s.next].at <= now && a.SendSpace() > 0 {
		m := s.plan[s.next].msg
		m.Data = slices.Clone(m.Data)
		if a.Send(now, m) != nil {
			break
		}
		s.next++
	}
	if s.shutdown && s.up && s.next == len(s.plan) && s.complete() {
		a.Shutdown(now)
	}
}

// complete reports whether everything that the peer sends has arrived.
func (s *simNode) complete() bool { return s.got.count == len(s.want.plan) }

// receive checks a message against what the peer sent.
func (s *simNode) receive(m Message) error {
	s.got.count++
	if m.Unordered {
		if len(m.Data) < 4 {
			return fmt.Errorf("unordered message of %d octets", len(m.Data))
		}
		number := int(binary.BigEndian.Uint32(m.Data))
		if number >= len(s.want.plan) || s.got.unordered[number] {
			return fmt.Errorf("unordered message %d is unknown or came twice", number)
		}
		s.got.unordered[number] = true
		return sameMessage(m, s.want.plan[number].msg)
	}
	nth := s.got.ordered[m.Stream]
	s.got.ordered[m.Stream]++
	for _, p := range s.want.plan {
		if p.msg.Stream != m.Stream || p.msg.Unordered {
			continue
		}
		if nth--; nth < 0 {
			return sameMessage(m, p.msg)
		}
	}
	return fmt.Errorf("one message too many on stream %d", m.Stream)
}

func sameMessage(got, want Message) error {
	if got.Stream != want.Stream || got.PPID != want.PPID || !slices.Equal(got.Data, want.Data) {
		return fmt.Errorf("message of %d octets on stream %d, want %d octets on stream %d, or their octets differ",
			len(got.Data), got.Stream, len(want.Data), want.Stream)
	}
	return nil
}

// makePlan invents what a node sends.
func makePlan(rng *rand.Rand, start Time, count, maxSize int, over time.Duration) []simMessage {
	plan := make([]simMessage, count)
	at := start
	for i := range plan {
		at = at.Add(time.Duration(rng.Int64N(int64(2*over/time.Duration(count)) + 1)))
		m := Message{Stream: wire.StreamID(rng.IntN(5)), PPID: wire.PPID(rng.IntN(3)), Unordered: rng.IntN(4) == 0}
		size := 1 + rng.IntN(1+rng.IntN(maxSize))
		if m.Unordered {
			size += 3
		}
		m.Data = payload(i, size)
		plan[i] = simMessage{at, i, m}
	}
	return plan
}
