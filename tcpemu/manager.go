package tcpemu

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// key is what dials have in common that may share an association: the own
// name, and the peer's together with how it was proved. So an association that
// was made on weaker proof never serves a dial that has a stronger one.
//
// The UDP port is part of it because a capability record can name any port of
// somebody else's host, and another user of that host may be behind it: his
// association must not get what is meant for the host.
type key struct {
	own  string
	peer Identity
	port uint16
}

// keyOf returns the key of a host. It is the zero key without a proved name:
// an association with such a host must never serve another dial (premeditated
// redirection, RFC 4218 section 4.1.3).
func (d *Dialer) keyOf(host *Endpoint) (k key) {
	if host.Name != "" && len(host.Remotes) > 0 && d.Policy != Isolate {
		k = key{own: d.Name, peer: host.Identity, port: host.Remotes[0].Port()}
		k.peer.Name = host.Name
	}
	return k
}

// A member is a session that dials may use, or will be once it is ready.
type member struct {
	by   *Dialer // who makes it; nil: the peer made it
	key  key     // the zero key: it serves one dial only
	host Endpoint

	ready   chan struct{} // closed when session or err is set
	session *session
	err     error
	givenUp bool // the dial that made it was, so that err says nothing of the host

	left    chan struct{} // closed when no further dial is to use it
	primary pair          // see Spread; guarded by the pool's mu
}

// A pool is the sessions of a host: those that its dialers made and those that
// peers made. Each dialer has one, or that of its Listener.
type pool struct {
	mu       sync.Mutex            // leaf; guards what follows
	made     map[*member]struct{}  // by dialers, until they end
	groups   map[key][]*member     // those of them that further dials use
	served   map[*session]struct{} // made by peers
	greeted  map[uint64]*session   // those of them that had their HELLO, by its nonce
	accepted []*member             // those of them whose name was verified
}

// join returns the member that is to serve a dial. A fresh one is for the
// caller to make.
func (p *pool) join(d *Dialer, host *Endpoint) (m *member, fresh bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.alive().Err() != nil {
		return nil, false, net.ErrClosed
	}
	m = &member{by: d, key: d.keyOf(host), host: *host, ready: make(chan struct{}), left: make(chan struct{})}
	if m.key != (key{}) {
		g := p.groups[m.key]
		if len(g) >= d.associations() {
			return d.draw(g), false, nil
		}
		if p.groups == nil {
			p.groups = make(map[key][]*member)
		}
		p.groups[m.key] = append(g, m)
	}
	if p.made == nil {
		p.made = make(map[*member]struct{})
	}
	p.made[m] = struct{}{}
	d.running.Go(func() { p.follow(m) }) // ends with the association
	return m, true, nil
}

// alive ends with Close. The pool's mu is held.
func (d *Dialer) alive() context.Context {
	if d.life == nil {
		d.life, d.end = context.WithCancel(context.Background())
	}
	return d.life
}

// leave has further dials use another member. One that a dialer made drains
// then.
func (p *pool) leave(m *member) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if g := slices.DeleteFunc(p.groups[m.key], func(x *member) bool { return x == m }); len(g) > 0 {
		p.groups[m.key] = g
	} else {
		delete(p.groups, m.key)
	}
	if !isClosed(m.left) {
		close(m.left)
	}
}

// remove forgets a member.
func (p *pool) remove(m *member) {
	p.leave(m)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, m)
}

// follow accompanies a member that a dialer made. It ends with the
// association.
func (p *pool) follow(m *member) {
	<-m.ready
	if m.err != nil {
		return
	}
	s := m.session
	s.watch(&m.by.running, m.by.Resolver, m.host.Identity)
	greeted := s.greeted
	idle := time.NewTimer(unusedLimit)
	defer idle.Stop()
	for !isClosed(s.assoc.Done()) {
		var moved <-chan struct{}
		if m.by.Policy == Spread {
			moved = s.assoc.PathsChanged()
			p.spread(m)
		}
		select {
		case <-greeted:
			greeted = nil
			p.merge()
		case <-moved:
		case <-idle.C:
			rest := unusedLimit - s.unused()
			if rest <= 0 {
				p.leave(m)
			}
			idle.Reset(max(rest, 0))
		case <-m.left:
			s.close(context.Background())
		case <-s.assoc.Done():
		}
	}
	s.running.Wait()
	p.remove(m)
}

