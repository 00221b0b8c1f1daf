package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// A request is what a dial asks of a peer.
type request struct {
	target Target
	hops   uint8
	remote Addr   // what the connection calls its other end
	early  []byte // to be sent behind OPEN
	hint   bool   // who is asked may be anybody
	call   *call  // nil: it comes from no port
}

// Errors of an open of which the peer has done nothing, so that it may be
// tried again over another association.
var (
	// errAway: one of the two said GOAWAY.
	errAway = &RefusedError{Code: CodeAway}

	// errBusy: all stream numbers are in use.
	errBusy = fmt.Errorf("association takes no more connections: %w", syscall.EAGAIN)

	// errEnded: the association ended before.
	errEnded = errors.New("association ended")

	// errMoved: it was on a number of the peer's; see numbers.
	errMoved = errors.New("both ends dialled the association")
)

// undone reports whether the peer has certainly done nothing of a request that
// failed.
func undone(err error) bool {
	var refused *RefusedError
	return errors.Is(err, errBusy) || errors.Is(err, errEnded) || errors.As(err, &refused) && refused.Code == CodeAway
}

// open opens a connection to a target behind the peer and waits for the
// answer. As much of the early octets as the peer takes before it answers goes
// right behind OPEN, without waiting for anything; the rest follows the answer.
func (s *session) open(ctx context.Context, r *request) (*Conn, error) {
	if err := s.mayOpen(ctx, len(r.early)); err != nil {
		return nil, err
	}
	return s.await(ctx, r, s.begin(r))
}

// An opening is a connection whose OPEN is queued.
type opening struct {
	conn *Conn
	sent int // of the early octets, how many are queued behind it
	err  error
}

// await waits for the answer to an OPEN.
func (s *session) await(ctx context.Context, r *request, o opening) (*Conn, error) {
	for {
		if o.err == nil {
			o.err = o.conn.opened(ctx)
		}
		switch {
		case errors.Is(o.err, errMoved):
			o = s.begin(r) // once: then the numbers are settled
			continue
		case o.err != nil && o.sent > 0 && !undone(o.err):
			return nil, exposedError{o.err}
		case o.err != nil:
			return nil, o.err
		}
		if o.sent < len(r.early) {
			if err := writeWithin(ctx, o.conn, r.early[o.sent:]); err != nil {
				return nil, exposedError{err}
			}
		}
		return o.conn, nil
	}
}

// An exposedError ends a dial whose early octets the peer may have read. They must
// not be sent to another one.
type exposedError struct{ error }

func (e exposedError) Unwrap() error { return e.error }

// isExposed reports whether an error is such.
func isExposed(err error) bool {
	var e exposedError
	return errors.As(err, &e)
}

// writeWithin writes octets to a connection, or cuts it off: its end must not
// pass for theirs.
func writeWithin(ctx context.Context, c net.Conn, b []byte) error {
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(0, 0)) })
	_, err := c.Write(b)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		discard(c)
	}
	return err
}

// begin takes a stream number and queues OPEN and early octets. Both happen in
// one section: what is queued once the numbers have been settled is on the
// right ones.
func (s *session) begin(r *request) opening {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return opening{err: fmt.Errorf("%w: %w", errEnded, s.err)}
	case s.away:
		return opening{err: errAway}
	}
	from := uint16(0)
	if k := r.call; k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		if from = k.from; k.taken {
			return opening{err: errJoined}
		}
	}
	p := s.assoc.Peer()
	limit, credit := min(p.OutStreams, p.InStreams), uint64(earlyCredit)
	if s.hello {
		limit, credit = min(limit, s.peer.streams), max(credit, s.peer.credit)
	}
	if !s.windows.open() {
		return opening{err: errNoWindow}
	}
	sid, epoch, ok := s.numbers.take(limit)
	if !ok {
		s.windows.shrink(earlyCredit, 0)
		return opening{err: errBusy}
	}
	window := s.windows.grow(earlyCredit, initialWindow, initialShare)
	c := newConn(s, sid, epoch, credit, window)
	s.conns[sid] = c
	if r.call != nil {
		r.call.own = c
	}
	open := frame{typ: typeOpen, epoch: epoch, target: r.target, credit: uint64(window), hops: r.hops, from: from}
	last := queued{msg: ctrl(sid, &open)}
	early := append([]byte(nil), r.early[:min(len(r.early), earlyCredit)]...)
	c.send.sent = uint64(len(early))
	sent := len(early)
	for len(early) > 0 {
		s.pushLocked(last)
		n := min(len(early), s.assoc.MaxPayload())
		last.msg = c.message(ppidData, early[:n:n])
		early = early[n:]
	}
	last.begins = c
	s.pushLocked(last)
	return opening{conn: c, sent: sent}
}

// What may leave before it is known that the peer has our HELLO: half of what
// it keeps when HELLO is lost and the rest overtakes it.
const (
	unheardMessages = maxEarly / 2
	unheardOctets   = maxEarlyOctets / 2
)

