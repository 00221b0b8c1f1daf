package sctpmh

import (
	"context"
	"sync"

	"github.com/sctpmh/mh/internal/gate"
)

// An outbox passes messages from users to an association's driver. The
// messages of a stream form a flow, its unordered ones another, and flows take
// turns: however much a bulk stream has to send, others wait for one message of
// it. As in the state machine they share in octets, by weight (deficit round
// robin): in each turn a flow may send what it has saved enough for.
//
//	          put                  turn                   put
//	(nothing) ---> fresh ---> served, with or without messages ---+
//	    ^                       |  ^                              |
//	    +--- turn, no message --+  +------------------------------+
//
// A fresh flow goes before the served ones, but not again before each of them
// has had a turn, so that it cannot keep them waiting. One that has sent all
// is forgotten when its turn comes: what is idle costs nothing.
//
// Invariant: octets is the sum of the flows' octets, waiting counts the flows
// that have any; a flow is in flows if it is in fresh or in served, in one of
// them.
//
// mu is a leaf: nothing is called while it is held.
type outbox struct {
	mu            sync.Mutex
	flows         map[flowID]*flow
	fresh, served flowList
	octets        int
	waiting       int
	limit         int
	err           error       // no more may be put; what there is is still taken
	filled        gate.Signal // for who takes

	weights map[uint16]int    // of streams, where it is not 1
	void    map[uint16]uint32 // of a stream, the group that was discarded last: what still comes of it is dropped
	orders  []order           // for the state machine
}

// An order is what the state machine is told of a stream.
type order struct {
	stream  uint16
	discard uint32 // a group; 0: none
	weight  int    // 0: as it is
}

// flowID names a flow.
type flowID struct {
	stream    uint16
	unordered bool
}

// A flow is messages that wait, in order.
type flow struct {
	fifo
	id     flowID
	weight int
	saved  int         // octets that it may send; below 0: what it went ahead by
	room   gate.Signal // for who puts
	next   *flow       // in a flowList
}

func newOutbox(limit int) outbox { return outbox{limit: limit, flows: make(map[flowID]*flow)} }

// tryPut adds m if its flow has room. wake says that the driver may not know
// yet that there is something to take.
func (b *outbox) tryPut(m Message) (ok, wake bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.add(m)
}

