package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

var errWrongHint = errors.New("the host's own records do not have the address")

// dialHints shakes hands with a peer where its record says that it may be, while
// it is not known yet where it is (RFC 9460 section 7.3). The connection that
// comes of that is used when the answers have its address. The right addresses
// are dialled when they are known, after a while if the hints are among them.
//
// Until then who answers at a hint may be anybody: his refusal is no answer, and
// he gets HELLO and OPEN, but no octet of the user's.
func (d *Dialer) dialHints(ctx context.Context, peer string, targets Targets, r *request) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	var (
		hosts []Endpoint
		err   error
		known = make(chan struct{})
	)
	go func() { // ends with the dial
		defer close(known)
		hosts, err = d.hosts(ctx, peer, targets)
	}()
	defer func() {
		cancel()
		<-known
	}()
	alone := &request{target: r.target, hops: r.hops, remote: r.remote}
	attempts := []attempt[*Conn]{
		{run: func(ctx context.Context) (*Conn, error) {
			asked := *alone
			asked.hint = true
			c, failure := d.dialMH(ctx, targets.Hints, &asked)
			if failure != nil {
				return nil, fmt.Errorf("at the hints of its record: %v", failure) // not wrapped: no answer
			}
			from := c.s.assoc.Peer().Handshake
			from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
			if arrives(ctx, known) {
				if i := slices.IndexFunc(hosts, func(h Endpoint) bool { return slices.Contains(h.Remotes, from) }); i >= 0 {
					d.confirm(c.s, &hosts[i])
					return c, nil
				}
			}
			discard(c)
			return nil, fmt.Errorf("at the hint %v of its record: %w", from, errWrongHint)
		}},
		{run: func(ctx context.Context) (*Conn, error) {
			if !arrives(ctx, known) {
				return nil, ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			if slices.ContainsFunc(targets.Hints, func(h Endpoint) bool {
				return slices.ContainsFunc(h.Remotes, func(a netip.AddrPort) bool { return has(hosts, a) })
			}) {
				pause(ctx, attemptDelay)
			}
			return d.dialMH(ctx, hosts, alone)
		}},
	}
	end := race(ctx, attempts, isAnswer, func(c *Conn) { discard(c) })
	if end.winner < 0 {
		return nil, errors.Join(end.errs...)
	}
	return writeEarly(ctx, end.value, r.early, nil)
}

// confirm has a session know whose it is: the host that a hint turned out to be.
func (d *Dialer) confirm(s *session, host *Endpoint) {
	if p := s.assoc.Peer(); host.Permit != nil {
		s.assoc.Permit(host.Permit(p.Handshake.Addr(), p.Listed, p.Silent))
	}
	s.identity.resolve(host.Identity, nil)
	pool := d.pool()
	pool.mu.Lock()
	defer pool.mu.Unlock()
	if d.alive().Err() == nil { // nobody waits for the dialer's goroutines yet
		s.watch(&d.running, d.Resolver, host.Identity)
	}
}

// has reports whether an address is of one of the hosts.
func has(hosts []Endpoint, a netip.AddrPort) bool {
	return slices.ContainsFunc(hosts, func(h Endpoint) bool { return slices.Contains(h.Remotes, a) })
}

// arrives waits for a channel to be closed, and reports whether ctx lasts so long.
func arrives(ctx context.Context, known <-chan struct{}) bool {
	select {
	case <-known:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// pause waits a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
