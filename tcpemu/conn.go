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

const (
	// writeUnit is how much of a Write is copied at a time.
	writeUnit = 64 << 10

	// lingerLimit is how long the peer may take to end its direction of a
	// connection that was closed here; then it is reset.
	lingerLimit = 60 * time.Second
)

// A Conn is a connection. It is a net.Conn and half-closes like a
// *net.TCPConn.
//
//	receiving:  open --FIN--> ended        open --RESET, OPEN_FAIL--> ended
//	sending:    open --FIN--> ended        open --RESET--> ended
//
// Its stream number is free again when both directions have ended.
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

	mu   sync.Mutex // leaf but for session.mu in none of its sections
	recv recvHalf
	send sendHalf

	window   int  // octets of credit beyond what was read
	accepted bool // OPEN_OK was sent or received
	refused  error
	linger   *time.Timer
}

func newConn(s *session, sid uint16, epoch uint32, credit uint64, window int) *Conn {
	c := &Conn{
		s: s, sid: sid, epoch: epoch, since: time.Now(),
		answered: make(chan struct{}), rdeadline: newDeadline(), wdeadline: newDeadline(),
		writing: make(chan struct{}, 1),
		window:  window,
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
	case typeCredit:
		if f.epoch == c.epoch {
			c.handleCredit(f.offset)
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
	c.handleCredit(f.credit)
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
	c.recv.err = io.EOF
	c.recv.changed.Notify()
	c.mu.Unlock()
	c.retire()
	return nil
}

// handleReset takes the end of the peer's direction by force. Ours ends with
// it.
func (c *Conn) handleReset(err error, code Code) {
	c.mu.Lock()
	c.recv.ended = true
	if c.recv.err != io.EOF {
		c.recv.err, c.recv.chunks = err, nil
	}
	ended := c.send.ended
	c.send.ended, c.send.closing = true, true
	c.send.err = err
	c.recv.changed.Notify()
	c.send.changed.Notify()
	c.mu.Unlock()
	if !ended {
		c.s.enqueue(c.sid, &frame{typ: typeReset, epoch: c.epoch, code: code})
	}
	c.retire()
}

// fail ends both directions because the association is gone.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recv.err == nil {
		c.recv.err = err
	}
	if c.send.err == nil {
		c.send.err = err
	}
	c.recv.ended, c.send.ended, c.send.closing = true, true, true
	if c.refused == nil && !c.accepted {
		c.refused = err
	}
	if !isClosed(c.answered) {
		close(c.answered)
	}
	c.recv.changed.Notify()
	c.send.changed.Notify()
	c.stopTimers()
}

// stopTimers is called with mu held.
func (c *Conn) stopTimers() {
	if c.linger != nil {
		c.linger.Stop()
	}
}

// retire gives the stream number back when both directions have ended.
func (c *Conn) retire() {
	c.mu.Lock()
	over := c.recv.ended && c.send.ended
	if over {
		c.stopTimers()
	}
	c.mu.Unlock()
	if over {
		c.s.forget(c)
	}
}

// CloseWrite ends the sending direction: the peer reads io.EOF after what was
// written. The other direction goes on.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	if c.send.closing {
		err := c.send.err
		c.mu.Unlock()
		if err == nil {
			err = net.ErrClosed
		}
		return c.opError("close", err)
	}
	c.send.closing = true
	c.send.changed.Notify()
	c.mu.Unlock()
	c.finish()
	return nil
}

// finish queues FIN once no Write is under way.
func (c *Conn) finish() {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	c.mu.Lock()
	if c.send.ended {
		c.mu.Unlock()
		return
	}
	c.send.ended = true
	offset := c.send.sent
	c.mu.Unlock()
	c.s.enqueue(c.sid, &frame{typ: typeFin, offset: offset})
	c.retire()
}

// CloseRead ends reading here. What still arrives is answered by a reset, as
// TCP does once the socket is closed too, or dropped.
func (c *Conn) CloseRead() error {
	c.mu.Lock()
	c.recv.closed = true
	c.recv.chunks = nil
	c.recv.changed.Notify()
	c.mu.Unlock()
	return nil
}

// Close ends both directions: gracefully, or by a reset when octets are left
// unread, as TCP does. What was written is still delivered.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.recv.closed && c.send.closing {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	unread := len(c.recv.chunks) > 0 && !c.send.ended
	c.recv.closed, c.recv.chunks = true, nil
	c.send.closing = true
	c.recv.changed.Notify()
	c.send.changed.Notify()
	if !c.recv.ended && c.linger == nil {
		c.linger = time.AfterFunc(lingerLimit, c.Reset)
	}
	c.mu.Unlock()
	c.rdeadline.stop()
	c.wdeadline.stop()
	if unread {
		c.Reset()
		return nil
	}
	c.finish()
	return nil
}

// Reset ends both directions at once, as a TCP RST does.
func (c *Conn) Reset() {
	c.mu.Lock()
	already := c.send.ended
	c.recv.closed, c.recv.chunks = true, nil
	c.send.ended, c.send.closing = true, true
	if c.send.err == nil {
		c.send.err = net.ErrClosed
	}
	c.recv.changed.Notify()
	c.send.changed.Notify()
	c.mu.Unlock()
	if !already {
		c.s.enqueue(c.sid, &frame{typ: typeReset, epoch: c.epoch, code: CodeRefused})
	}
	c.retire()
}

// LocalAddr returns the own name and the port as the peer knows it.
func (c *Conn) LocalAddr() net.Addr { return c.laddr }

// RemoteAddr returns the name and port of the other end. It stays the same
// whatever path is in use.
func (c *Conn) RemoteAddr() net.Addr { return c.raddr }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	c.rdeadline.set(t)
	c.wdeadline.set(t)
	return c.usable("set")
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.rdeadline.set(t)
	return c.usable("set")
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.wdeadline.set(t)
	return c.usable("set")
}

func (c *Conn) usable(op string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recv.closed && c.send.closing {
		return c.opError(op, net.ErrClosed)
	}
	return nil
}

// Paths returns the paths of the association that carries the connection.
func (c *Conn) Paths() []sctpmh.PathInfo { return c.s.assoc.Paths() }

// Failovers returns the failovers of its association since the connection
// began.
func (c *Conn) Failovers() (f []sctpmh.Failover) {
	for _, x := range c.s.assoc.Failovers() {
		if x.At.Add(x.Stall).After(c.since) {
			f = append(f, x)
		}
	}
	return f
}

// PeerIdentity returns who the other end was found to be, as far as it is
// known by now.
func (c *Conn) PeerIdentity() Identity { return c.s.identity.now() }

// AssocID is the number of its association.
func (c *Conn) AssocID() uint64 { return c.s.assoc.ID() }

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "mh", Source: c.laddr, Addr: c.raddr, Err: err}
}
