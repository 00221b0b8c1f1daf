package tcpemu

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// Credit is memory that a host promises. Windows that grew while there was bulk,
// or that nobody has used yet, would be promised for ever, and what sums there
// are would belong to whoever came first. So a sender that has been idle gives up
// what it does not use, by RETURN, and keeps enough to begin with: as TCP's
// congestion window, which is a small one again after an idle time (RFC 5681
// section 4.1). The receiver grants a whole window as soon as half of that is
// used.
//
// Data that was sent before RETURN is within what RETURN leaves, whichever comes
// first. CREDIT that crosses RETURN is told by its count of RETURNs: it speaks of
// an account that is closed.
//
// A peer that returns nothing pins its part of the sums and no more; see Windows.

const (
	// creditIdle is how long a direction is idle before its sender gives credit
	// up; up to twice that, because connections are looked at together.
	creditIdle = 5 * time.Second

	// returnLeast is how much credit is worth a RETURN, in octets.
	returnLeast = 2 * earlyCredit
)

// idleCredit is when a session next looks for credit to give up. Its timer does
// not run while there is none.
type idleCredit struct {
	due   atomic.Bool
	timer *time.Timer // guarded by the session's mutex
}

// neverSwept is the octets sent of a connection that was not looked at since it
// got credit.
const neverSwept = math.MaxUint64

// watchCredit sees to it that credit is given up if it is not used. It is called
// with mu held.
func (c *Conn) watchCredit() {
	w := &c.send
	if w.swept = neverSwept; w.limit-w.sent >= returnLeast {
		c.s.lookLater()
	}
}

func (s *session) lookLater() {
	if s.idleCredit.due.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.peer.flags&helloReturns == 0 || s.idleCredit.due.Swap(true) {
		return
	}
	if s.idleCredit.timer == nil {
		s.idleCredit.timer = time.AfterFunc(creditIdle, s.look)
	} else {
		s.idleCredit.timer.Reset(creditIdle)
	}
}

// stopLooking is called with mu held.
func (s *session) stopLooking() {
	if s.idleCredit.timer != nil {
		s.idleCredit.timer.Stop()
	}
}

// look gives up the credit of connections that have been idle since it
// looked last.
func (s *session) look() {
	s.idleCredit.due.Store(false)
	s.mu.Lock()
	all := make([]*Conn, 0, len(s.conns))
	for _, c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		if c.giveBack() {
			s.lookLater()
		}
	}
}

// giveBack gives up what an idle sender does not use. It reports whether to look
// again.
func (c *Conn) giveBack() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.send
	if !c.accepted || w.closing || w.ended || w.limit-w.sent < returnLeast {
		return false
	}
	idle := w.sent == w.swept
	if w.swept = w.sent; !idle {
		return true
	}
	w.limit = w.sent + earlyCredit
	w.returns++
	c.s.enqueue(c.sid, &frame{typ: typeReturn, offset: w.limit})
	return false
}

// handleReturn takes credit back that the peer does not use.
func (c *Conn) handleReturn(offset uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := &c.recv
	if r.ended || offset < r.received || offset > r.limit {
		return fmt.Errorf("RETURN on stream %d to offset %d of %d, %d received, or after its end", c.sid, offset, r.limit, r.received)
	}
	r.limit, r.lean = offset, true
	r.returns++
	c.slim()
	return nil
}

// slim shrinks the window of a connection whose peer has returned credit to what
// it may still send. It is called with mu held.
func (c *Conn) slim() {
	if size := max(int(c.recv.limit-c.recv.read), earlyCredit); c.recv.lean && size < c.window {
		c.window = c.s.windows.shrink(c.window, size)
	}
}

// rouse grants a whole window again when the peer has begun to send again, and
// reports whether it is to be told. It is called with mu held.
func (c *Conn) rouse() (tell bool) {
	r := &c.recv
	if !r.lean || r.limit-r.received >= earlyCredit/2 {
		return false
	}
	r.lean = false
	c.window = c.s.windows.grow(c.window, initialWindow, initialShare)
	return c.promise()
}