// put adds m when its flow has room.
func (b *outbox) put(ctx context.Context, m Message) (wake bool, err error) {
	for {
		b.mu.Lock()
		ok, wake, err := b.add(m)
		if ok || err != nil {
			b.mu.Unlock()
			return wake, err
		}
		room := b.flows[m.flow()].room.Wait()
		b.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

func (m *Message) flow() flowID { return flowID{m.Stream, m.Unordered} }

// add is tryPut with mu held.
func (b *outbox) add(m Message) (ok, wake bool, err error) {
	if b.err != nil {
		return false, false, b.err
	}
	if len(b.void) > 0 && m.Group != 0 {
		if b.void[m.Stream] == m.Group {
			return true, false, nil
		}
		delete(b.void, m.Stream) // whoever sends for one group is done with the one before
	}
	f := b.flows[m.flow()]
	if f != nil && !b.admits(f) {
		return false, false, nil
	}
	wake = f == nil || b.octets == 0
	if f == nil {
		f = flows.Get().(*flow)
		f.id, f.weight, f.saved = m.flow(), 1, 0
		if w := b.weights[m.Stream]; w > 0 && !m.Unordered {
			f.weight = w
		}
		b.flows[f.id] = f
		b.fresh.push(f)
	}
	if f.octets == 0 {
		b.waiting++
	}
	f.push(m)
	b.octets += len(m.Data)
	b.filled.Notify()
	return true, wake, nil
}

// admits reports whether a flow may have a further message wait. The first one
// is always admitted. So no more waits than the limit and, for each flow, one
// message.
func (b *outbox) admits(f *flow) bool {
	return f.octets == 0 || b.octets < b.limit && f.octets < b.share()
}

// share is what of the limit a flow may use: the same for all that have
// something waiting.
func (b *outbox) share() int { return b.limit / max(1, b.waiting) }

// tryTake removes the message whose turn it is. With full, only fresh flows
// have one. The error comes after the last message.
func (b *outbox) tryTake(full bool) (m Message, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.turn(full)
	if f == nil {
		if b.octets == 0 {
			err = b.err
		}
		return m, false, err
	}
	m = f.pop()
	b.octets -= len(m.Data)
	f.saved -= len(m.Data)
	switch {
	case f.octets == 0:
		b.waiting--
		f.saved = min(f.saved, 0)
		b.served.push(f)
	case f.saved >= f.first():
		b.served.unpop(f) // its turn goes on
	default:
		b.served.push(f)
	}
	if b.admits(f) && f.octets <= b.share()/2 {
		f.room.Notify() // not for each message: waking somebody costs more than it
	}
	return m, true, nil
}

// turn unlinks the flow whose turn it is.
func (b *outbox) turn(full bool) *flow {
	for f := b.fresh.pop(); f != nil; f = b.fresh.pop() {
		if f.octets > 0 {
			return f
		}
		b.forget(f) // all was discarded
	}
	for f := b.nextServed(full); f != nil; f = b.nextServed(full) {
		if f.octets == 0 {
			b.forget(f)
			continue
		}
		if f.saved < f.first() {
			f.saved += b.quantum() * f.weight
		}
		if f.saved >= f.first() {
			return f
		}
		b.served.push(f)
	}
	return nil
}

func (b *outbox) nextServed(full bool) *flow {
	if full {
		return nil
	}
	return b.served.pop()
}

// quantum is what a turn gives to a flow of weight 1: with the usual limit less
// than a packet's worth.
func (b *outbox) quantum() int { return max(1, b.limit>>8) }

// forget drops a flow that is in no list.
func (b *outbox) forget(f *flow) {
	delete(b.flows, f.id)
	if cap(f.items) <= smallFlow {
		flows.Put(f)
	}
}

// discard drops what waits of a stream's ordered messages and is of a group, in
// the state machine too, and what is still put of it.
func (b *outbox) discard(stream uint16, group uint32) {
	if group == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.void == nil {
		b.void = make(map[uint16]uint32)
	}
	b.void[stream] = group
	b.orders = append(b.orders, order{stream: stream, discard: group})
	f := b.flows[flowID{stream, false}]
	if f == nil || f.octets == 0 {
		return
	}
	octets := f.discard(group)
	b.octets -= octets
	if f.octets == 0 {
		b.waiting--
	}
	f.room.Notify()
}

// weigh sets a stream's weight, from 1 on.
func (b *outbox) weigh(stream uint16, weight int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.weights == nil {
		b.weights = make(map[uint16]int)
	}
	b.weights[stream] = weight
	if weight == 1 {
		delete(b.weights, stream)
	}
	if f := b.flows[flowID{stream, false}]; f != nil {
		f.weight = weight
	}
	b.orders = append(b.orders, order{stream: stream, weight: weight})
}

// takeOrders returns what the state machine has not been told yet.
func (b *outbox) takeOrders() []order {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.orders
	b.orders = nil
	return o
}

// flows are those of streams that wait for nothing: one that sends a message now
// and then needs one for each. What grew is not kept.
var flows = sync.Pool{New: func() any { return new(flow) }}

const smallFlow = 16

// take removes the message whose turn it is, and waits for one.
func (b *outbox) take(ctx context.Context) (Message, error) {
	for {
		m, ok, err := b.tryTake(false)
		if ok || err != nil {
			return m, err
		}
		b.mu.Lock()
		b.orders = nil // this driver has nobody to tell
		if b.octets > 0 || b.err != nil {
			b.mu.Unlock()
			continue
		}
		filled := b.filled.Wait()
		b.mu.Unlock()
		select {
		case <-filled:
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// end sets the error that follows the last message. The first one stays.
func (b *outbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return
	}
	b.err = err
	b.filled.Notify()
	for _, f := range b.flows {
		f.room.Notify()
	}
}

// A flowList is flows in the order of their turns.
type flowList struct{ first, last *flow }

func (l *flowList) push(f *flow) {
	if l.last == nil {
		l.first = f
	} else {
		l.last.next = f
	}
	l.last = f
}

// pop unlinks the first flow, nil if there is none.
func (l *flowList) pop() *flow {
	f := l.first
	if f == nil {
		return nil
	}
	if l.first, f.next = f.next, nil; l.first == nil {
		l.last = nil
	}
	return f
}

// unpop puts a flow before the first one.
func (l *flowList) unpop(f *flow) {
	f.next, l.first = l.first, f
	if l.last == nil {
		l.last = f
	}
}
