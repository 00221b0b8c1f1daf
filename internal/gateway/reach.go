package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/egress"
	"github.com/sctpmh/mh/tcpemu"
)

// code is what the peer is told.
func code(err error) tcpemu.Code {
	var policy *egress.Error
	if errors.As(err, &policy) || errors.Is(err, errNoService) {
		return tcpemu.CodeDenied
	}
	return tcpemu.CodeOf(err)
}

// public is what the peer may read of an error: not the rule that denied it.
func public(err error) string {
	var policy *egress.Error
	if errors.As(err, &policy) {
		return "not allowed by the gateway's policy"
	}
	return err.Error()
}

var errNoService = errors.New("no such service here")

// reach connects to what a peer asks for, if it may: to a service, or, where
// egress lets it, to another destination.
func (g *gateway) reach(ctx context.Context, o *tcpemu.Open) (net.Conn, tcpemu.Identity, error) {
	if o.Hops >= tcpemu.MaxHops {
		return nil, tcpemu.Identity{}, &tcpemu.RefusedError{Code: tcpemu.CodeLoop}
	}
	t := o.Target
	if g.meansUs(t) {
		if i := slices.IndexFunc(g.cfg.Services, func(s config.Service) bool { return s.Port == t.Port }); i >= 0 {
			return g.reachService(ctx, o, g.cfg.Services[i])
		}
	}
	if t.Own() {
		if t.Addr = g.server(t.Port); !t.Addr.IsValid() {
			return nil, tcpemu.Identity{}, fmt.Errorf("port %d: %w", t.Port, errNoService)
		}
	}
	if len(g.policy.Peers) == 0 { // egress is off, whoever asks
		return nil, tcpemu.Identity{}, g.policy.AllowsPeer("", o.From().Addr())
	}
	id, err := o.Identity(ctx)
	if err != nil {
		return nil, id, err
	}
	if err := g.policy.AllowsPeer(id.Name, o.From().Addr()); err != nil {
		return nil, id, err
	}
	c, err := g.dialOut(ctx, t)
	return c, id, err
}

// meansUs reports whether a target is this gateway, by its name or by one of
// its addresses.
func (g *gateway) meansUs(t tcpemu.Target) bool {
	if t.Name != "" {
		return g.cfg.Name != "" && config.Pattern(g.cfg.Name).Match(t.Name)
	}
	return t.Own() || slices.Contains(g.policy.Own(), t.Addr.Unmap())
}

// server returns where a port of ours may be that no service has: at the first
// server behind a service where egress allows the port. So a peer gets by our
// name what it could have by the server's address, and nothing else; FTP's
// second connection needs it.
func (g *gateway) server(port uint16) netip.Addr {
	for _, s := range g.cfg.Services {
		server, err := netip.ParseAddrPort(string(s.Target))
		if err == nil && g.policy.Check("", netip.AddrPortFrom(server.Addr(), port)) == nil {
			return server.Addr()
		}
	}
	return netip.Addr{}
}

// reachService connects to a service of ours.
func (g *gateway) reachService(ctx context.Context, o *tcpemu.Open, svc config.Service) (net.Conn, tcpemu.Identity, error) {
	var id tcpemu.Identity
	if !egress.Match(svc.Peers, "", o.From().Addr()) {
		var err error
		if id, err = o.Identity(ctx); err != nil {
			return nil, id, err
		}
		if !egress.Match(svc.Peers, id.Name, o.From().Addr()) {
			return nil, id, &egress.Error{Rule: fmt.Sprintf("service %d peers", svc.Port), Why: "the peer is not listed"}
		}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", string(svc.Target))
	return c, id, err
}

// dialOut connects to another destination. Each address is checked, and the
// one that was checked is dialled.
func (g *gateway) dialOut(ctx context.Context, t tcpemu.Target) (net.Conn, error) {
	addrs := []netip.AddrPort{netip.AddrPortFrom(t.Addr.Unmap(), t.Port)}
	if t.Name != "" {
		targets, err := g.host.Names.Resolve(ctx, t.Name, t.Port)
		if err != nil {
			return nil, &tcpemu.RefusedError{Code: tcpemu.CodeNoName, Text: err.Error()}
		}
		addrs = targets.Legacy
	}
	var d net.Dialer
	var errs []error
	for _, a := range addrs {
		if err := g.policy.Check(t.Name, a); err != nil {
			errs = append(errs, err)
			continue
		}
		c, err := d.DialContext(ctx, "tcp", a.String())
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, &tcpemu.RefusedError{Code: tcpemu.CodeNoName, Text: t.Name + " has no address"}
	}
	return nil, errors.Join(errs...)
}
