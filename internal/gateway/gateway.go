// Package gateway is mh-gw: it joins associations to legacy TCP. Peers reach
// its services and, where allowed, other destinations; legacy clients reach
// hosts that speak mh through its forwards.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/egress"
	"github.com/sctpmh/mh/tcpemu"
)

// gateway is a running mh-gw.
type gateway struct {
	cfg     *config.Gateway
	host    *daemon.Host
	policy  egress.Policy
	dialer  *tcpemu.Dialer // for forwards
	streams daemon.Streams
	slots   chan struct{} // one for each connection
}

// Run serves until ctx ends, then drains.
func Run(ctx context.Context, cfg *config.Gateway, h *daemon.Host) error {
	g := &gateway{
		cfg: cfg, host: h, streams: daemon.Streams{Log: h.Log},
		policy: egress.Policy{Peers: cfg.Egress.Peers, Allow: cfg.Egress.Allow, Deny: cfg.Egress.Deny, Own: ownAddrs(h)},
		dialer: &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: h.Names, Name: string(cfg.Name), Logger: h.Log},
		slots:  make(chan struct{}, max(cfg.Limits.Connections, 1)),
	}
	forwards, err := g.listen()
	if err != nil {
		return err
	}
	l, err := tcpemu.Listen(h.Endpoint, &tcpemu.ListenConfig{Name: string(cfg.Name), Resolver: h.Names, Logger: h.Log})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { g.accept(ctx, l) }) // ends with ctx
	for i, f := range forwards {
		wg.Go(func() { g.forward(f, cfg.Forwards[i]) }) // ends when f is closed
	}
	h.Ready("services", len(cfg.Services), "forwards", len(cfg.Forwards), "egress", len(cfg.Egress.Peers) > 0)
	<-ctx.Done()
	for _, f := range forwards {
		f.Close()
	}
	g.streams.Drain(cfg.Limits.Drain.D())
	closeCtx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	g.dialer.Close(closeCtx)
	l.Shutdown(closeCtx)
	wg.Wait()
	return nil
}

// ownAddrs returns the gateway's addresses: those of its endpoint and those of
// its links.
func ownAddrs(h *daemon.Host) func() []netip.Addr {
	return func() []netip.Addr {
		own, err := daemon.GlobalAddrs()
		if err != nil {
			h.Log.Warn("cannot list own addresses for the egress policy", "error", err)
		}
		return append(own, h.Names.Local()...)
	}
}

// accept takes the connections that peers ask for.
func (g *gateway) accept(ctx context.Context, l *tcpemu.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		o, err := l.AcceptOpen(ctx)
		if err != nil {
			return
		}
		select {
		case g.slots <- struct{}{}:
		default:
			g.host.Log.Warn("connection refused: too many", "peer", o.From().String(), "limit", cap(g.slots))
			o.Reject(tcpemu.CodeResources, "too many connections")
			continue
		}
		wg.Go(func() { // ends with the connection
			defer func() { <-g.slots }()
			g.serve(o)
		})
	}
}

// serve is one connection that a peer asked for.
func (g *gateway) serve(o *tcpemu.Open) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Limits.Connect.D())
	defer cancel()
	peer := o.From().Addr().String()
	target, id, err := g.reach(ctx, o)
	if id.Name != "" {
		peer = id.Name
	}
	if err != nil {
		g.host.Log.Warn("connection refused", "peer", peer, "from", o.From().String(), "target", o.Target.String(), "error", err.Error())
		o.Reject(code(err), public(err))
		return
	}
	bound, _ := target.RemoteAddr().(*net.TCPAddr)
	c, err := o.Accept(bound.AddrPort())
	if err != nil {
		target.Close()
		return // the peer has gone meanwhile
	}
	g.streams.Run(daemon.Stream{Peer: peer, Target: o.Target.String(), Transport: "mh"}, c, target)
}

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

// reach connects to what a peer asks for, if it may.
func (g *gateway) reach(ctx context.Context, o *tcpemu.Open) (net.Conn, tcpemu.Identity, error) {
	if o.Hops >= tcpemu.MaxHops {
		return nil, tcpemu.Identity{}, &tcpemu.RefusedError{Code: tcpemu.CodeLoop}
	}
	if o.Target.Own() {
		return g.reachService(ctx, o)
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
	c, err := g.dialOut(ctx, o.Target)
	return c, id, err
}

// reachService connects to a service of ours.
func (g *gateway) reachService(ctx context.Context, o *tcpemu.Open) (net.Conn, tcpemu.Identity, error) {
	i := slices.IndexFunc(g.cfg.Services, func(s config.Service) bool { return s.Port == o.Target.Port })
	if i < 0 {
		return nil, tcpemu.Identity{}, fmt.Errorf("port %d: %w", o.Target.Port, errNoService)
	}
	svc := g.cfg.Services[i]
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

// listen opens the listeners of all forwards.
func (g *gateway) listen() (all []net.Listener, err error) {
	for _, f := range g.cfg.Forwards {
		l, err := net.Listen("tcp", string(f.Listen))
		if err != nil {
			for _, open := range all {
				open.Close()
			}
			return nil, fmt.Errorf("forward: %w", err)
		}
		all = append(all, l)
	}
	return all, nil
}

// forward takes legacy clients to a host that speaks mh.
func (g *gateway) forward(l net.Listener, f config.Forward) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		client, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			g.host.Log.Warn("cannot accept", "forward", string(f.Listen), "error", err.Error())
			time.Sleep(100 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		select {
		case g.slots <- struct{}{}:
		default:
			g.host.Log.Warn("connection refused: too many", "peer", client.RemoteAddr().String(), "limit", cap(g.slots))
			client.Close()
			continue
		}
		wg.Go(func() { // ends with the connection
			defer func() { <-g.slots }()
			g.forwardOne(client, f)
		})
	}
}

func (g *gateway) forwardOne(client net.Conn, f config.Forward) {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Limits.Connect.D())
	c, err := g.dialer.DialContext(ctx, "mh", string(f.To))
	cancel()
	if err != nil {
		g.host.Log.Warn("connection failed", slog.String("client", client.RemoteAddr().String()), slog.String("target", string(f.To)), slog.String("error", err.Error()))
		if tcp, ok := client.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		client.Close()
		return
	}
	g.streams.Run(daemon.Stream{Peer: client.RemoteAddr().String(), Target: string(f.To), Transport: "mh"}, client, c)
}
