package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// A Message is a user message on a stream.
type Message struct {
	Stream    wire.StreamID
	PPID      wire.PPID
	Unordered bool
	Group     uint32 // what Discard drops together; 0: nothing does
	Repeats   bool   // early: to a second association too it does no harm
	Data      []byte
}

// outMessage is a message that was accepted from the user and not yet
// acknowledged whole.
type outMessage struct {
	Message
	ssn  wire.SSN // once it has a TSN
	sent int      // octets that have a TSN
}

// cost is what the message takes of the network, but for the headers of further
// chunks.
func (m *outMessage) cost() int { return dataHeader + (len(m.Data)+3)&^3 }

// sendQueue holds what the user sent and has no TSN yet. Which message is next
// is the scheduler's to say. Without interleaving the chunks of a message have
// consecutive TSNs, so a message that was begun is finished first (RFC 9260
// section 6.9).
type sendQueue struct {
	scheduler
	begun    *outMessage // has some TSNs, needs more
	unsent   int         // octets without a TSN
	buffered int         // octets not yet acknowledged cumulatively, unsent ones among them
}

// push queues a message of a stream.
func (q *sendQueue) push(m *outMessage) {
	q.add(m)
	q.unsent += len(m.Data)
	q.buffered += len(m.Data)
}

// peek returns the message whose chunk comes next.
func (q *sendQueue) peek() *outMessage {
	if q.begun != nil {
		return q.begun
	}
	if f := q.turn(); f != nil {
		return f.waiting[f.head]
	}
	return nil
}

// took notes that size octets of the message from peek got a TSN.
func (q *sendQueue) took(m *outMessage, size int) {
	if q.begun == nil {
		f := q.turn()
		f.pop()
		if !m.Unordered {
			m.ssn = f.ssn
			f.ssn++
		}
	}
	m.sent += size
	q.unsent -= size
	q.begun = nil
	if m.sent < len(m.Data) {
		q.begun = m
	}
}

// Discard drops the messages of a stream and a group, which is not 0, of which
// nothing has left, and returns how many octets they were. One that has begun to
// leave is finished: the peer could not take what comes after it.
func (a *Assoc) Discard(now Time, stream wire.StreamID, group uint32) (octets int) {
	for _, unordered := range []bool{false, true} {
		if f := a.out.flows[flowID{stream, unordered}]; f != nil {
			octets += f.discard(group)
		}
	}
	a.out.unsent -= octets
	a.out.buffered -= octets
	a.advanceShutdown(now)
	return octets
}

// Send queues a message. The association owns m.Data from then on. It fails
// with ErrFull, and takes nothing, while the send buffer has no room at all;
// a message may exceed the room that is left. For what is sent before the
// association is established see MaySendEarly: should the peer turn out not to
// take it, the association fails.
func (a *Assoc) Send(now Time, m Message) error {
	switch {
	case a.state > Established && a.state != ShutdownReceived || a.shut.requested:
		return ErrClosed
	case a.state < Established && !a.MaySendEarly():
		return ErrSetup
	case len(m.Data) == 0:
		return ErrEmpty
	case len(m.Data) > min(MaxMessage, a.peer.maxMessage):
		return ErrTooBig
	case uint16(m.Stream) >= a.peer.outStreams:
		return ErrStream
	case a.SendSpace() == 0:
		return ErrFull
	}
	if !a.outstanding() {
		a.stall.progress = now // from here on there is something to wait for
	}
	if a.state < Established {
		a.hs.early.note(&m)
	}
	a.out.push(&outMessage{Message: m})
	return nil
}

// SendSpace is how many octets Send takes now without exceeding the send
// buffer.
func (a *Assoc) SendSpace() int { return max(0, a.cfg.SendBuffer-a.out.buffered) }

// outstanding reports whether anything sent or queued waits for the peer.
func (a *Assoc) outstanding() bool { return a.out.buffered > 0 }

// MaxPayload is the size in octets of the largest message that fits one packet
// of the path in use.
func (a *Assoc) MaxPayload() int {
	if p := a.paths.current; p != nil {
		return p.maxPayload(&a.cfg)
	}
	return a.cfg.packetLimit() - commonHeader - dataHeader
}
