package tcpemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// A Conn is a connection. It is a net.Conn, and has the methods of a
// *net.TCPConn with the same names and meanings, as far as they make sense
// here. Methods may be called from any goroutine. Errors are *net.OpError with
// both addresses, but for io.EOF and those of others; what methods say of theirs
// is what errors.Is finds in it.
//
//	receiving:  open --FIN--> ended        open --RESET, OPEN_FAIL--> ended
//	sending:    open --FIN--> ended        open --RESET--> ended
//
// Its stream number is free again when both directions have ended. A direction
// that has ended by FIN can still be reset while the other goes on.
type Conn struct {
	// Set once.
	s     *session
	sid   uint16
	epoch uint32
	laddr Addr
	raddr Addr
	since time.Time

	answered chan struct{} // closed when OPEN was answered, or failed

	rdeadline, wdeadline deadline

	// writing has one while somebody writes; it is put in before mu is taken. It
	// is no Mutex because its holder may wait for the network: testing/synctest
	// lets no time pass while somebody waits for a Mutex.
	writing chan struct{}

	mu   sync.Mutex // before session.mu
	recv recvHalf
	send sendHalf

	window   int // octets of credit beyond what was read, counted in session.windows
	round    round
	accepted bool // OPEN_OK was sent or received
	refused  error

	nagle     *nagle // nil: what is written goes at once
	keepAlive *keepAlive
	linger    *linger
	relay     *relay
	weighted  bool // SetWeight was called
}

func newConn(s *session, sid uint16, epoch uint32, credit uint64, window int) *Conn {
	c := &Conn{
		s: s, sid: sid, epoch: epoch, since: time.Now(),
		answered: make(chan struct{}), writing: make(chan struct{}, 1), window: window,
	}
	c.recv.limit = uint64(window)
	c.send.limit = credit
	return c
}

// opened waits for the answer to OPEN.
func (c *Conn) opened(ctx context.Context) error {
	select {
	case <-c.answered:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.refused
	case <-ctx.Done():
		c.Reset()
		return ctx.Err()
	}
}

// handleFrame takes a control message of this stream.
func (c *Conn) handleFrame(f *frame) error {
	switch f.typ {
	case typeFin:
		return c.handleFin(f.offset)
	case typeUrg:
		return c.handleUrg(f.offset, f.octet)
	case typeReturn:
		return c.handleReturn(f.offset)
	case typeCredit:
		if f.epoch == c.epoch {
			c.handleCredit(f.offset, f.returns)
		}
		return nil
	}
	if f.epoch != c.epoch {
		return nil // of an earlier use of the number
	}
	switch f.typ {
	case typeOpenOK:
		return c.answer(f, nil)
	case typeOpenFail:
		return c.answer(f, &RefusedError{Code: f.code, Text: f.text})
	case typeReset:
		c.handleReset(syscall.ECONNRESET, f.code)
	}
	return nil
}

// answer takes OPEN_OK or OPEN_FAIL.
func (c *Conn) answer(f *frame, refused error) error {
	if !c.s.ours(c.sid) || isClosed(c.answered) {
		return fmt.Errorf("an answer on stream %d, which waits for none", c.sid)
	}
	c.mu.Lock()
	c.accepted, c.refused = refused == nil, refused
	if f.seen.IsValid() {
		c.laddr.Port = f.seen.Port()
	}
	c.mu.Unlock()
	close(c.answered)
	if refused != nil {
		c.handleReset(refused, f.code)
		return nil
	}
	c.handleCredit(f.credit, 0)
	return nil
}

// handleFin takes the end of the peer's direction.
func (c *Conn) handleFin(offset uint64) error {
	c.mu.Lock()
	if c.recv.ended || offset != c.recv.received {
		defer c.mu.Unlock()
		return fmt.Errorf("FIN on stream %d at offset %d of %d, or a second one", c.sid, offset, c.recv.received)
	}
	c.recv.ended = true
	if c.recv.err == nil {
		c.recv.err = io.EOF
	}
	c.recv.changed.Notify()
	c.mu.Unlock()
	c.retire()
	return nil
}

