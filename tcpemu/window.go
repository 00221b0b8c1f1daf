package tcpemu

import "github.com/sctpmh/mh/sctpmh"

// Receive windows, in octets.
const (
	// initialWindow is the credit of a connection once it is accepted, in
	// octets, while the association's sum of windows allows it.
	initialWindow = 256 << 10

	// earlyCredit is what a peer may send right behind OPEN, before anybody
	// here has said yes. It is what every connection gets, however many there
	// are: with the most streams that is 256 MiB, and only as long as nobody
	// reads any of them.
	earlyCredit = 16 << 10

	// maxWindow is how far a connection's credit grows that uses it up.
	maxWindow = 4 << 20

	// maxWindows bounds the sum of the receive windows of an association.
	maxWindows = 64 << 20
)

// grant gives the peer credit for n octets that were read, when enough have
// come together to be worth a message.
func (c *Conn) grant(n int) {
	c.mu.Lock()
	r := &c.recv
	r.read += uint64(n)
	if r.closed {
		r.read = r.received
	}
	if r.ended || r.read+uint64(c.window)-r.limit < uint64(c.window)/2 {
		c.mu.Unlock()
		return
	}
	// The peer had used up most of it before we could give more: it could
	// send faster.
	grow := c.window < maxWindow && r.limit-r.received < uint64(c.window)/4
	c.mu.Unlock()
	if grow && c.s.growWindow(c.window) {
		grow = true
	} else {
		grow = false
	}
	c.mu.Lock()
	if grow {
		c.window *= 2
	}
	r.limit = r.read + uint64(c.window)
	tell := !r.told
	r.told = true
	c.mu.Unlock()
	if tell {
		c.s.push(queued{credit: c})
	}
}

// widen raises an accepted connection's credit from what it could send early
// to the initial window, if the association's sum allows it, and returns it.
func (c *Conn) widen() uint64 {
	wide := c.s.growWindow(initialWindow - earlyCredit)
	c.mu.Lock()
	defer c.mu.Unlock()
	if wide {
		c.window = initialWindow
		c.recv.limit = max(c.recv.limit, c.recv.read+initialWindow)
	}
	return c.recv.limit
}

// creditMessage is the CREDIT that is due now.
func (c *Conn) creditMessage() sctpmh.Message {
	c.mu.Lock()
	c.recv.told = false
	f := frame{typ: typeCredit, epoch: c.epoch, offset: c.recv.limit}
	c.mu.Unlock()
	return sctpmh.Message{Stream: c.sid, PPID: ppidCtrl, Unordered: true, Data: f.append(nil)}
}

// growWindow asks for a larger window for one connection.
func (s *session) growWindow(by int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.windows+by > maxWindows {
		return false
	}
	s.windows += by
	return true
}
