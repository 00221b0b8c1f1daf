package tcpemu

import (
	"net"
	"syscall"
	"time"
)

// CloseWrite ends the sending direction: the peer reads io.EOF after what was
// written. The other direction goes on. A second call does nothing, as with
// TCP. Its error is net.ErrClosed after Close, and syscall.ENOTCONN when the
// connection is over.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	if err := c.shutdownError(); err != nil {
		c.mu.Unlock()
		return c.opError("close", err)
	}
	first := !c.send.closing
	c.send.closing = true
	c.send.changed.Notify()
	c.mu.Unlock()
	if first {
		c.finishSoon()
	}
	return nil
}

// CloseRead ends reading, as shutdown(2) with SHUT_RD does on Linux: Read
// returns what was received before and then io.EOF. The peer is told nothing.
// What it still sends is received until Close resets the connection, or resets
// it at once when CloseWrite was called too. Its errors are those of
// CloseWrite.
func (c *Conn) CloseRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.shutdownError(); err != nil {
		return c.opError("close", err)
	}
	c.recv.shut = true
	c.recv.changed.Notify()
	return nil
}

// shutdownError says why a direction cannot be ended. It is called with mu
// held.
func (c *Conn) shutdownError() error {
	switch {
	case c.recv.closed:
		return net.ErrClosed
	case c.overLocked():
		return syscall.ENOTCONN
	}
	return nil
}

// finishSoon ends the sending direction in order, without waiting when there
// is something held back that the peer may have no credit for. Who writes may
// have it in hand.
func (c *Conn) finishSoon() {
	c.mu.Lock()
	held := c.nagle != nil && (len(c.nagle.held) > 0 || len(c.writing) > 0)
	c.mu.Unlock()
	if held {
		go c.finish() // ends with the octets sent, or the connection reset
		return
	}
	c.finish()
}

// finish sends what is held back and queues FIN, once no Write is under way.
func (c *Conn) finish() {
	c.sendHeld()
	c.writing <- struct{}{}
	defer c.doneWriting()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.send.ended {
		c.sayLast(&frame{typ: typeFin, offset: c.send.sent})
	}
}

// sayLast queues the message that ends our direction. When the peer's has ended
// too, the number is given back in the same moment: the peer may use it as soon
// as it has the message, and nobody here before it is queued. It is called with
// mu held.
func (c *Conn) sayLast(f *frame) {
	c.send.ended, c.send.owed = true, nil
	c.s.enqueueLast(c, f, c.recv.ended)
	c.retireLocked()
}

// Close ends both directions: in order, so that what was written is still
// delivered, or by a reset when octets are left unread, as TCP does. SetLinger
// says whether it waits. After a minute without an end of the peer's direction,
// or without credit for the rest, the connection is reset. Calls that wait end
// with net.ErrClosed, and so does a second Close.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.recv.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.recv.closed = true
	abort := len(c.recv.chunks) > 0 || c.linger != nil && c.linger.wait == 0
	c.recv.chunks = nil
	c.settle()
	c.send.closing = true
	c.recv.changed.Notify()
	c.send.changed.Notify()
	c.mu.Unlock()
	c.rdeadline.stop()
	c.wdeadline.stop()
	if abort {
		c.abort(net.ErrClosed, CodeRefused)
		return nil
	}
	c.lingerOn()
	return nil
}

// Reset ends both directions at once, as SetLinger(0) and Close do: the peer's
// calls fail with syscall.ECONNRESET. What was written and the association has
// not taken yet is dropped. It may be called after Close too.
func (c *Conn) Reset() {
	c.mu.Lock()
	c.recv.closed, c.recv.chunks = true, nil
	c.settle()
	c.mu.Unlock()
	c.rdeadline.stop()
	c.wdeadline.stop()
	c.abort(net.ErrClosed, CodeRefused)
}

// abort ends both directions by RESET, unless the connection is over. The
// user's calls end with err.
func (c *Conn) abort(err error, code Code) {
	c.mu.Lock()
	if c.overLocked() {
		c.mu.Unlock()
		return
	}
	c.send.ended, c.send.reset = true, true
	c.failLocked(err)
	c.send.owed = &frame{typ: typeReset, epoch: c.epoch, code: code}
	c.mu.Unlock()
	c.sayReset()
}

// sayReset queues the RESET that is owed, unless somebody writes:
// octets that the association gets after it would be a breach of protocol. Who
// writes notices that all is over and says it when done; it never waits.
func (c *Conn) sayReset() {
	select {
	case c.writing <- struct{}{}:
	default:
		return
	}
	c.mu.Lock()
	if c.send.owed != nil {
		c.sayLast(c.send.owed)
	}
	c.mu.Unlock()
	<-c.writing
}

// doneWriting lets others write.
func (c *Conn) doneWriting() {
	<-c.writing
	c.mu.Lock()
	owed := c.send.owed != nil
	c.mu.Unlock()
	if owed {
		c.sayReset()
	}
}

// expire resets a connection that was closed and whose peer does not end its
// direction.
func (c *Conn) expire() { c.abort(syscall.ETIMEDOUT, CodeTimeout) }

// lingerLimit is how long the peer may take to end its direction of a
// connection that was closed here, and to give credit for what is held back;
// then it is reset, as TCP does with one that stays in FIN-WAIT-2. Without it a
// peer could keep streams of programs that have long closed them.
const lingerLimit = 60 * time.Second