// handleReset takes the end of the peer's direction by force. Ours ends with
// it. What was received before can still be read.
func (c *Conn) handleReset(err error, code Code) {
	c.mu.Lock()
	tell := !c.send.ended
	c.send.ended, c.send.reset = true, true
	c.failLocked(err)
	c.recv.ended = true
	c.unanswered(err)
	if tell {
		c.send.owed = &frame{typ: typeReset, epoch: c.epoch, code: code}
	}
	c.mu.Unlock()
	if tell {
		c.sayReset()
	} else {
		c.retire()
	}
}

// fail ends both directions because the association is gone.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failLocked(err)
	c.recv.ended, c.send.ended = true, true
	c.settle()
	c.unanswered(err)
	c.stopTimers()
}

// unanswered ends the wait for an answer to OPEN that will not come. It is
// called with mu held.
func (c *Conn) unanswered(err error) {
	if c.refused == nil && !c.accepted {
		c.refused = err
	}
	if !isClosed(c.answered) {
		close(c.answered)
	}
}

// failLocked has the user's calls end with err, once what was received has been
// read. It is called with mu held.
func (c *Conn) failLocked(err error) {
	if c.send.err == nil {
		c.send.err = err
		if c.recv.err == io.EOF && err == syscall.ECONNRESET {
			c.send.err = syscall.EPIPE // as TCP has it after the peer's FIN
		}
	}
	if c.recv.err == nil {
		c.recv.err = err
	}
	if !c.accepted { // it never becomes anybody's: who would read?
		c.recv.closed, c.recv.chunks = true, nil
	}
	c.send.closing = true
	if c.nagle != nil {
		c.nagle.held = nil
	}
	c.recv.changed.Notify()
	c.send.changed.Notify()
}

// overLocked reports whether nothing passes any more, in either direction: what
// TCP calls the state CLOSED. It is called with mu held.
func (c *Conn) overLocked() bool { return c.send.reset || c.send.ended && c.recv.ended }

// stopTimers is called with mu held.
func (c *Conn) stopTimers() {
	if c.linger != nil && c.linger.timer != nil {
		c.linger.timer.Stop()
	}
	if c.keepAlive != nil {
		c.keepAlive.timer.Stop()
		c.keepAlive.forget()
	}
	if c.nagle != nil {
		c.nagle.stop()
	}
	if c.relay != nil {
		c.relay.stop()
	}
}

// retire gives the stream number back when both directions have ended.
func (c *Conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retireLocked()
}

// retireLocked is retire with mu held.
func (c *Conn) retireLocked() {
	c.settle()
	if c.recv.ended && c.send.ended && c.send.owed == nil {
		c.stopTimers()
		if c.weighted {
			c.s.assoc.SetWeight(c.sid, 1) // for the next one with this number
		}
		c.s.forget(c)
	}
}

// LocalAddr returns an Addr: the own name and, where the peer opened the
// connection, the port that it asked for. Where it was opened here the port is 0,
// or that from which a gateway reached the target.
func (c *Conn) LocalAddr() net.Addr { return c.laddr }

// RemoteAddr returns an Addr: what was dialled, or, where the peer opened the
// connection, its name if that is verified, else its address, and the number of
// the stream, which tells its connections apart. It stays the same whatever path
// is in use.
func (c *Conn) RemoteAddr() net.Addr { return c.raddr }

// Paths returns the paths of the association that carries the connection, as
// they are now or were at its end.
func (c *Conn) Paths() []sctpmh.PathInfo { return c.s.assoc.Paths() }

// Failovers returns the failovers of its association since the connection
// began, the oldest first. Of each association the latest 64 are known.
func (c *Conn) Failovers() (f []sctpmh.Failover) {
	for _, x := range c.s.assoc.Failovers() {
		if x.At.Add(x.Stall).After(c.since) {
			f = append(f, x)
		}
	}
	return f
}

// PeerIdentity returns who the other end was found to be, as far as it is
// known by now; see Identity.
func (c *Conn) PeerIdentity() Identity { return c.s.identity.now() }

// AssocID is the number of its association.
func (c *Conn) AssocID() uint64 { return c.s.assoc.ID() }

// set changes an option with mu held, unless the connection was closed.
func (c *Conn) set(change func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recv.closed {
		return c.opError("set", net.ErrClosed)
	}
	change()
	return nil
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "mh", Source: c.laddr, Addr: c.raddr, Err: err}
}
