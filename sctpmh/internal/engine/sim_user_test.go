package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// simMessage is a message of the plan. Its octets follow from its number.
type simMessage struct {
	at     Time
	number int
	msg    Message
}

// simSpan is a stretch of time.
type simSpan struct{ from, to Time }

func (s simSpan) has(t Time) bool { return s.from <= t && t < s.to }

// received checks that everything arrives once and in order.
type received struct {
	ordered   map[wire.StreamID]int // how many of a stream's
	unordered map[int]bool
	count     int
}

func newReceived() received {
	return received{ordered: make(map[wire.StreamID]int), unordered: make(map[int]bool)}
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

// total is how many messages of the plan are sent. After the peer's shutdown
// these are what the user had handed over by then, as with package sctpmh.
func (s *simNode) total() int {
	if s.ended {
		return s.cut
	}
	return len(s.plan)
}

// complete reports whether everything that the peer sends has arrived.
func (s *simNode) complete() bool { return s.got.count == s.want.total() }

// userDeadline lowers next to when the user has something to do.
func (s *simNode) userDeadline(next *deadline) {
	if s.assoc == nil || !s.sends() || s.down {
		return
	}
	if s.next < s.total() && s.assoc.SendSpace() > 0 {
		(&deadline{s.plan[s.next].at, true}).earlier(next)
	}
	(&deadline{s.deaf.to, s.deaf.has(s.clock)}).earlier(next)
}

// sends reports whether the user sends now.
func (s *simNode) sends() bool { return s.up || s.early && s.assoc.MaySendEarly() }

// user is what runs on top: it sends the plan, checks what arrives, and ends.
func (s *simNode) user(now Time) {
	s.clock = now
	for _, a := range s.former {
		s.bury(now, a)
	}
	a := s.assoc
	if a == nil {
		return
	}
	s.events(now, a)
	for !s.deaf.has(now) || s.down {
		m, ok := a.Recv(now)
		if !ok {
			break
		}
		if err := s.receive(m); err != nil {
			s.fail("%w", err)
		}
	}
	for s.sends() && !s.down && s.next < s.total() && s.plan[s.next].at <= now && a.SendSpace() > 0 {
		m := s.plan[s.next].msg
		m.Data = slices.Clone(m.Data)
		if err := a.Send(now, m); err != nil {
			s.fail("message %d: %w", s.next, err)
			break
		}
		s.next++
	}
	if s.up && s.next == s.total() && (s.ended || s.hasty || s.shutdown && s.complete()) {
		a.Shutdown(now)
	}
	s.events(now, a)
}

func (s *simNode) events(now Time, a *Assoc) {
	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
		switch e.Kind {
		case EventEstablished:
			s.up = true
			s.record.up++
			a.Permit(now, s.permit)
		case EventPath:
			s.table.note(a, e.Pair.Remote)
		case EventFailover:
			s.record.failures++
		case EventPeerShutdown:
			if s.ended {
				break
			}
			// What the user handed over before is still sent.
			s.ended, s.cut = true, s.next
			for s.cut < len(s.plan) && s.plan[s.cut].at <= now && !a.shut.requested {
				s.cut++
			}
		case EventClosed:
			s.down, s.err = true, e.Err
			s.ending(a, s.up, e.Err)
		}
	}
}

// bury takes what an association still says that nobody uses any more.
func (s *simNode) bury(now Time, a *Assoc) {
	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
		switch e.Kind {
		case EventPath:
			s.table.note(a, e.Pair.Remote)
		case EventPeerShutdown:
			a.Shutdown(now)
		case EventClosed:
			s.ending(a, true, e.Err)
		}
	}
	for _, ok := a.Recv(now); ok; _, ok = a.Recv(now) {
	}
}

func (s *simNode) ending(a *Assoc, up bool, err error) {
	s.record.ends = append(s.record.ends, simEnd{a, up, err})
	s.record.blackHoles += a.stats.BlackHoles
	s.record.probes += a.stats.SizeProbes
}

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

// haste draws who sends before the association is established. Its randomness
// is its own: what seeds meant before it came they mean still.
func (s *sim) haste() {
	rng := rand.New(rand.NewPCG(s.seed, 0xea51))
	for _, n := range []*simNode{s.a, s.b} {
		if n.early = rng.IntN(2) == 0; n.early {
			s.class("early messages")
		}
	}
}
