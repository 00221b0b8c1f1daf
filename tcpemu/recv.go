package tcpemu

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/sctpmh/mh/internal/gate"
)

// recvHalf is the receiving direction.
type recvHalf struct {
	changed  gate.Signal
	chunks   [][]byte // received, not read
	urgent   int      // which octet of chunks is the urgent one, from 1; 0: none
	received uint64   // octets so far
	read     uint64   // octets taken by the user
	limit    uint64   // credit given to the peer
	returns  uint32   // how often it has given some back
	lean     bool     // it has, and has not sent much since
	told     bool     // a CREDIT is queued
	ended    bool     // FIN or RESET has come
	shut     bool     // the user has called CloseRead
	closed   bool     // the user has called Close: what comes is dropped
	err      error    // after what was received; io.EOF after FIN
}

// handleData takes octets of the stream.
func (c *Conn) handleData(b []byte) error { return c.receive(b, false) }

// receive takes octets. The last one is urgent, or none.
func (c *Conn) receive(b []byte, urgent bool) error {
	c.mu.Lock()
	r := &c.recv
	r.received += uint64(len(b))
	late, beyond := r.ended, r.received > r.limit
	refused, tell := c.refuses(), false
	if !late && !beyond && !refused {
		r.add(b, urgent)
		c.noteHeard()
		tell = c.rouse()
	}
	c.mu.Unlock()
	switch {
	case tell:
		c.s.push(queued{credit: c})
	case late:
		return fmt.Errorf("data on stream %d after its end", c.sid)
	case beyond:
		return fmt.Errorf("data on stream %d beyond its credit", c.sid)
	case refused:
		// "If such a host issues a CLOSE call while received data is still pending
		// in TCP, or if new data is received after CLOSE is called, its TCP SHOULD
		// send a RST to show that data was lost" (RFC 1122 section 4.2.2.13). To
		// call CloseRead and CloseWrite is the same.
		c.abort(syscall.ECONNRESET, CodeRefused)
	}
	return nil
}

// refuses reports whether the peer gets RESET for what it still sends. It is
// called with mu held.
func (c *Conn) refuses() bool {
	return c.recv.closed || c.send.reset || c.recv.shut && c.send.ended
}

// add puts octets where Read finds them.
func (r *recvHalf) add(b []byte, urgent bool) {
	r.chunks = appendChunk(r.chunks, b)
	if urgent {
		r.urgent = 0
		for _, chunk := range r.chunks {
			r.urgent += len(chunk)
		}
	}
	r.changed.Notify()
}

// Read reads octets. Its error is io.EOF after the peer has ended its
// direction, or after CloseRead, and what was received before has been read;
// syscall.ECONNRESET after the peer has reset the connection;
// os.ErrDeadlineExceeded; net.ErrClosed after Close.
func (c *Conn) Read(b []byte) (int, error) {
	n, _, err := c.readSome(b, false)
	return n, c.readError("read", err)
}

func (c *Conn) readError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return c.opError(op, err)
}

// readSome waits for octets and copies them into b. With stop it does not read
// past the beginning or the end of an urgent octet.
func (c *Conn) readSome(b []byte, stop bool) (n int, urgent bool, err error) {
	err = c.await(len(b), func(r *recvHalf) {
		if urgent = stop && r.urgent == 1; urgent {
			b = b[:1]
		} else if stop && r.urgent > 0 {
			b = b[:min(len(b), r.urgent-1)]
		}
		n = r.take(b)
	})
	if n > 0 {
		c.grant(n)
	}
	return n, urgent, err
}

// await waits for octets and has take called, with mu held, when there are
// some. For want zero it does not wait.
func (c *Conn) await(want int, take func(*recvHalf)) error {
	for {
		c.mu.Lock()
		passed := c.rdeadline.wait()
		r := &c.recv
		var err error
		switch {
		case r.closed:
			err = net.ErrClosed
		case want == 0:
		case isClosed(passed):
			err = os.ErrDeadlineExceeded
		case len(r.chunks) > 0:
			take(r)
		case r.err != nil:
			if err = r.err; err == syscall.ECONNRESET {
				c.send.tell()
			}
		case r.shut:
			err = io.EOF
		default:
			changed := r.changed.Wait()
			c.mu.Unlock()
			select {
			case <-changed:
			case <-passed:
			}
			continue
		}
		c.mu.Unlock()
		return err
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
	r.urgent = max(0, r.urgent-n)
	return n
}

// takeChunks takes whole chunks, up to about most octets.
func (r *recvHalf) takeChunks(most int) (chunks [][]byte, n int) {
	i := 0
	for i < len(r.chunks) && (i == 0 || n+len(r.chunks[i]) <= most) {
		n += len(r.chunks[i])
		i++
	}
	chunks, r.chunks = r.chunks[:i:i], r.chunks[i:]
	if len(r.chunks) == 0 {
		r.chunks = nil
	}
	r.urgent = max(0, r.urgent-n)
	return chunks, n
}
