package tcpemu

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh"
)

// writeUnit is how much of a Write is copied at a time, in octets.
const writeUnit = 64 << 10

// sendHalf is the sending direction.
type sendHalf struct {
	changed gate.Signal
	begun   bool   // OPEN with what goes with it, or OPEN_OK, is the association's
	sent    uint64 // octets handed to the association
	limit   uint64 // credit that the peer gave
	returns uint32 // how often some of it was given up
	swept   uint64 // what sent was when it was last looked at; see idleCredit
	ended   bool   // FIN or RESET is queued
	reset   bool   // RESET is queued or owed, or has come
	owed    *frame // RESET, to be queued when nobody writes
	closing bool   // the user writes no more
	err     error  // why nothing can be written
}

// begun lets the user send: what is handed to the association must not overtake
// what the session queued for the stream.
func (c *Conn) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send.begun = true
	c.send.changed.Notify()
}

// tell returns err for a call to report. A reset is told once: the next Write
// finds a broken pipe, as with TCP.
func (s *sendHalf) tell() error {
	err := s.err
	if err == syscall.ECONNRESET {
		s.err = syscall.EPIPE
	}
	return err
}

// handleCredit takes credit, but for that which crossed a RETURN of ours.
func (c *Conn) handleCredit(limit uint64, returns uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > c.send.limit && returns == c.send.returns {
		c.send.limit = limit
		c.watchCredit()
		c.send.changed.Notify()
	}
}

// Write writes octets. It waits while the peer or the association cannot take
// more. Its error is net.ErrClosed after Close, os.ErrDeadlineExceeded,
// syscall.ECONNRESET when the peer has reset the connection and no call has
// said so yet, and syscall.EPIPE when one has, or after CloseWrite, or when the
// peer has closed the connection.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.writing <- struct{}{}
	defer c.doneWriting()
	for first := true; first || n < len(b); first = false {
		unit := append([]byte(nil), b[n:min(n+writeUnit, len(b))]...)
		k, err := c.put(unit, false)
		n += k
		if err != nil {
			return n, c.opError("write", err)
		}
	}
	return n, nil
}

// message is one that RESET makes void: it is not to wait behind such.
func (c *Conn) message(ppid uint32, b []byte) sctpmh.Message {
	return sctpmh.Message{Stream: c.sid, PPID: ppid, Group: c.epoch, Data: b}
}

// writeUnit sends octets that the association may keep. The caller is the one
// who writes.
func (c *Conn) writeUnit(b []byte) (n int, err error) {
	for first := true; first || n < len(b); first = false {
		k, err := c.reserve(len(b) - n)
		if err != nil || k == 0 {
			return n, err
		}
		if err := c.sendMessage(c.message(ppidData, b[n:n+k:n+k]), k); err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// writeError says why nothing can be written. It is called with mu held.
func (c *Conn) writeError(passed bool) error {
	switch {
	case c.recv.closed:
		return net.ErrClosed
	case passed:
		return os.ErrDeadlineExceeded
	case c.send.err != nil:
		return c.send.tell()
	case c.send.closing:
		return syscall.EPIPE
	}
	return nil
}

// reserve waits for credit and takes as much of it as one message of at most
// n octets needs.
func (c *Conn) reserve(n int) (int, error) {
	for {
		c.mu.Lock()
		passed := c.wdeadline.wait()
		s := &c.send
		if err := c.writeError(isClosed(passed)); err != nil || n == 0 {
			c.mu.Unlock()
			return 0, err
		}
		if s.begun && s.sent < s.limit {
			k := min(n, c.s.assoc.MaxPayload(), int(min(s.limit-s.sent, 1<<30)))
			s.sent += uint64(k)
			c.mu.Unlock()
			return k, nil
		}
		changed := s.changed.Wait()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-passed:
		}
	}
}

// sendMessage hands a message to the association, which has n octets of the
// stream. When a deadline or the end of the connection comes first, they are
// taken back.
func (c *Conn) sendMessage(m sctpmh.Message, n int) error {
	ok, err := c.s.assoc.TrySend(m)
	if ok {
		return nil
	}
	if err == nil {
		err = c.sendSlowly(m)
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, sctpmh.ErrClosed) {
		err = c.s.reason()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send.sent -= uint64(n)
	if e := c.writeError(errors.Is(err, os.ErrDeadlineExceeded)); e != nil {
		return e
	}
	return err
}

// sendSlowly waits for room in the association's buffer.
func (c *Conn) sendSlowly(m sctpmh.Message) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	stopped := make(chan struct{})
	go func() { // ends when the message was taken or cannot be
		defer close(stopped)
		for {
			c.mu.Lock()
			over, changed, passed := c.send.closing, c.send.changed.Wait(), c.wdeadline.wait()
			c.mu.Unlock()
			switch {
			case over:
				cancel(net.ErrClosed)
				return
			case isClosed(passed):
				cancel(os.ErrDeadlineExceeded)
				return
			}
			select {
			case <-changed:
			case <-passed:
			case <-ctx.Done():
				return
			}
		}
	}()
	err := c.s.assoc.Send(ctx, m)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-stopped
	return err
}