// admit has dials use an association that a peer made, who was verified since.
func (p *pool) admit(own string, s *session, peer Identity) {
	if peer.Name == "" {
		return
	}
	from := s.assoc.Peer().Handshake
	m := &member{key: key{own: own, peer: peer, port: from.Port()}, session: s, ready: make(chan struct{}), left: make(chan struct{})}
	close(m.ready)
	p.mu.Lock()
	p.accepted = append(p.accepted, m)
	p.mu.Unlock()
	if isClosed(s.assoc.Done()) {
		p.dismiss(s) // it may have been too early before
		return
	}
	p.merge()
}

// enter takes in a session that a peer made.
func (p *pool) enter(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.served == nil {
		p.served = make(map[*session]struct{})
	}
	p.served[s] = struct{}{}
}

// greet notes the nonce of a HELLO and returns the session that had the same
// one: the dialler of both had no answer for long, and has said everything again.
func (p *pool) greet(s *session, nonce uint64) (former *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.greeted == nil {
		p.greeted = make(map[uint64]*session)
	}
	former = p.greeted[nonce]
	p.greeted[nonce] = s
	return former
}

// dismiss ends what enter, greet and admit began.
func (p *pool) dismiss(s *session) {
	nonce := s.peerNonce()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.served, s)
	if p.greeted[nonce] == s {
		delete(p.greeted, nonce)
	}
	p.accepted = slices.DeleteFunc(p.accepted, func(m *member) bool { return m.session == s })
}

// peerMade returns the member but for one that a peer made and that may serve
// dials to a host; nil: there is none.
//
// That the peer's name is the host's is not enough. Any user of that host can
// make an association with us from some UDP port of his own and claim the
// host's name, to which his address does belong; what is dialled would go to
// him. So it has to come from where a dial would go, the UDP port included.
// Without UDP, who made it cannot be told from others, and it is not used.
func (p *pool) peerMade(k key, host *Endpoint, but *member) (best *member) {
	p.mu.Lock()
	all := slices.Clone(p.accepted)
	p.mu.Unlock()
	for _, m := range all {
		if m != but && m.lends(k, host) && m.session.welcomes() && (best == nil || m.session.compare(best.session) < 0) {
			best = m
		}
	}
	return best
}

// lends reports whether a member that a peer made is one with a host; see
// peerMade.
func (m *member) lends(k key, host *Endpoint) bool {
	from := m.session.assoc.Peer().Handshake
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return m.key.own == k.own && m.key.peer.covers(k.peer) && slices.Contains(host.Remotes, from)
}

// merge leaves one of the two associations that hosts make with each other
// when both begin at once. Both know the nonces of each, whatever carries it;
// the one with the smaller pair stays. Who made the other drains it, and only
// he: nobody else knows that he has found the one that stays to be the peer's.
func (p *pool) merge() {
	p.mu.Lock()
	var all []*member
	for _, g := range p.groups {
		for _, m := range g {
			if m.by.Policy == Shared && isClosed(m.ready) && m.err == nil && isClosed(m.session.greeted) {
				all = append(all, m)
			}
		}
	}
	p.mu.Unlock()
	for _, m := range all {
		if other := p.peerMade(m.key, &m.host, nil); other != nil && other.session.compare(m.session) < 0 {
			p.leave(m)
		}
	}
}

// compare orders sessions the same way at both ends. Both have had their HELLO.
func (s *session) compare(o *session) int {
	return cmp.Or(cmp.Compare(min(s.nonce, s.peer.nonce), min(o.nonce, o.peer.nonce)),
		cmp.Compare(max(s.nonce, s.peer.nonce), max(o.nonce, o.peer.nonce)))
}

