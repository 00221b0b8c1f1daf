package tcpemu

import "fmt"

// check returns what is inconsistent about a session at rest: one whose
// goroutines all wait, with nothing queued that could go. Whatever a peer sends,
// these hold.
func (s *session) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil { // it keeps nothing, and its books are closed
		if len(s.conns) > 0 {
			return fmt.Errorf("%d connections of a session that has ended", len(s.conns))
		}
		return nil
	}
	if err := s.numbers.check(s.conns); err != nil {
		return err
	}
	beyond := int64(0)
	for sid, c := range s.conns {
		if err := c.check(sid); err != nil {
			return fmt.Errorf("stream %d: %w", sid, err)
		}
		beyond += int64(max(0, c.window-earlyCredit))
	}
	switch {
	// What connections may have come is counted. There can be more: what a
	// connection that is over has waiting for its reader.
	case beyond > s.windows.beyond.Load():
		return fmt.Errorf("the sum of windows is %d, connections have %d", s.windows.beyond.Load(), beyond)
	// What every connection gets from the start is the only credit beyond the
	// bound.
	case s.windows.beyond.Load() > s.windows.of.assoc():
		return fmt.Errorf("windows of %d octets", s.windows.beyond.Load())
	// Nothing waits for a HELLO that has come.
	case s.hello && len(s.early) > 0, len(s.early) > maxEarly, s.out.len() > maxQueued:
		return fmt.Errorf("%d messages wait for HELLO, %d to be sent", len(s.early), s.out.len())
	}
	return nil
}

// check is for the numbers that we open. Each one that was ever taken is in use
// or free, not both and not twice, or connections would run out or meet.
func (n *numbers) check(conns map[uint16]*Conn) error {
	taken, seen := 0, make(map[uint16]bool)
	for sid := range conns {
		if n.ours(sid) {
			taken++
		}
	}
	for _, sid := range n.free {
		if !n.ours(sid) || int(sid) >= n.next || conns[sid] != nil || seen[sid] {
			return fmt.Errorf("stream %d is among the free ones: %v", sid, n.free)
		}
		seen[sid] = true
	}
	if first := 2 - n.next%2; n.next-first != 2*(taken+len(n.free)) {
		return fmt.Errorf("of the streams before %d, %d are in use and %d free", n.next, taken, len(n.free))
	}
	return nil
}

// check is for one connection.
func (c *Conn) check(sid uint16) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, w := &c.recv, &c.send
	unread := 0
	for _, b := range r.chunks {
		unread += len(b)
	}
	switch {
	case sid == 0 || c.sid != sid:
		return fmt.Errorf("its connection is that of stream %d", c.sid)
	// It would never be free again.
	case r.ended && w.ended:
		return fmt.Errorf("both directions have ended, and it is not forgotten")
	// The peer sent what it was allowed to, and so did we.
	case r.received > r.limit || w.sent > w.limit:
		return fmt.Errorf("%d octets received of %d, %d sent of %d", r.received, r.limit, w.sent, w.limit)
	// Everything received is kept until it is read.
	case !r.closed && r.err == nil && uint64(unread) != r.received-r.read:
		return fmt.Errorf("%d octets received and %d read, %d kept", r.received, r.read, unread)
	// Nobody reads a direction that was closed.
	case r.closed && unread > 0:
		return fmt.Errorf("%d octets kept for nobody", unread)
	}
	return nil
}
