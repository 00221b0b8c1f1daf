package kernel

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// Send gives a message to the kernel, whole, and waits while its send buffer
// is full. m.Data may be used again afterwards. The error is ErrEmpty,
// ErrStream, ErrTooBig, ctx's, or the association's end: one in which
// errors.Is finds net.ErrClosed once Shutdown was called or the peer has shut
// down.
func (c *Conn) Send(ctx context.Context, m Message) error {
	c.mu.Lock()
	streams, end := c.streams[0], c.end
	c.mu.Unlock()
	switch {
	case end != nil:
		return end
	case len(m.Data) == 0:
		return ErrEmpty
	case len(m.Data) > c.largest:
		return ErrTooBig
	case m.Stream >= streams:
		return ErrStream
	}
	err := c.sock.out.do(ctx, func(fd int) error { return sendMessage(fd, m) })
	switch err {
	case syscall.EMSGSIZE:
		return ErrTooBig
	case syscall.EPIPE, syscall.ESHUTDOWN, syscall.ENOTCONN:
		return errNoMore
	case syscall.ECONNRESET:
		c.noteBroken(syscall.ECONNRESET)
		return &AbortError{Remote: true}
	}
	if _, ok := err.(syscall.Errno); ok {
		c.noteBroken(err)
	}
	return err
}

// noteBroken keeps the socket's error for Recv, to whom the kernel would have
// said it: it says it once.
func (c *Conn) noteBroken(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broke = err
}

// errNoMore is the error of sending after an end began, here or there; Recv
// finds out which.
var errNoMore = fmt.Errorf("association is being shut down: %w", net.ErrClosed)
