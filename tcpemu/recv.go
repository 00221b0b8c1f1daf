package tcpemu

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/sctpmh/mh/internal/gate"
)

// recvHalf is the receiving direction.
type recvHalf struct {
	changed  gate.Signal
	chunks   [][]byte // received, not read
	received uint64   // octets so far
	read     uint64   // octets taken by the user
	limit    uint64   // credit given to the peer
	told     bool     // a CREDIT is queued
	ended    bool     // FIN or RESET arrived
	closed   bool     // the user reads no more
	err      error    // after what was received; io.EOF after FIN
}

// handleData takes octets of the stream.
func (c *Conn) handleData(b []byte) error {
	c.mu.Lock()
	r := &c.recv
	if r.ended {
		c.mu.Unlock()
		return fmt.Errorf("data on stream %d after its end", c.sid)
	}
	if r.received += uint64(len(b)); r.received > r.limit {
		c.mu.Unlock()
		return fmt.Errorf("data on stream %d beyond its credit", c.sid)
	}
	if r.closed {
		c.mu.Unlock()
		c.refuseData()
		return nil
	}
	r.chunks = append(r.chunks, b)
	r.changed.Notify()
	c.mu.Unlock()
	return nil
}

// refuseData answers octets that nobody will read, as TCP does, by a reset.
func (c *Conn) refuseData() {
	c.mu.Lock()
	ended := c.send.ended
	c.mu.Unlock()
	if !ended {
		c.Reset()
		return
	}
	c.grant(0) // our direction has ended: let the rest come and be dropped
}

// Read reads octets. Its error is io.EOF after the peer has closed its
// direction.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.readSome(b)
	if err != nil && err != io.EOF {
		err = c.opError("read", err)
	}
	return n, err
}

func (c *Conn) readSome(b []byte) (int, error) {
	for {
		passed := c.rdeadline.wait()
		c.mu.Lock()
		r := &c.recv
		switch {
		case r.closed:
			c.mu.Unlock()
			return 0, net.ErrClosed
		case isClosed(passed):
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			c.mu.Unlock()
			return 0, nil
		case len(r.chunks) > 0:
			n := r.take(b)
			c.mu.Unlock()
			c.grant(n)
			return n, nil
		case r.err != nil:
			err := r.err // a reset may replace it
			c.mu.Unlock()
			return 0, err
		}
		changed := r.changed.Wait()
		c.mu.Unlock()
		select {
		case <-changed:
		case <-passed:
		}
	}
}

// take copies what was received into b.
func (r *recvHalf) take(b []byte) (n int) {
	for n < len(b) && len(r.chunks) > 0 {
		k := copy(b[n:], r.chunks[0])
		n += k
		if r.chunks[0] = r.chunks[0][k:]; len(r.chunks[0]) == 0 {
			r.chunks[0] = nil
			r.chunks = r.chunks[1:]
		}
	}
	if len(r.chunks) == 0 {
		r.chunks = nil
	}
	return n
}
