package tcpemu

// maxRelayed bounds the probes of a connection that are under way to the far end
// of another one; further ones are dropped. A peer that probes without end would
// else fill the queue of an association that others use too.
const maxRelayed = 16

// A relay has a connection's keepalive probes answered by the far end of another
// one. Conn.mu guards it.
type relay struct {
	to      *Conn
	pending map[uint64]func() // lets go of a probe under way, by the peer's mark on it
}

// RelayProbes is for who passes the octets of two connections on to each other,
// as a gateway between two associations: keepalive probes of each one's peer are
// passed on as well, and answered when the other's peer has answered. So they
// find out whether the farthest end is there, and not only this host.
//
// Where the other connection is one of TCP there is no probe to pass on; see
// Conn.SetKeepAlive.
func RelayProbes(a, b *Conn) {
	for from, to := range map[*Conn]*Conn{a: b, b: a} {
		from.mu.Lock()
		from.relay = &relay{to: to, pending: make(map[uint64]func())}
		from.mu.Unlock()
	}
}

// relayProbe passes a probe of the peer on. It reports false where this host is
// to answer it.
func (c *Conn) relayProbe(mark uint64) bool {
	c.mu.Lock()
	r := c.relay
	if r == nil || c.overLocked() {
		c.mu.Unlock()
		return false
	}
	_, twice := r.pending[mark]
	drop := twice || len(r.pending) >= maxRelayed
	if !drop {
		r.pending[mark] = func() {}
	}
	c.mu.Unlock()
	if drop || r.to.over() {
		return true
	}
	forget := r.to.s.ping(r.to.sid, false, func() { c.relayed(mark) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := r.pending[mark]; ok {
		r.pending[mark] = forget
	} else {
		forget() // the connection has ended meanwhile
	}
	return true
}

// relayed answers a probe of the peer.
func (c *Conn) relayed(mark uint64) {
	c.mu.Lock()
	_, ok := c.relay.pending[mark]
	delete(c.relay.pending, mark)
	c.mu.Unlock()
	if ok {
		c.s.enqueue(c.sid, &frame{typ: typePong, opaque: mark})
	}
}

// over reports whether nothing passes any more: its number may be another
// connection's by now.
func (c *Conn) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.overLocked()
}

// stop forgets what is under way. Conn.mu is held.
func (r *relay) stop() {
	for _, forget := range r.pending {
		forget()
	}
	clear(r.pending)
}
