package tcpemu

import (
	"sync"
	"time"
)

// A deadline is a point in time that waiters can wait for and that can be
// moved while they do, as net.Conn promises. The zero deadline is none; most
// connections never have another, and it costs them nothing.
type deadline struct {
	mu     sync.Mutex // leaf
	at     time.Time  // of timer
	timer  *time.Timer
	passed chan struct{} // closed once it has passed; nil: none was ever set
}

// set moves the deadline; the zero Time means none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.passed // the timer has fired: wait until it closed the channel
	}
	d.timer = nil
	if isClosed(d.passed) {
		d.passed = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
	if wait := time.Until(t); wait > 0 {
		d.at = t
		passed := d.passed
		d.timer = time.AfterFunc(wait, func() { close(passed) })
		return
	}
	close(d.passed)
}

// wait returns a channel that is closed when the deadline passes. Who waits for
// it has to wait for setDeadline too, which makes a channel when there was none.
// A deadline that has passed by the clock is not missed because its timer is
// late: who saw the other one pass, set to the same time, relies on it.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && time.Until(d.at) <= 0 {
		if d.timer.Stop() {
			close(d.passed)
		} else {
			<-d.passed // any moment now
		}
		d.timer = nil
	}
	return d.passed
}

// stop releases the timer.
func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// SetDeadline sets both deadlines; the zero Time means none. Its error is
// net.ErrClosed after Close.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the point in time after which Read fails with
// os.ErrDeadlineExceeded, those that wait included. Its error is net.ErrClosed
// after Close.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.rdeadline, t) }

// SetWriteDeadline does so for Write, which may have written a part by then.
// Its error is net.ErrClosed after Close.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.wdeadline, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	return c.set(func() {
		d.set(t)
		c.recv.changed.Notify()
		c.send.changed.Notify()
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