// unheard is what left before the peer showed that it has our HELLO. The
// session's mutex guards its counts.
type unheard struct {
	over             chan struct{} // closed when it did
	messages, octets int
	asked            bool
}

// mayOpen waits while more would be under way than the peer keeps if our HELLO
// is lost.
func (s *session) mayOpen(ctx context.Context, early int) error {
	early = min(early, earlyCredit)
	for !isClosed(s.unheard.over) {
		s.mu.Lock()
		u := &s.unheard
		messages := u.messages + 1 + (early+minPayload-1)/minPayload
		if messages <= unheardMessages && u.octets+early <= unheardOctets {
			u.messages, u.octets = messages, u.octets+early
			s.mu.Unlock()
			return nil
		}
		ask := !u.asked
		u.asked = true
		s.mu.Unlock()
		if ask {
			s.enqueue(0, &frame{typ: typePing})
		}
		select {
		case <-u.over:
		case <-s.assoc.Done():
			return fmt.Errorf("%w: %w", errEnded, s.reason())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// minPayload is no larger than what a packet carries on any path (RFC 8200
// section 5).
const minPayload = 1024

// heard notes that the peer has our HELLO: it answers nothing before.
func (s *session) heard() {
	if !isClosed(s.unheard.over) {
		close(s.unheard.over)
	}
}

// ours reports whether a stream number is one that we open. The caller holds
// mu or is read.
func (s *session) ours(sid uint16) bool { return s.numbers.ours(sid) }

// handleOpen takes a connection that the peer opens.
func (s *session) handleOpen(sid uint16, c *Conn, f *frame) error {
	if sid == 0 || c != nil || s.ours(sid) {
		return fmt.Errorf("OPEN on stream %d, which is not the peer's or in use", sid)
	}
	c = newConn(s, sid, f.epoch, f.credit, earlyCredit)
	if !s.windows.open() {
		c.window = 0 // what comes early is dropped
	}
	s.mu.Lock()
	s.conns[sid] = c
	away := s.away
	s.mu.Unlock()
	o := &Open{Target: f.target, Hops: f.hops, Via: f.via, FromPort: f.from, conn: c}
	switch {
	case away:
		o.Reject(CodeAway, "")
	case c.window == 0:
		o.Reject(CodeResources, errNoWindow.Error())
	case s.cfg.accept == nil:
		o.Reject(CodeUnsupported, "this side accepts no connections")
	default:
		if err := s.cfg.accept(o); err != nil {
			o.Reject(CodeOf(err), err.Error())
		}
	}
	return nil
}

// forget drops a connection both of whose directions have ended.
func (s *session) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(c)
}

// forgetLocked is forget with mu held.
func (s *session) forgetLocked(c *Conn) {
	if s.conns[c.sid] != c {
		return
	}
	delete(s.conns, c.sid)
	s.used = time.Now()
	s.numbers.give(c.sid)
	s.idling.Notify()
}

// handleHello takes the peer's first message and then what has overtaken it.
func (s *session) handleHello(sid uint16, f *frame) error {
	if sid != 0 || f.version != protocolVersion || f.nonce == s.nonce {
		return fmt.Errorf("HELLO on stream %d, version %d: want stream 0, version %d, and a nonce other than ours", sid, f.version, protocolVersion)
	}
	moved, err := s.settle(f)
	if err != nil {
		return err
	}
	for _, c := range moved {
		c.fail(errMoved)
	}
	close(s.greeted)
	s.lookLater() // an answer may have come before
	if s.cfg.onHello != nil {
		s.cfg.onHello(s, *f)
	}
	early := s.early
	s.early = nil
	for _, m := range early {
		if err := s.handle(m); err != nil {
			return err
		}
	}
	return nil
}

// settle takes in the peer's HELLO. It returns the connections that have to be
// opened anew.
func (s *session) settle(f *frame) (moved []*Conn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lost, err := s.numbers.settle(s.nonce, f.nonce, f.flags&helloDialled != 0)
	if err != nil {
		return nil, err
	}
	s.peer, s.hello = *f, true
	if lost {
		for sid, c := range s.conns {
			moved = append(moved, c)
			delete(s.conns, sid)
		}
	}
	return moved, nil
}

// crossed reports whether a message on a stream of ours was sent by a peer who
// took the number for its own: nothing but the answer to our OPEN is ours
// there until that has come.
func (s *session) crossed(sid uint16, c *Conn) bool {
	return s.numbers.won && sid != 0 && s.ours(sid) && (c == nil || !isClosed(c.answered))
}

// lastWords is what a connection reports when its association ends with err.
// After a graceful end an OPEN of ours without an answer was never handled: a
// peer shuts down when it has no connection left.
func (s *session) lastWords(c *Conn, graceful bool, err error) error {
	if graceful && s.ours(c.sid) && !isClosed(c.answered) {
		return errAway
	}
	return err
}
