package tcpemu

import "time"

// linger is what Close waits for.
type linger struct {
	wait  time.Duration // 0: Close resets; below 0: it does not wait
	timer *time.Timer   // of lingerLimit, once closed
}

// SetLinger says what Close does with what was written and is still on its
// way, in seconds: below 0, the default, it goes out in the background; 0, the
// connection is reset and what can be is dropped; above 0, Close waits at most
// that long until the peer's host has all of it, and then it goes on in the
// background. Its error is net.ErrClosed after Close.
func (c *Conn) SetLinger(sec int) error {
	return c.set(func() { c.lingering().wait = max(time.Duration(sec)*time.Second, -1) })
}

// lingering is called with mu held.
func (c *Conn) lingering() *linger {
	if c.linger == nil {
		c.linger = &linger{wait: -1}
	}
	return c.linger
}

// lingerOn is the rest of a Close in order.
func (c *Conn) lingerOn() {
	c.mu.Lock()
	over, l := c.overLocked(), c.lingering()
	if !over {
		l.timer = time.AfterFunc(lingerLimit, c.expire)
	}
	wait := l.wait
	c.mu.Unlock()
	switch {
	case over:
	case wait < 0:
		c.finishSoon()
	default:
		c.finishWithin(wait)
	}
}

// finishWithin ends the sending direction and waits, at most for limit, until
// the peer's host has all of it.
func (c *Conn) finishWithin(limit time.Duration) {
	arrived, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	go func() { // ends with the octets sent, or the connection reset, and the wait
		c.finish()
		// The peer answers after what was sent before on the stream.
		forget := c.s.ping(c.sid, true, func() { close(arrived) })
		<-over
		forget()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-arrived:
	case <-timer.C:
	case <-c.s.assoc.Done():
	}
}
