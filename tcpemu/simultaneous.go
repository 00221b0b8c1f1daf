package tcpemu

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
)

// Two programs that dial each other, each from the port that the other one
// dials, get one connection (RFC 9293 section 3.5, simultaneous open). OPEN says
// for that from which port it comes. A dial takes what comes from the port that
// it dials to the one that it comes from, and from the host that it dials: over an
// association over which it could go itself, and no other. What the peer says of
// its ports thus gets it nothing but a connection that was meant for it.
//
//	                         peer's OPEN comes first, or ours is the lesser
//	dialling --------------------------------------> accept it, reset ours
//	   | peer's OPEN comes, ours is the greater
//	   v
//	holding it --ours is accepted-> refuse it      --ours fails-> accept it
//
// Both ends compare the same two, so that one of them accepts and the other one
// holds. Where only one of the ends takes the two for a pair, the other end's
// program is asked as always.

// A call is a dial from a port.
type call struct {
	d      *Dialer
	from   uint16
	to     Addr
	hosts  []Endpoint // that it may go to
	cancel context.CancelFunc
	joined chan *Conn // has the peer's, or nil, once taken is set

	mu    sync.Mutex // leaf, but for a session's before it; guards what follows
	own   *Conn      // our OPEN, once it is queued
	taken bool       // the peer's was, so that ours must not follow
	held  *Open      // the peer's, which waits for the answer to ours
	over  bool
}

// errJoined is for an OPEN that does not follow the peer's.
var errJoined = fmt.Errorf("the peer has dialled as well, and has reset the connection: %w", syscall.ECONNRESET)

// DialFrom connects to a host and port from an own port, over an association and
// without a gateway. When a program at the host dials back from there at the same
// time, both get the same connection, if the dialer has a Listener. Meanwhile
// nobody else can dial from that port to there: the error is then
// syscall.EADDRINUSE. Others are those of DialContext.
func (d *Dialer) DialFrom(ctx context.Context, from uint16, address string) (net.Conn, error) {
	host, port, err := splitTarget(address)
	remote := Addr{Host: host, Port: port}
	if err == nil && (from == 0 || port == 0 || d.Via != "") {
		err = syscall.EINVAL
	}
	if err != nil {
		return nil, d.opError(remote, err)
	}
	c, err := d.call(ctx, from, remote)
	if err != nil {
		return nil, d.opError(remote, err)
	}
	c.laddr = Addr{Host: d.Name, Port: from}
	return c, nil
}

func (d *Dialer) call(ctx context.Context, from uint16, to Addr) (*Conn, error) {
	targets, err := d.resolve(ctx, to.Host, to.Port)
	if err != nil {
		return nil, &NameError{Name: to.Host, Err: err}
	}
	hosts, err := d.hosts(ctx, to.Host, targets)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k := &call{d: d, from: from, to: to, hosts: hosts, cancel: cancel, joined: make(chan *Conn, 1)}
	if d.Listener != nil {
		if err := d.Listener.begin(k); err != nil {
			return nil, err
		}
		defer d.Listener.backlog.end(k)
	}
	c, err := d.dialMH(ctx, hosts, &request{target: Target{Port: to.Port}, hops: d.Hops, remote: to, call: k})
	return k.finish(ctx, c, err)
}

// finish decides between our OPEN, which ended as c and err, and the peer's.
func (k *call) finish(ctx context.Context, c net.Conn, err error) (*Conn, error) {
	k.mu.Lock()
	k.over = true
	taken, held := k.taken, k.held
	k.mu.Unlock()
	own, _ := c.(*Conn)
	var theirs *Conn
	switch {
	case taken:
		theirs = <-k.joined
	case held != nil && err == nil:
		held.Reject(CodeRefused, "it is connected already")
	case held != nil && ctx.Err() != nil:
		held.Reject(CodeTimeout, "")
	case held != nil:
		theirs, _ = held.Accept(netip.AddrPort{})
	}
	if theirs == nil {
		return own, err
	}
	if err == nil {
		own.Reset()
	}
	theirs.raddr = k.to
	return theirs, nil
}

// meet gives a call the peer's OPEN. It reports false when that is not its.
func (k *call) meet(o *Open) bool {
	k.mu.Lock()
	own := k.own
	k.mu.Unlock()
	if own != nil && own.isAccepted() {
		return false
	}
	k.mu.Lock()
	switch {
	case k.over || k.taken || k.held != nil || k.own != own:
		k.mu.Unlock()
		return false
	case own != nil && !isClosed(own.answered) && k.precedes(o):
		k.held = o
		k.mu.Unlock()
		return true
	}
	k.taken = true
	k.mu.Unlock()
	c, err := o.Accept(netip.AddrPort{})
	if err == nil {
		k.cancel()
	}
	k.joined <- c
	return true
}

// precedes reports whether our OPEN, and not the peer's, is to be the connection.
// mu is held.
func (k *call) precedes(o *Open) bool {
	if k.own.epoch == o.conn.epoch {
		return k.from > o.FromPort
	}
	return k.own.epoch > o.conn.epoch
}

func (c *Conn) isAccepted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.accepted
}

// matches reports whether an OPEN is from and to the ports of the call.
func (k *call) matches(o *Open) bool {
	return o.Target.Own() && o.FromPort == k.to.Port && o.Target.Port == k.from
}

// goesOver reports whether the call may go over a session.
func (k *call) goesOver(s *session) bool {
	return slices.ContainsFunc(k.hosts, func(h Endpoint) bool { return k.d.pool().serves(k.d.keyOf(&h), &h, s) })
}

// serves reports whether dials to a host may go over a session.
func (p *pool) serves(k key, host *Endpoint, s *session) bool {
	if k == (key{}) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for m := range p.made {
		if m.key == k && isClosed(m.ready) && m.session == s {
			return true
		}
	}
	return slices.ContainsFunc(p.accepted, func(m *member) bool { return m.session == s && m.lends(k, host) })
}

// begin has a call take what waits for it already, and what comes.
func (l *Listener) begin(k *call) error {
	waiting, err := l.backlog.begin(k)
	l.replace(waiting)
	return err
}

// place gives a connection to the dial that it meets, or to those who accept.
func (l *Listener) place(o *Open) error {
	var tried []*call
	for {
		k, err := l.backlog.put(o, tried)
		switch {
		case k == nil && l.open.Err() != nil:
			l.backlog.refuse(CodeAway) // Close may have done so already
			return err
		case k == nil || k.goesOver(o.conn.s) && k.meet(o):
			return err
		}
		tried = append(tried, k)
	}
}

// replace places what has waited, unless the peer has reset it meanwhile.
func (l *Listener) replace(waiting []*Open) {
	for _, o := range waiting {
		if o.conn.over() {
			continue
		}
		if err := l.place(o); err != nil {
			o.Reject(CodeOf(err), err.Error())
		}
	}
}

// errPortInUse is for a dial from a port to where another one goes from there.
func errPortInUse(k *call) error {
	return fmt.Errorf("port %d is being dialled from: %w", k.from, syscall.EADDRINUSE)
}
