package engine

import (
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// inMessage is a message on its way to the user.
type inMessage struct {
	Message
	ssn  wire.SSN
	cost int // counted in reassembly.held until the user takes it
}

// A run is an unbroken sequence of a message's chunks.
type run struct {
	first, last wire.TSN
	begin, end  bool
	head        wire.Data // of any of its chunks; its payload is not used
	parts       [][]byte
	size, cost  int
}

// reassembly puts chunks together to messages and messages into stream order
// (RFC 9260 sections 6.5, 6.6, 6.9).
//
// Invariant: held is the sum of the costs of all runs, of messages that wait
// for their turn and of those that the user has not taken.
type reassembly struct {
	firsts, lasts map[wire.TSN]*run // runs by either end; never iterated
	streams       map[wire.StreamID]*inStream
	ready         []inMessage
	head          int
	held          int
	slab          []byte
}

// inStream is one incoming stream.
type inStream struct {
	next    wire.SSN
	waiting []inMessage // later ones, ascending
}

func newReassembly() reassembly {
	return reassembly{
		firsts:  make(map[wire.TSN]*run),
		lasts:   make(map[wire.TSN]*run),
		streams: make(map[wire.StreamID]*inStream),
	}
}

// slabSize is the unit in which memory for payloads is taken; a payload of
// less than smallPayload gets memory of its own, so that a small message that
// is kept does not keep a whole slab.
const (
	slabSize     = 64 << 10
	smallPayload = 256
)

// own copies a payload out of the packet.
func (r *reassembly) own(b []byte) []byte {
	if len(b) < smallPayload {
		return slices.Clone(b)
	}
	if len(r.slab) < len(b) {
		r.slab = make([]byte, max(slabSize, len(b)))
	}
	m := r.slab[:len(b):len(b)]
	r.slab = r.slab[len(b):]
	copy(m, b)
	return m
}

// add takes a chunk that was not received before. It reports false when the
// chunk contradicts its neighbours: a peer that does that is broken.
func (r *reassembly) add(d *wire.Data) bool {
	cost := len(d.Payload) + chunkCost
	r.held += cost
	if d.Begin && d.End {
		r.complete(d, r.own(d.Payload), cost)
		return true
	}
	u := &run{first: d.TSN, last: d.TSN, begin: d.Begin, end: d.End, head: *d,
		parts: [][]byte{r.own(d.Payload)}, size: len(d.Payload), cost: cost}
	u.head.Payload = nil
	if left := r.lasts[d.TSN.Add(^uint32(0))]; left != nil && !left.end && !u.begin {
		if !left.sameMessage(u) {
			return false
		}
		r.forget(left)
		left.join(u)
		u = left
	}
	if right := r.firsts[d.TSN.Add(1)]; right != nil && !right.begin && !u.end {
		if !u.sameMessage(right) {
			return false
		}
		r.forget(right)
		u.join(right)
	}
	if u.size > MaxMessage {
		return false
	}
	if u.begin && u.end {
		r.complete(&u.head, slices.Concat(u.parts...), u.cost)
		return true
	}
	r.firsts[u.first], r.lasts[u.last] = u, u
	return true
}

func (r *reassembly) forget(u *run) {
	delete(r.firsts, u.first)
	delete(r.lasts, u.last)
}

func (u *run) sameMessage(v *run) bool {
	x, y := &u.head, &v.head
	return x.Stream == y.Stream && x.Unordered == y.Unordered && (x.Unordered || x.SSN == y.SSN)
}

// join appends the chunks of v, which follow u's.
func (u *run) join(v *run) {
	u.last, u.end = v.last, v.end
	u.parts = append(u.parts, v.parts...)
	u.size += v.size
	u.cost += v.cost
}

// complete takes a whole message.
func (r *reassembly) complete(d *wire.Data, data []byte, cost int) {
	m := inMessage{
		Message: Message{Stream: d.Stream, PPID: d.PPID, Unordered: d.Unordered, Data: data},
		ssn:     d.SSN,
		cost:    cost,
	}
	if d.Unordered {
		r.ready = append(r.ready, m)
		return
	}
	s := r.streams[d.Stream]
	if s == nil {
		s = &inStream{}
		r.streams[d.Stream] = s
	}
	if m.ssn != s.next {
		s.insert(r, m)
		return
	}
	r.ready = append(r.ready, m)
	s.next++
	n := 0
	for n < len(s.waiting) && s.waiting[n].ssn == s.next {
		r.ready = append(r.ready, s.waiting[n])
		s.next++
		n++
	}
	s.waiting = slices.Delete(s.waiting, 0, n)
}

// insert keeps a message until its turn. One whose turn is past, or whose
// number is taken, can only come from a broken peer and is dropped.
func (s *inStream) insert(r *reassembly, m inMessage) {
	i, taken := slices.BinarySearchFunc(s.waiting, m.ssn, func(w inMessage, n wire.SSN) int {
		switch {
		case w.ssn == n:
			return 0
		case w.ssn.Less(n):
			return -1
		}
		return 1
	})
	if taken || m.ssn.Less(s.next) {
		r.held -= m.cost
		return
	}
	s.waiting = slices.Insert(s.waiting, i, m)
}

// Recv returns the next message for the user. While messages are not taken
// they fill the window announced to the peer.
func (a *Assoc) Recv(now Time) (Message, bool) {
	r := &a.reasm
	if r.head == len(r.ready) {
		r.ready, r.head = r.ready[:0], 0
		return Message{}, false
	}
	m := r.ready[r.head]
	r.ready[r.head] = inMessage{}
	r.head++
	if r.head > 256 && r.head*2 > len(r.ready) {
		n := copy(r.ready, r.ready[r.head:])
		clear(r.ready[n:])
		r.ready, r.head = r.ready[:n], 0
	}
	r.held -= m.cost
	a.windowOpened()
	return m.Message, true
}
