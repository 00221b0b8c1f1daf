package tcpemu

import (
	"time"
)

// nagle is Nagle's algorithm (RFC 896, RFC 1122 section 4.2.3.4): what does not
// fill a packet is held back while something sent before is unacknowledged.
//
// The acknowledgements of SCTP are those of the association and of no stream,
// and stay below it. What stands for them is a PING behind what was sent,
// ordered on the stream, so that its PONG says that all of it is with the
// peer's host. Octets are held back until then, which is a round trip if
// nothing is lost, and not for longer than holdLimit.
//
// Conn.mu guards it; held grows and shrinks only in the hands of the one who
// writes.
type nagle struct {
	on      bool
	held    []byte      // written, not sent; less than a packet's worth
	unacked bool        // a PING is under way
	forget  func()      // lets it go; nil: there was none
	timer   *time.Timer // of holdLimit
	sending bool        // a goroutine sends what is held
}

const (
	// holdLimit bounds how long octets are held back, whatever the peer answers.
	holdLimit = 500 * time.Millisecond

	// heldRetry is when held octets are tried again that the association had no
	// room for.
	heldRetry = 10 * time.Millisecond
)

// SetNoDelay says whether what is written goes out at once, which is the
// default, or waits to be put together with more while something is
// unacknowledged (Nagle's algorithm). Its error is net.ErrClosed after Close.
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.set(func() {
		switch {
		case c.nagle != nil:
			c.nagle.on = !noDelay
			c.release()
		case !noDelay:
			c.nagle = &nagle{on: true}
		}
	})
}

// put sends a unit behind what is held back, or holds its end back unless it is
// pushed. It is called by the one who writes. n counts the octets of the unit.
func (c *Conn) put(unit []byte, push bool) (n int, err error) {
	c.mu.Lock()
	g := c.nagle
	if g == nil {
		c.mu.Unlock()
		return c.writeUnit(unit)
	}
	before := len(g.held)
	all := append(g.held, unit...)
	now := len(all)
	if g.on && g.unacked && !push {
		now -= now % c.s.assoc.MaxPayload()
	}
	g.held = nil
	c.mu.Unlock()

	sent, err := c.writeUnit(all[:now])
	c.mu.Lock()
	switch {
	case err == nil:
		g.held = all[now:]
		n = len(unit)
	case sent < before:
		g.held = all[sent:before]
	default:
		n = sent - before
	}
	c.mu.Unlock()
	if sent > 0 {
		c.awaitAck()
	}
	return n, err
}

// awaitAck has what was sent acknowledged.
func (c *Conn) awaitAck() {
	c.mu.Lock()
	g := c.nagle
	if !g.on || g.unacked {
		c.mu.Unlock()
		return
	}
	g.unacked = true
	if g.timer == nil {
		g.timer = time.AfterFunc(holdLimit, c.acknowledged) // or the peer does not answer
	} else {
		g.timer.Reset(holdLimit)
	}
	c.mu.Unlock()
	forget := c.s.ping(c.sid, true, c.acknowledged)
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.forget = forget; c.overLocked() {
		forget() // stopTimers may have been before
	}
}

// acknowledged lets go what was held back: what was sent before has arrived.
func (c *Conn) acknowledged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.release()
}

// stop ends the wait for PONG. Conn.mu is held.
func (g *nagle) stop() {
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.forget != nil {
		g.forget()
	}
}

// release is called with mu held.
func (c *Conn) release() {
	g := c.nagle
	if g.unacked {
		g.unacked = false
		g.stop()
	}
	if len(g.held) > 0 && !g.sending {
		g.sending = true
		go c.sendHeld() // ends with the octets sent, or the connection reset
	}
}

// sendHeld sends what is held back. While it waits for credit and room another
// may write, and takes along what is held.
func (c *Conn) sendHeld() {
	for more := true; more; {
		var wait <-chan struct{}
		c.writing <- struct{}{}
		wait, more = c.trySendHeld()
		c.doneWriting()
		if wait != nil {
			<-wait
		}
	}
}

// trySendHeld sends as much of what is held back as goes into one message. It
// returns what to wait for before more can be sent, if anything.
func (c *Conn) trySendHeld() (wait <-chan struct{}, more bool) {
	c.mu.Lock()
	g, s := c.nagle, &c.send
	if g == nil || len(g.held) == 0 || s.ended || s.err != nil {
		if g != nil {
			g.held, g.sending = nil, false
		}
		c.mu.Unlock()
		return nil, false
	}
	k := min(len(g.held), c.s.assoc.MaxPayload(), int(min(s.limit-s.sent, 1<<30)))
	if k == 0 || !s.begun {
		wait = s.changed.Wait()
		c.mu.Unlock()
		return wait, true
	}
	b := g.held[:k:k]
	g.held = g.held[k:]
	s.sent += uint64(k)
	c.mu.Unlock()
	ok, err := c.s.assoc.TrySend(c.message(ppidData, b))
	if ok {
		c.awaitAck()
		return nil, true
	}
	c.mu.Lock()
	s.sent -= uint64(k)
	g.held = append(b, g.held...)
	c.mu.Unlock()
	if err != nil { // the association has ended
		return nil, false
	}
	room := make(chan struct{}) // an association does not tell when it has room
	time.AfterFunc(heldRetry, func() { close(room) })
	return room, true
}
