package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
)

// shared is an association that is being made or used by the dials to one
// host.
type shared struct {
	ready   chan struct{} // closed when session or err is set
	session *session
	err     error
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