// pool returns the dialer's, or its listener's.
func (d *Dialer) pool() *pool {
	if d.Listener != nil {
		return &d.Listener.pool
	}
	return &d.own
}

// dialHost opens a connection over an association with a host. It tries a
// second one when the peer has done nothing of what the first was asked for;
// also when the first was an old one that turned out to be dead, as after a
// restart of the peer, unless it may have got early octets.
func (d *Dialer) dialHost(ctx context.Context, host Endpoint, r *request) (*Conn, error) {
	p := d.pool()
	var tried *member
	for {
		m, fresh, first, err := d.memberFor(ctx, &host, tried, r)
		if err != nil {
			return nil, err
		}
		var c *Conn
		if fresh {
			c, err = m.session.await(ctx, r, first)
		} else {
			c, err = m.session.open(ctx, r)
		}
		if m.key == (key{}) {
			p.leave(m) // it ends with the one connection
		}
		if err == nil {
			c.laddr.Host, c.raddr = d.Name, r.remote
			return c, nil
		}
		again := undone(err) || !fresh && len(r.early) == 0 && !m.session.usable()
		if tried != nil || !again || ctx.Err() != nil {
			return nil, err
		}
		p.leave(m)
		tried = m
	}
}

// memberFor returns a member that is ready to serve a dial to a host, other
// than the one that was tried. A fresh one was made for this dial, and its
// connection is the first to be opened.
func (d *Dialer) memberFor(ctx context.Context, host *Endpoint, tried *member, r *request) (m *member, fresh bool, first opening, err error) {
	p := d.pool()
	for {
		if m := d.reuse(host, tried); m != nil {
			return m, false, first, nil
		}
		m, fresh, err := p.join(d, host)
		if err != nil {
			return nil, false, first, err
		}
		if fresh {
			first = d.make(ctx, m, r)
			return m, true, first, m.err
		}
		select {
		case <-m.ready:
		case <-ctx.Done():
			return nil, false, first, ctx.Err()
		}
		switch {
		case m.givenUp && ctx.Err() == nil: // that dial was, this one is not
		case m.err != nil:
			return nil, false, first, m.err
		case m.session.usable():
			return m, false, first, nil
		default:
			p.leave(m)
		}
	}
}

// reuse returns the member that a peer made, when it can serve a dial and there
// is none of our own.
func (d *Dialer) reuse(host *Endpoint, tried *member) *member {
	k, p := d.keyOf(host), d.pool()
	p.mu.Lock()
	own := len(p.groups[k]) > 0 || d.alive().Err() != nil
	p.mu.Unlock()
	if own || k == (key{}) || d.Policy != Shared {
		return nil
	}
	return p.peerMade(k, host, tried)
}

// make makes a member's association, unless Close comes first, and opens the
// first connection with it.
func (d *Dialer) make(ctx context.Context, m *member, r *request) (first opening) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	if m.session, first, m.err = d.connect(ctx, m, r); m.err != nil {
		m.givenUp = ctx.Err() != nil
		if d.life.Err() != nil {
			m.err = net.ErrClosed
		}
		d.pool().remove(m)
	}
	close(m.ready)
	return first
}

func hostError(name string, err error) error {
	if name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// Close ends the associations that the dialer made: no new connections, and
// running ones may go on until ctx ends. It returns when no goroutine of the
// dialer is left. The endpoint stays open.
func (d *Dialer) Close(ctx context.Context) error {
	p := d.pool()
	var all []*member
	p.mu.Lock()
	d.alive()
	d.end()
	for m := range p.made {
		if m.by == d {
			all = append(all, m)
		}
	}
	p.mu.Unlock()
	for _, m := range all {
		d.running.Go(func() { // ends when its session is closed, bounded by ctx
			<-m.ready
			if m.session != nil {
				m.session.close(ctx)
			}
		})
	}
	d.running.Wait()
	return nil
}
