package tcpemu

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// ConnStats is what a connection has gone through since it began.
type ConnStats struct {
	Since time.Time // when it was opened

	// Octets of the stream: those that the association has taken, and those
	// that have come, read or not.
	Sent, Received uint64

	// Of the 64 latest failovers of its association, those that it saw, and the
	// longest time that one stood still for.
	Failovers  int
	WorstStall time.Duration
}

// Stats returns the connection's counters, also after its end.
func (c *Conn) Stats() ConnStats {
	c.mu.Lock()
	s := ConnStats{Since: c.since, Sent: c.send.sent, Received: c.recv.received}
	c.mu.Unlock()
	for _, f := range c.Failovers() {
		s.Failovers++
		s.WorstStall = max(s.WorstStall, f.Stall)
	}
	return s
}

// PathsChanged returns a channel that is closed when a path of the connection's
// association next changes its state.
func (c *Conn) PathsChanged() <-chan struct{} { return c.s.assoc.PathsChanged() }

// Association returns what carries the connection.
func (c *Conn) Association() Association { return c.s.association() }

// An Association is one with a peer, as it is at one moment.
type Association struct {
	ID          uint64         // no other of the process has it
	Peer        netip.AddrPort // where it answered the handshake
	Identity    Identity       // who it was found to be, so far
	Dialled     bool           // we made it
	Leaving     bool           // it takes no more connections
	Since       time.Time      // when it was established
	Connections int            // opened by either side
	Paths       []sctpmh.PathInfo
	Failovers   []sctpmh.Failover // the latest 64
	Stats       sctpmh.Stats
}

func (s *session) association() Association {
	a := Association{
		ID: s.assoc.ID(), Peer: s.assoc.Peer().Handshake, Identity: s.identity.now(), Dialled: s.cfg.dialled,
		Since: s.since, Paths: s.assoc.Paths(), Failovers: s.assoc.Failovers(), Stats: s.assoc.Stats(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Leaving, a.Connections = s.away, len(s.conns)
	return a
}

// Associations returns those that the dialer made, the oldest first.
func (d *Dialer) Associations() []Association {
	p := d.pool()
	var all []*session
	p.mu.Lock()
	for m := range p.made {
		if m.by == d && isClosed(m.ready) && m.err == nil {
			all = append(all, m.session)
		}
	}
	p.mu.Unlock()
	return associations(all)
}

// Associations returns those that peers made, the oldest first.
func (l *Listener) Associations() []Association {
	var all []*session
	l.pool.mu.Lock()
	for s := range l.pool.served {
		all = append(all, s)
	}
	l.pool.mu.Unlock()
	return associations(all)
}

func associations(all []*session) (out []Association) {
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.assoc.ID(), b.assoc.ID()) })
	for _, s := range all {
		out = append(out, s.association())
	}
	return out
}
