package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/sctpmh/mh/sctpmh"
)

// A Dialer opens connections. Those to one host share an association, which
// is made on first use. Methods may be called from any goroutine; fields are
// not to be changed after the first dial.
type Dialer struct {
	// Endpoint is the local end.
	Endpoint *sctpmh.Endpoint

	// Resolver turns names into hosts that speak mh. Nil: only IP literals
	// with the port of the peer's endpoint in DefaultUDPPort can be dialled.
	Resolver Resolver

	// Name is the own name, claimed towards peers that may verify it. It is
	// sent in clear.
	Name string

	// Via names a gateway that every connection goes through: it is asked to
	// reach the target.
	Via string

	// Hops counts the gateways that a connection has passed already; a
	// gateway that dials on sets it.
	Hops uint8

	// Logger gets breaches of protocol. Nil: none.
	Logger *slog.Logger

	mu       sync.Mutex // leaf
	sessions map[string]*shared
	closed   bool
}

// MaxHops is how many gateways a connection may pass.
const MaxHops = 4

// DefaultUDPPort is the UDP port of a peer that is dialled by its address
// (RFC 6951 section 7).
const DefaultUDPPort = 9899

// shared is an association that is being made or used by the dials to one
// host.
type shared struct {
	ready   chan struct{} // closed when session or err is set
	session *session
	err     error
}

// DialContext connects to a host and port over an association. network is
// "mh", or one of TCP's so that the method fits where net.Dialer's does. Its
// errors say which name and addresses failed; errors.Is finds
// syscall.ECONNREFUSED and so on in them.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := splitTarget(address)
	if err != nil {
		return nil, d.opError(Addr{Host: address}, err)
	}
	remote := Addr{Host: host, Port: port}
	t := Target{Port: port}
	peer := d.Via
	if peer == "" {
		peer = host
	} else if t.Addr, err = netip.ParseAddr(host); err != nil {
		t.Addr, t.Name = netip.Addr{}, host
	}
	c, err := d.dial(ctx, peer, t, remote)
	if err != nil {
		return nil, d.opError(remote, err)
	}
	return c, nil
}

// dial connects to a target at or behind a peer.
func (d *Dialer) dial(ctx context.Context, peer string, t Target, remote Addr) (*Conn, error) {
	targets, err := d.resolve(ctx, peer, t.Port)
	if err != nil {
		return nil, err
	}
	if len(targets.MH) == 0 {
		return nil, fmt.Errorf("%s does not speak mh: %s: %w", peer, targets.Reason, syscall.EPROTONOSUPPORT)
	}
	var errs []error
	for _, host := range targets.MH {
		c, err := d.dialHost(ctx, host, t, remote)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		var refused *RefusedError
		if errors.As(err, &refused) || ctx.Err() != nil {
			break // the host has answered for its name
		}
	}
	return nil, errors.Join(errs...)
}

// resolve finds the hosts of a peer's name or address.
func (d *Dialer) resolve(ctx context.Context, peer string, port uint16) (Targets, error) {
	if a, err := netip.ParseAddr(peer); err == nil && d.Resolver == nil {
		return Targets{MH: []Endpoint{{Remotes: []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), DefaultUDPPort)}, Identity: Identity{Binding: "none"}}}}, nil
	}
	if d.Resolver == nil {
		return Targets{}, fmt.Errorf("cannot resolve %s: the dialer has no resolver", peer)
	}
	return d.Resolver.Resolve(ctx, peer, port)
}

// dialHost opens a connection over the association with a host. One that
// takes no more connections, or has just ended, is replaced once.
func (d *Dialer) dialHost(ctx context.Context, host Endpoint, t Target, remote Addr) (*Conn, error) {
	for attempt := 0; ; attempt++ {
		s, fresh, err := d.sessionTo(ctx, host)
		if err != nil {
			return nil, err
		}
		c, err := s.open(ctx, &frame{target: t, hops: d.Hops})
		if err == nil {
			c.laddr.Host, c.raddr = d.Name, remote
			return c, nil
		}
		if attempt == 0 && !fresh && !s.usable() {
			d.drop(host.Name, s)
			continue
		}
		return nil, err
	}
}

// sessionTo returns the session with a host: one that there is, one that
// another dial is making, or a new one. Hosts without a proved name have
// sessions of their own for each dial: their association must never serve a
// dial to another name (threats: premeditated redirection).
func (d *Dialer) sessionTo(ctx context.Context, host Endpoint) (s *session, fresh bool, err error) {
	key := host.Name
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, false, net.ErrClosed
	}
	sh := d.sessions[key]
	mine := sh == nil || key == ""
	if mine {
		sh = &shared{ready: make(chan struct{})}
		if d.sessions == nil {
			d.sessions = make(map[string]*shared)
		}
		if key == "" {
			key = fmt.Sprintf("\x00%p", sh)
		}
		d.sessions[key] = sh
	}
	d.mu.Unlock()
	if mine {
		sh.session, sh.err = d.connect(ctx, host)
		if sh.err != nil {
			d.remove(key, sh)
		} else {
			go d.follow(key, sh) // ends with the association
		}
		close(sh.ready)
		return sh.session, true, sh.err
	}
	select {
	case <-sh.ready:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if isContext(sh.err) && ctx.Err() == nil {
		return d.sessionTo(ctx, host) // the other dial was given up, this one is not
	}
	return sh.session, false, sh.err
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// connect makes an association with a host and starts a session on it.
func (d *Dialer) connect(ctx context.Context, host Endpoint) (*session, error) {
	a, err := d.Endpoint.Dial(ctx, host.Remotes)
	if err != nil {
		return nil, hostError(host.Name, err)
	}
	p := a.Peer()
	if p.Adaptation != AdaptationCode {
		a.Abort("adaptation layer indication is not 0x6d680001")
		return nil, hostError(host.Name, fmt.Errorf("%v speaks SCTP but not tcpemu (adaptation %#x): %w", p.Handshake, p.Adaptation, syscall.EPROTO))
	}
	if host.Permit != nil {
		a.Permit(host.Permit(p.Handshake.Addr(), p.Listed, p.Silent))
	}
	log := d.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := newSession(a, d.Name, log, nil, nil)
	s.identity.resolve(host.Identity, nil)
	return s, nil
}

func hostError(name string, err error) error {
	if name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// follow forgets a session when its association has ended.
func (d *Dialer) follow(key string, sh *shared) {
	<-sh.session.assoc.Done()
	sh.session.running.Wait()
	d.remove(key, sh)
}

// drop has the next dial make a new session.
func (d *Dialer) drop(name string, s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if sh := d.sessions[name]; sh != nil && sh.session == s {
		delete(d.sessions, name)
	}
}

func (d *Dialer) remove(key string, sh *shared) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sessions[key] == sh {
		delete(d.sessions, key)
	}
}

// Close ends the associations that the dialer made, after letting running
// connections go on until ctx ends. The endpoint stays open.
func (d *Dialer) Close(ctx context.Context) error {
	d.mu.Lock()
	d.closed = true
	var all []*shared
	for _, sh := range d.sessions {
		all = append(all, sh)
	}
	d.mu.Unlock()
	var wg sync.WaitGroup
	for _, sh := range all {
		wg.Go(func() { // ends when its session is closed, bounded by ctx
			<-sh.ready
			if sh.session != nil {
				sh.session.close(ctx)
			}
		})
	}
	wg.Wait()
	return nil
}

func (d *Dialer) opError(remote Addr, err error) error {
	return &net.OpError{Op: "dial", Net: "mh", Addr: remote, Err: err}
}
