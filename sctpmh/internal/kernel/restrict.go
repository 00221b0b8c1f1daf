package kernel

import (
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// restriction is which addresses of the peer may be used beside that of the
// handshake. At first it is those that were dialled.
type restriction struct {
	addrs     []netip.Addr
	strict    bool
	undecided bool // Undecided was called, and Restrict was not yet
}

// Restrict says which addresses of the peer, beside that of the handshake, may
// be probed and, once they answered, used. It replaces what was said before;
// at first it is those that were dialled, and none for who accepts. Addresses
// that the peer does not list do not count: the kernel has no way to add one.
//
// The kernel cannot forget an address that the peer lists. One that is not
// permitted is never probed, so it stays unconfirmed and gets no data. One that
// the kernel trusts, because it was dialled (RFC 9260 section 5.4) or answered
// while it was permitted, is not preferred; and when no permitted address works
// any more, so that data would go there, the association is aborted. At most
// what the kernel repeats at that timeout has left by then. With strict the
// association is aborted as soon as the peer lists an address that is not
// permitted.
//
// The error is *NotPermittedError when it was aborted. Later changes are acted
// upon by Recv: somebody has to be waiting there, or call Check.
func (c *Conn) Restrict(permitted []netip.Addr, strict bool) error {
	c.enforcing.Lock()
	defer c.enforcing.Unlock()
	c.mu.Lock()
	c.permit = permit(permitted, strict)
	c.mu.Unlock()
	return c.enforceLocked()
}

// Undecided says that it is yet to be decided which addresses may be used: until
// Restrict is called none is probed or preferred beside that of the handshake.
// But a dial that asks who the peer is before it permits anything must not fail
// because the first answer is late, so an address that was dialled is no reason to
// abort so far: the kernel may repeat there what was not acknowledged. After a
// limit without Restrict none is permitted.
func (c *Conn) Undecided(limit time.Duration) {
	c.enforcing.Lock()
	defer c.enforcing.Unlock()
	c.mu.Lock()
	c.permit = restriction{undecided: true}
	c.mu.Unlock()
	_ = c.enforceLocked() // it aborts only for what Recv will say too
	time.AfterFunc(limit, c.decide)
}

// decide permits nothing where nobody has decided.
func (c *Conn) decide() {
	c.enforcing.Lock()
	defer c.enforcing.Unlock()
	c.mu.Lock()
	late := c.permit.undecided
	c.permit.undecided = false
	c.mu.Unlock()
	if late {
		_ = c.enforceLocked() // Recv says what became of it
	}
}

// Check is for who does not call Recv for a while: it acts upon what became of
// the paths, and reports whether the association still stands. If not, Recv has
// what is left of it.
func (c *Conn) Check() (stands bool) {
	if c.enforce() != nil {
		return false
	}
	err := c.sock.control(func(fd int) error {
		if standing(fd) {
			return nil
		}
		return syscall.ENOTCONN
	})
	return err == nil
}

func permit(addrs []netip.Addr, strict bool) restriction {
	r := restriction{strict: strict}
	for _, a := range addrs {
		r.addrs = append(r.addrs, a.Unmap())
	}
	return r
}

// permits reports whether an address may be used.
func (c *Conn) permits(a netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return a == c.handshake || slices.Contains(c.permit.addrs, a)
}

// enforce makes the kernel's paths what is permitted. It is done by one at a
// time: what was seen of the paths must not be acted upon after somebody else
// has changed what is permitted.
func (c *Conn) enforce() error {
	c.enforcing.Lock()
	defer c.enforcing.Unlock()
	return c.enforceLocked()
}

func (c *Conn) enforceLocked() error {
	c.mu.Lock()
	r := c.permit
	c.mu.Unlock()
	paths, err := c.paths()
	if err == syscall.ENOMEM { // more than maxAddrs
		c.Abort("too many addresses")
		return c.Err()
	}
	if v := judge(paths, r); v.abort != nil {
		c.ended(&NotPermittedError{v.abort})
		c.Close()
		return c.Err()
	} else if v.primary.IsValid() {
		_ = c.SetPrimary(v.primary) // it is gone if that fails, which is an event of its own
	}
	for _, p := range paths {
		c.probe(p, time.Now())
	}
	return nil
}

// probe has a path probed or not, as it is permitted. What has no measured round
// trip is probed now: an address that was dialled is taken to work until it
// does not answer. The caller has enforcing.
func (c *Conn) probe(p Path, now time.Time) {
	if !p.Permitted {
		_ = c.SetHeartbeats(p.Addr, 0)
		return
	}
	if c.SetHeartbeats(p.Addr, c.cfg.HeartbeatInterval) == nil && p.SRTT == 0 && c.asked.due(p.Addr, now) {
		_ = c.Probe(p.Addr)
	}
}

// asked is when addresses were last probed out of turn.
type asked map[netip.Addr]time.Time

// askAgain is the least time between two such probes. The kernel counts one that is
// not answered yet against the path and the association, and says so, which is
// a reason to look at the paths again: without a pause a peer that takes its time
// to permit our addresses is given up within 200 ms.
const askAgain = time.Second

// due reports whether an address may be probed now, and takes it that it is.
func (a asked) due(addr netip.Addr, now time.Time) bool {
	if at, ok := a[addr]; ok && now.Sub(at) < askAgain {
		return false
	}
	a[addr] = now
	return true
}

// A verdict is what has to be done about paths.
type verdict struct {
	abort   []netip.Addr // end the association for the sake of these
	primary netip.Addr   // prefer this, if it is valid
}

// judge compares the paths with what is permitted.
func judge(paths []Path, r restriction) (v verdict) {
	var works, best netip.Addr // of those that are permitted
	var others, dangerous []netip.Addr
	prefer := false
	for _, p := range paths {
		switch {
		case p.Permitted && p.State == Active:
			works = p.Addr
		case p.Permitted && p.Confirmed():
			best = p.Addr
		case !p.Permitted:
			others = append(others, p.Addr)
			prefer = prefer || p.Primary
			if p.State == Active {
				dangerous = append(dangerous, p.Addr)
			}
		}
	}
	switch {
	case r.strict && len(others) > 0:
		v.abort = others
	case !works.IsValid() && len(dangerous) > 0 && !r.undecided:
		v.abort = dangerous
	case prefer && works.IsValid():
		v.primary = works
	case prefer:
		v.primary = best
	}
	return v
}
