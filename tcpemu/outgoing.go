package tcpemu

import (
	"context"
	"errors"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh"
)

// maxQueued bounds control messages that wait to be sent. A peer that opens
// and resets streams without reading the answers would fill memory; its
// association is aborted.
const maxQueued = 1 << 16

// errOverrun ends a session whose peer does not read our answers.
var errOverrun = errors.New("control messages are not read")

// outgoing is the messages of a session that wait to be sent. Those of a stream
// stay in order. A stream of which the association takes no more at present,
// because its bulk is waiting, holds up none but its own.
//
// The session's mutex guards it.
type outgoing struct {
	queue   []queued // for write
	changed gate.Signal
	sending bool              // write has one that is not in queue any more
	held    map[lane][]queued // what waits for room, the first being sent by sendHeld
	holding int               // the messages in held
}

// queued is a message that waits to be sent, or a connection whose credit is to
// be told.
type queued struct {
	msg    sctpmh.Message
	credit *Conn
	begins *Conn // whose user may send once this is the association's
}

// A lane is what the association keeps in order.
type lane struct {
	sid       uint16
	unordered bool
}

func (q *queued) lane() lane {
	if q.credit != nil {
		return lane{q.credit.sid, true}
	}
	return lane{q.msg.Stream, q.msg.Unordered}
}

// message is the message as it is now.
func (q *queued) message() sctpmh.Message {
	if q.credit != nil {
		return q.credit.creditMessage()
	}
	return q.msg
}

// sent notes that the message is the association's.
func (q *queued) sent() {
	if q.begins != nil {
		q.begins.begun()
	}
}

// len is how many messages wait.
func (o *outgoing) len() int { return len(o.queue) + o.holding }

// idle reports whether everything is the association's.
func (o *outgoing) idle() bool { return o.len() == 0 && !o.sending }

// next takes the next message whose stream is not held up.
func (o *outgoing) next() (q queued, ok bool) {
	for len(o.queue) > 0 {
		q, o.queue[0] = o.queue[0], queued{}
		if o.queue = o.queue[1:]; len(o.queue) == 0 {
			o.queue = nil
		}
		if _, held := o.held[q.lane()]; !held {
			return q, true
		}
		o.hold(q)
	}
	return q, false
}

// hold has a message wait for room.
func (o *outgoing) hold(q queued) {
	if o.held == nil {
		o.held = make(map[lane][]queued)
	}
	o.held[q.lane()] = append(o.held[q.lane()], q)
	o.holding++
}

// release forgets the first message that waited, and returns the one after it.
func (o *outgoing) release(l lane) (q queued, ok bool) {
	o.holding--
	rest := o.held[l][1:]
	if len(rest) == 0 {
		delete(o.held, l)
		return q, false
	}
	o.held[l] = rest
	return rest[0], true
}

// enqueue has a control message sent.
func (s *session) enqueue(sid uint16, f *frame) {
	s.push(queued{msg: ctrl(sid, f)})
}

// enqueueLast has the message sent that ends a connection's direction. over says
// that it is the end of the connection; see sayLast. RESET makes void what waits
// before it, FIN too.
func (s *session) enqueueLast(c *Conn, f *frame, over bool) {
	last := queued{msg: ctrl(c.sid, f)}
	if f.typ == typeReset {
		s.assoc.Discard(c.sid, c.epoch)
	} else {
		last.msg.Group = c.epoch
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(last)
	if over {
		s.forgetLocked(c)
	}
}

// ctrl is a control message.
func ctrl(sid uint16, f *frame) sctpmh.Message {
	unordered := f.typ == typeCredit || f.typ == typePing || f.typ == typePong
	return sctpmh.Message{Stream: sid, PPID: ppidCtrl, Unordered: unordered, Repeats: f.typ == typeOpen, Data: f.append(nil)}
}

func (s *session) push(q queued) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(q)
}

// pushLocked is push with mu held.
func (s *session) pushLocked(q queued) {
	if s.out.len() < maxQueued {
		s.out.queue = append(s.out.queue, q)
		s.out.changed.Notify()
	}
}

// write sends what is queued.
func (s *session) write() {
	for {
		q, ok := s.nextQueued()
		if !ok {
			return
		}
		switch sent, err := s.assoc.TrySend(q.message()); {
		case err != nil:
			return // the association has ended, read tells everybody
		case sent:
			q.sent()
		default:
			s.mu.Lock()
			s.out.hold(q)
			s.mu.Unlock()
			s.running.Go(func() { s.sendHeld(q) }) // ends when nothing of the stream is held, or with the association
		}
	}
}

// nextQueued waits for the next message. It reports false at the end. The one
// before is the association's by then, or held.
func (s *session) nextQueued() (q queued, ok bool) {
	for {
		s.mu.Lock()
		q, ok = s.out.next()
		if s.out.sending = ok; ok {
			s.mu.Unlock()
			return q, true
		}
		s.idling.Notify()
		wait, over := s.out.changed.Wait(), s.err != nil
		s.mu.Unlock()
		if over {
			return q, false
		}
		<-wait
	}
}

// sendHeld sends a message that was held, and those held behind it.
func (s *session) sendHeld(q queued) {
	for ok := true; ok; {
		if s.assoc.Send(context.Background(), q.message()) != nil {
			return
		}
		q.sent()
		s.mu.Lock()
		if q, ok = s.out.release(q.lane()); !ok {
			s.idling.Notify()
		}
		s.mu.Unlock()
	}
}
