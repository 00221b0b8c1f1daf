package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/sctpmh/mh/sctpmh"
)

// connect makes an association with a host, a session on it, and opens the first
// connection: HELLO, OPEN and early octets leave with the COOKIE ECHO, as far as
// they fit, so that the answer to a request is here two round trips after the
// dial.
func (d *Dialer) connect(ctx context.Context, m *member, r *request) (s *session, first opening, err error) {
	host, cfg := &m.host, d.sessionConfig(m)
	open := func(a *sctpmh.Assoc) {
		s = newEarlySession(a, cfg)
		cfg.nonce = s.nonce
		if first.err = s.mayOpen(ctx, len(r.early)); first.err == nil {
			first = s.begin(r)
		}
	}
	a, err := d.Endpoint.DialEarly(ctx, host.Remotes, open)
	if err != nil && s != nil {
		p := s.discard(err)
		if fellSilent := p.Handshake.IsValid() && errors.Is(err, syscall.ETIMEDOUT); fellSilent && len(r.early) == 0 && ctx.Err() == nil {
			// The silence outlived the cookie. Without octets it does no harm to
			// begin anew: HELLO and OPEN may be answered twice.
			s = nil
			if a, err = d.Endpoint.Dial(ctx, host.Remotes); err == nil {
				p = a.Peer()
			}
		}
		if p.Handshake.IsValid() && p.Adaptation != AdaptationCode {
			err = fmt.Errorf("%v speaks SCTP but not tcpemu (adaptation %#x): %w", p.Handshake, p.Adaptation, syscall.EPROTO)
			if a != nil {
				a.Abort("adaptation layer indication is not 0x6d680001")
			}
		} else if p.Handshake.IsValid() && first.sent > 0 {
			err = exposed(err)
		}
	}
	if err != nil {
		return nil, opening{}, hostError(host.Name, err)
	}
	if s == nil {
		open(a)
	}
	if p := a.Peer(); host.Permit != nil {
		a.Permit(host.Permit(p.Handshake.Addr(), p.Listed, p.Silent))
	}
	if d.Policy == Aggregate {
		a.SetAggregate(true)
	}
	s.start()
	if !r.hint {
		s.identity.resolve(host.Identity, nil)
	}
	return s, first, nil
}

// exposed is what a dial reports when a COOKIE ECHO with octets had left. Should
// ABORT have answered that, it ended the association, and refused nothing.
func exposed(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w: %v", syscall.ECONNRESET, err)
	}
	return exposedError{err}
}

// discard ends a session whose association failed before it was established, and
// returns who had answered.
func (s *session) discard(err error) sctpmh.Peer {
	s.end(err)
	s.running.Wait()
	return s.assoc.Peer()
}

func (d *Dialer) sessionConfig(m *member) sessionConfig {
	cfg := sessionConfig{name: d.Name, dialled: true, log: d.Logger, windows: d.Windows}
	if len(m.host.Remotes) > 0 {
		cfg.to = m.host.Remotes[0].Addr()
	}
	if cfg.log == nil {
		cfg.log = slog.New(slog.DiscardHandler)
	}
	if d.Listener != nil && m.key != (key{}) {
		cfg.accept = d.Listener.take
	}
	return cfg
}
