package tcpemu

import (
	"context"
	"net"
	"os"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh"
)

// sendHalf is the sending direction.
type sendHalf struct {
	changed gate.Signal
	sent    uint64 // octets handed to the association
	limit   uint64 // credit that the peer gave
	ended   bool   // FIN or RESET is queued
	closing bool   // the user writes no more
	err     error
}

func (c *Conn) handleCredit(limit uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > c.send.limit {
		c.send.limit = limit
		c.send.changed.Notify()
	}
}

// Write writes octets. It waits while the peer or the association cannot take
// more.
func (c *Conn) Write(b []byte) (n int, err error) {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	for first := true; first || n < len(b); first = false {
		unit := append([]byte(nil), b[n:min(n+writeUnit, len(b))]...)
		k, err := c.writeUnit(unit)
		n += k
		if err != nil {
			return n, c.opError("write", err)
		}
	}
	return n, nil
}

// writeUnit sends octets that the association may keep.
func (c *Conn) writeUnit(b []byte) (n int, err error) {
	for {
		k, err := c.reserve(len(b) - n)
		if err != nil || k == 0 {
			return n, err
		}
		m := sctpmh.Message{Stream: c.sid, PPID: ppidData, Data: b[n : n+k : n+k]}
		if err := c.sendMessage(m); err != nil {
			return n, err
		}
		n += k
	}
}

// reserve waits for credit and takes as much of it as one message of at most
// n octets needs.
func (c *Conn) reserve(n int) (int, error) {
	for {
		passed := c.wdeadline.wait()
		c.mu.Lock()
		s := &c.send
		switch {
		case s.err != nil:
			err := s.err // a reset may replace it
			c.mu.Unlock()
			return 0, err
		case s.closing:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case isClosed(passed):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case n == 0:
			c.mu.Unlock()
			return 0, nil
		case s.sent < s.limit:
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

// sendMessage hands a message to the association. When a deadline or the end
// of the connection comes first, its octets are taken back.
func (c *Conn) sendMessage(m sctpmh.Message) error {
	ok, err := c.s.assoc.TrySend(m)
	if ok {
		return nil
	}
	if err == nil {
		err = c.sendSlowly(m)
	}
	if err != nil {
		c.mu.Lock()
		c.send.sent -= uint64(len(m.Data))
		if c.send.err != nil {
			err = c.send.err
		} else if c.send.closing {
			err = net.ErrClosed
		}
		c.mu.Unlock()
	}
	return err
}

// sendSlowly waits for room in the association's buffer.
func (c *Conn) sendSlowly(m sctpmh.Message) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	passed := c.wdeadline.wait()
	stopped := make(chan struct{})
	go func() { // ends when the message was taken or cannot be
		defer close(stopped)
		for {
			c.mu.Lock()
			over, changed := c.send.closing, c.send.changed.Wait()
			c.mu.Unlock()
			if over {
				cancel(net.ErrClosed)
				return
			}
			select {
			case <-changed:
			case <-passed:
				if passed = c.wdeadline.wait(); isClosed(passed) {
					cancel(os.ErrDeadlineExceeded)
					return
				}
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
