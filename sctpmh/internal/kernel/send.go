package kernel

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// Send gives a message to the kernel, whole, and waits while its send buffer
// is full. m.Data may be used again afterwards. The error is ErrEmpty,
// ErrStream, ErrTooBig, ctx's, or the association's end, as Recv has it.
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
	switch {
	case err == nil:
		return nil
	case err == syscall.EMSGSIZE:
		return ErrTooBig
	case err == syscall.EPIPE, err == syscall.ENOTCONN, err == syscall.ECONNRESET:
		// Shutdown was called here or at the peer, or the association ended: Recv
		// will find out why.
		return errNoMore
	case ctx.Err() != nil:
		return err
	}
	return c.failed(ctx, err)
}

// errNoMore is the error of sending after the end began.
var errNoMore = errors.Join(errors.New("association is being shut down"), net.ErrClosed)

// Abort ends the association at once, tells the peer with an ABORT chunk, and
// closes the socket.
func (c *Conn) Abort(reason string) {
	c.ended(net.ErrClosed)
	c.Close()
}
