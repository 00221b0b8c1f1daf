package ftp

import (
	"net/netip"
	"sync"
	"time"
)

// Port is where FTP servers await control connections (RFC 959 section 8).
const Port = 21

// lifetime is how long an announcement holds. A client announces right before
// the command that has the server connect.
const lifetime = 60 * time.Second

// Controls are the control connections that are open at a moment, each with
// what its owner knows of it.
//
// A control connection has one announcement at most: the data connection is one
// at a time, and a later PORT takes the place of an earlier one (RFC 959
// section 3.2). So who announces without end makes nothing grow.
type Controls[E any] struct {
	mu   sync.Mutex // leaf; guards what follows, and the announcements
	live map[*Control[E]]struct{}
}

// A Control is a control connection.
type Control[E any] struct {
	of      *Controls[E]
	owner   E
	may     func(netip.Addr) bool
	scanner scanner // of who calls Saw

	at    netip.AddrPort // where the client awaits a connection; invalid: nowhere
	until time.Time
}

// Follow begins to follow a control connection. Its Close must be called when
// it has ended. may says at which addresses its client may await connections;
// nil: at any.
func (s *Controls[E]) Follow(owner E, may func(netip.Addr) bool) *Control[E] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		s.live = make(map[*Control[E]]struct{})
	}
	c := &Control[E]{of: s, owner: owner, may: may}
	s.live[c] = struct{}{}
	return c
}

// Close forgets a control connection. What its client awaited is over.
func (c *Control[E]) Close() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	delete(c.of.live, c)
}

// Saw takes what the client sends, in order, before the server can have it: the
// server may connect as soon as it has. It is called by one goroutine at a time.
func (c *Control[E]) Saw(piece []byte, now time.Time) {
	c.scanner.scan(piece, func(at netip.AddrPort) {
		if at.IsValid() && c.may != nil && !c.may(at.Addr()) {
			at = netip.AddrPort{}
		}
		c.of.mu.Lock()
		defer c.of.mu.Unlock()
		c.at, c.until = at, now.Add(lifetime)
	})
}

// Take returns the owner of the control connection on which a connection to an
// address was announced, of those that fit, which is called with the lock held.
// The connection is awaited no more then. Two that announce the same are one too
// many: one of them is after what is the other's, and neither gets it.
func (s *Controls[E]) Take(at netip.AddrPort, now time.Time, fits func(E) bool) (owner E, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := 0
	if !at.IsValid() {
		return owner, false
	}
	for c := range s.live {
		if c.at == at && now.Before(c.until) && fits(c.owner) {
			owner, c.at = c.owner, netip.AddrPort{}
			found++
		}
	}
	return owner, found == 1
}
