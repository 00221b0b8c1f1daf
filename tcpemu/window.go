package tcpemu

import (
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// The receive window of a connection, in octets: what its peer may send beyond
// what was read here.
const (
	// initialWindow is the window of a connection once it is accepted, while
	// there is enough left of the sums.
	initialWindow = 256 << 10

	// earlyCredit is what a peer may send right behind OPEN, before anybody
	// here has said yes. It is the least that every connection has.
	earlyCredit = 16 << 10

	// grantStep is how much is read before the peer gets credit for it, at the
	// most: what is not granted yet is not there to keep the path full.
	grantStep = 128 << 10
)

// step is how much of a window is read before the peer gets credit for it.
func step(window int) int { return min(window/4, grantStep) }

// round measures what a reader takes in a round trip: a window of twice that
// lets the peer send all the time, and twice as fast in the next round trip
// (dynamic right-sizing). It follows the reader and not the peer: memory of a
// reader that is slow does nothing for it.
//
// The clock is read when credit is due, not with each Read.
type round struct {
	since time.Time
	from  uint64 // octets read until then
}

// shortestRound is what the two hosts themselves may take, when they are busy,
// to read, to grant and to send. A window for more of it is a queue in the
// hosts, in which the other streams of the association wait too: with 10 ms one
// bulk stream between two busy processors made echoes beside it wait for 25.
const shortestRound = 2 * time.Millisecond

// window returns the window that the reader can use, once a round trip has
// passed since it was last known.
func (r *round) window(now time.Time, read uint64, rtt time.Duration) (size int, ok bool) {
	rtt = max(rtt, shortestRound)
	took := now.Sub(r.since)
	if took < rtt {
		return 0, false
	}
	n := float64(read-r.from) * float64(rtt) / float64(took)
	ok = !r.since.IsZero()
	r.since, r.from = now, read
	return int(2 * n), ok
}

// grant gives the peer credit for n octets that were read, when enough have
// come together to be worth a message.
func (c *Conn) grant(n int) {
	c.mu.Lock()
	r := &c.recv
	r.read += uint64(n)
	if r.closed {
		r.read = r.received
	}
	c.slim()
	due := !c.takesNoMore() && c.window-int(r.limit-r.read) >= step(c.window)
	c.settle()
	c.mu.Unlock()
	if !due {
		return
	}
	now := time.Now()
	rtt := c.s.trip.now(now, c.s.assoc)
	c.mu.Lock()
	if c.takesNoMore() {
		c.mu.Unlock()
		return
	}
	if size, ok := c.round.window(now, r.read, rtt); ok {
		c.resize(size)
	}
	tell := c.promise()
	c.mu.Unlock()
	if tell {
		c.s.push(queued{credit: c})
	}
}

// promise gives credit for the whole window and reports whether the peer is to be
// told. It is called with mu held.
func (c *Conn) promise() (tell bool) {
	r := &c.recv
	limit := r.read + uint64(c.window)
	tell = limit > r.limit && !r.told
	r.limit = max(r.limit, limit)
	r.told = r.told || tell
	return tell
}

// resize changes the window towards what the reader can use. Credit is never
// taken back: a window shrinks by what is read and not granted again, or when the
// peer, idle, returns credit. It is called with mu held.
func (c *Conn) resize(size int) {
	least := min(c.window, initialWindow)
	promised := int(c.recv.limit - c.recv.read)
	switch size = max(size, promised, least); {
	case size > c.window:
		c.window = c.s.windows.grow(c.window, size, growthShare)
	case size < c.window-grantStep/2: // not for each octet
		c.window = c.s.windows.shrink(c.window, size)
	}
}

// settle gives the window back, but for what waits to be read, when nothing
// more is kept for the reader. A peer that answers no RESET and no FIN would
// else hold the windows of all its connections. It is called with mu held.
func (c *Conn) settle() {
	unread := 0
	if !c.recv.closed {
		unread = int(c.recv.received - c.recv.read)
	}
	if c.takesNoMore() && unread < c.window {
		c.window = c.s.windows.shrink(c.window, unread)
	}
}

// takesNoMore reports whether what still comes is not kept for the reader. It
// is called with mu held.
func (c *Conn) takesNoMore() bool { return c.recv.ended || c.refuses() }

// widen raises an accepted connection's credit from what it could send early
// to the initial window, if the sums allow it, and returns it.
func (c *Conn) widen() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.recv.ended {
		c.window = c.s.windows.grow(c.window, initialWindow, initialShare)
		c.recv.limit = max(c.recv.limit, c.recv.read+uint64(c.window))
	}
	return c.recv.limit
}

// creditMessage is the CREDIT that is due now.
func (c *Conn) creditMessage() sctpmh.Message {
	c.mu.Lock()
	c.recv.told = false
	f := frame{typ: typeCredit, epoch: c.epoch, offset: c.recv.limit, returns: c.recv.returns}
	c.mu.Unlock()
	return sctpmh.Message{Stream: c.sid, PPID: ppidCtrl, Unordered: true, Data: f.append(nil)}
}
