package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// A Message is a user message on a stream.
type Message struct {
	Stream    wire.StreamID
	PPID      wire.PPID
	Unordered bool
	Data      []byte
}

// outMessage is a message that was accepted from the user and not yet
// acknowledged whole.
type outMessage struct {
	Message
	ssn  wire.SSN
	sent int // octets that have a TSN
}

// outStream is one outgoing stream: messages that wait for TSNs.
type outStream struct {
	id      wire.StreamID
	ssn     wire.SSN // of the next ordered message
	waiting []*outMessage
	head    int
	listed  bool // in sendQueue.ready
}

// sendQueue holds what the user sent and the scheduler: streams with waiting
// messages take turns, a message each (RFC 8260 section 3.1, round robin).
// Without interleaving the chunks of a message have consecutive TSNs, so a
// message that was begun is finished first (RFC 9260 section 6.9).
type sendQueue struct {
	streams  map[wire.StreamID]*outStream // never iterated
	ready    []*outStream                 // ring of streams with waiting messages
	head     int
	begun    *outMessage // has some TSNs, needs more
	unsent   int         // octets without a TSN
	buffered int         // octets not yet acknowledged cumulatively, unsent ones among them
}

// push queues a message of a stream.
func (q *sendQueue) push(m *outMessage) {
	s := q.streams[m.Stream]
	if s == nil {
		s = &outStream{id: m.Stream}
		q.streams[m.Stream] = s
	}
	if !m.Unordered {
		m.ssn = s.ssn
		s.ssn++
	}
	s.waiting = append(s.waiting, m)
	q.unsent += len(m.Data)
	q.buffered += len(m.Data)
	if !s.listed {
		s.listed = true
		q.ready = append(q.ready, s)
	}
}

// peek returns the message whose chunk comes next.
func (q *sendQueue) peek() *outMessage {
	if q.begun != nil {
		return q.begun
	}
	if q.head == len(q.ready) {
		return nil
	}
	s := q.ready[q.head]
	return s.waiting[s.head]
}

// took notes that size octets of the message from peek got a TSN.
func (q *sendQueue) took(m *outMessage, size int) {
	if q.begun == nil {
		q.next()
	}
	m.sent += size
	q.unsent -= size
	q.begun = nil
	if m.sent < len(m.Data) {
		q.begun = m
	}
}

// next takes the message in turn off its stream and passes the turn on.
func (q *sendQueue) next() {
	s := q.ready[q.head]
	s.waiting[s.head] = nil
	s.head++
	q.ready[q.head] = nil
	q.head++
	if s.head < len(s.waiting) {
		q.ready = append(q.ready, s)
	} else {
		s.waiting, s.head, s.listed = s.waiting[:0], 0, false
	}
	if q.head > 64 && q.head*2 > len(q.ready) {
		q.ready = q.ready[:copy(q.ready, q.ready[q.head:])]
		q.head = 0
	}
	if s.head > 64 && s.head*2 > len(s.waiting) {
		s.waiting = s.waiting[:copy(s.waiting, s.waiting[s.head:])]
		s.head = 0
	}
}

// Send queues a message. The association owns m.Data from then on. It fails
// with ErrFull, and takes nothing, while the send buffer has no room at all;
// a message may exceed the room that is left.
func (a *Assoc) Send(now Time, m Message) error {
	switch {
	case a.state > Established && a.state != ShutdownReceived || a.shut.requested:
		return ErrClosed
	case a.state < Established:
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
