package kernel

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// A Conn is an association.
type Conn struct {
	// Set before anybody else has the Conn.
	sock      *socket
	cfg       Config
	port      uint16 // of SCTP at the peer
	handshake netip.Addr
	largest   int // octets of a message that the kernel takes

	in reassembly // owned by who has the turn of sock.in

	enforcing sync.Mutex // held while paths are made what is permitted; mu is taken inside
	asked     asked      // guarded by enforcing; of at most maxAddrs addresses, or the association ends

	mu         sync.Mutex // leaf; guards what follows
	end        error      // why the association ended, nil before
	broke      error      // the socket's error that Send was told
	streams    [2]uint16  // out and in
	adaptation uint32
	permit     restriction
}

func newConn(s *socket, cfg Config) *Conn { return &Conn{sock: s, cfg: cfg, asked: make(asked)} }

// start waits for the association to stand and looks at it.
func (c *Conn) start(ctx context.Context) error {
	if err := c.up(ctx); err != nil {
		return err
	}
	var err error
	if _, c.port, err = c.sock.addrs(optPeerAddrs); err != nil {
		return err
	}
	if err := c.sock.control(func(fd int) (err error) { c.largest, err = sendBuffer(fd); return err }); err != nil {
		return err
	}
	c.largest = min(c.largest, MaxMessage)
	if err := c.readStreams(); err != nil {
		return err
	}
	// The kernel prefers the address that answered, after a dial of several too.
	c.handshake = c.primary()
	return c.enforce()
}

// up waits for the event that says that the association stands. The peer's
// Adaptation Layer Indication, where there is one, comes right behind.
func (c *Conn) up(ctx context.Context) error {
	for up := false; !up; {
		_, e, err := c.next(ctx)
		if err != nil {
			return err
		}
		if _, err := c.note(e); err != nil {
			return err
		}
		up = e.Kind == commUp
	}
	return c.sock.in.do(ctx, func(fd int) error {
		m, e, err := c.in.next(fd)
		switch {
		case err == syscall.EAGAIN:
		case err == nil && e.Kind == Adapted:
			c.adaptation = e.adaptation
		default:
			c.in.hold(m, e, err)
		}
		return nil
	})
}

func (c *Conn) readStreams() error {
	var st status
	if _, err := c.sock.get(optStatus, octets(&st)); err != nil {
		return &optionError{"SCTP_STATUS", err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams = [2]uint16{st.outStreams, st.inStreams}
	return nil
}

// Peer returns what the handshake said of the other end, and the addresses as
// they are now.
func (c *Conn) Peer() Peer {
	addrs, _, _ := c.sock.addrs(optPeerAddrs)
	c.mu.Lock()
	defer c.mu.Unlock()
	return Peer{
		Handshake: c.handshake, Addrs: addrs, Port: c.port, Adaptation: c.adaptation,
		OutStreams: c.streams[0], InStreams: c.streams[1],
	}
}

// Local returns the addresses of this end that were listed to the peer.
func (c *Conn) Local() []netip.Addr {
	addrs, _, _ := c.sock.addrs(optLocalAddrs)
	return addrs
}

// MaxMessage is the size in octets of the largest message that Send takes.
func (c *Conn) MaxMessage() int { return c.largest }

// MaxPayload is the size in octets of the largest message that fits one packet
// on every path (sstat_fragmentation_point), 0 after the end. It changes with
// the paths.
func (c *Conn) MaxPayload() int {
	var st status
	if _, err := c.sock.get(optStatus, octets(&st)); err != nil {
		return 0
	}
	return int(st.payload)
}

// Abort ends the association at once, with an ABORT chunk to the peer, and
// closes the socket. reason is for Err and Recv here: on sockets of the
// one-to-one style Linux refuses SCTP_ABORT, with which it would travel, so the
// peer learns no more than that a user aborted.
func (c *Conn) Abort(reason string) {
	c.ended(&AbortError{Code: causeUserAbort, Reason: reason})
	c.Close()
}

// Shutdown begins a graceful end: what was sent is delivered first, nothing
// more can be sent. It does not wait: Recv goes on and ends with io.EOF when
// the peer has agreed.
func (c *Conn) Shutdown() error { return c.sock.control(shutdownSocket) }

// Err returns why the association ended, nil while it has not. It is known
// once Recv has returned an error, or after Abort or Close.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// ended notes the first reason and returns it.
func (c *Conn) ended(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		c.end = err
	}
	return c.end
}

// Close releases the socket and wakes who waits. An association that has not
// ended is aborted: call Shutdown and receive until io.EOF before. A second
// call returns net.ErrClosed.
func (c *Conn) Close() error {
	c.ended(net.ErrClosed)
	_ = c.sock.control(abortOnClose)
	if c.sock.file.Close() != nil {
		return net.ErrClosed
	}
	return nil
}

// An optionError says which socket option was refused.
type optionError struct {
	name string
	err  error
}

func (e *optionError) Error() string { return fmt.Sprintf("socket option %s: %v", e.name, e.err) }
func (e *optionError) Unwrap() error { return e.err }
