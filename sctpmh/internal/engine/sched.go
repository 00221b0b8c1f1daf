package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// scheduler says which stream's message is next: deficit round robin (Shreedhar
// and Varghese, 1995), a scheduler of RFC 8260 section 3 in octets and with
// weights. The ordered messages of a stream are one flow, the unordered ones,
// which wait for no others (RFC 9260 section 6.6), another one. Flows take turns;
// each turn gives a flow quantum octets for each unit of its weight, and it sends
// what it has saved enough for. What it has left is kept while it has messages
// waiting.
type scheduler struct {
	flows map[flowID]*outFlow // never iterated
	ready []*outFlow          // ring of flows with waiting messages, and some without
	head  int
	begun bool // the flow at the head has got what its turn gives
}

// quantum is a packet's worth: with less flows would be passed over, with more a
// small message would wait longer for others.
const quantum = 1500

// MaxWeight bounds how long the others wait for one flow.
const MaxWeight = 64

type flowID struct {
	stream    wire.StreamID
	unordered bool
}

// outFlow is the messages of one flow that wait for TSNs.
type outFlow struct {
	ssn     wire.SSN // of the next ordered message
	weight  int
	saved   int // octets that it may send
	waiting []*outMessage
	head    int
	listed  bool // in scheduler.ready
}

func newScheduler() scheduler { return scheduler{flows: make(map[flowID]*outFlow)} }

// flow returns a flow, which is made when it is new.
func (s *scheduler) flow(id flowID) *outFlow {
	f := s.flows[id]
	if f == nil {
		f = &outFlow{weight: 1}
		s.flows[id] = f
	}
	return f
}

// add has a message wait for its flow's turn.
func (s *scheduler) add(m *outMessage) {
	f := s.flow(flowID{m.Stream, m.Unordered})
	f.waiting = append(f.waiting, m)
	if !f.listed {
		f.listed = true
		s.ready = append(s.ready, f)
	}
}

// turn returns the flow whose first message is next, nil when none waits.
func (s *scheduler) turn() *outFlow {
	for s.head < len(s.ready) {
		f := s.ready[s.head]
		switch {
		case f.head == len(f.waiting):
			f.listed, f.saved = false, 0
			s.pass()
			continue
		case !s.begun:
			f.saved += quantum * f.weight
			s.begun = true
		}
		if f.saved >= f.waiting[f.head].cost() {
			return f
		}
		s.ready = append(s.ready, f)
		s.pass()
	}
	return nil
}

// pass ends the turn of the flow at the head.
func (s *scheduler) pass() {
	s.ready[s.head] = nil
	s.head++
	s.begun = false
	if s.head > 64 && s.head*2 > len(s.ready) {
		s.ready = s.ready[:copy(s.ready, s.ready[s.head:])]
		s.head = 0
	}
}

// pop takes the first message off a flow in turn.
func (f *outFlow) pop() {
	f.saved -= f.waiting[f.head].cost()
	f.waiting[f.head] = nil
	f.head++
	if f.head == len(f.waiting) {
		f.waiting, f.head = f.waiting[:0], 0
	} else if f.head > 64 && f.head*2 > len(f.waiting) {
		f.waiting = f.waiting[:copy(f.waiting, f.waiting[f.head:])]
		f.head = 0
	}
}

// discard drops the messages of a group and returns how many octets they were.
func (f *outFlow) discard(group uint32) (octets int) {
	kept := f.waiting[:f.head]
	for _, m := range f.waiting[f.head:] {
		if group != 0 && m.Group == group {
			octets += len(m.Data)
			continue
		}
		kept = append(kept, m)
	}
	clear(f.waiting[len(kept):])
	f.waiting = kept
	return octets
}

// SetWeight has the ordered messages of a stream get weight times the octets that
// those of a stream of weight 1 get, while both wait. Weights are from 1, the
// default, to 64.
func (a *Assoc) SetWeight(stream wire.StreamID, weight int) {
	a.out.flow(flowID{stream, false}).weight = clamp(weight, 1, MaxWeight)
}
