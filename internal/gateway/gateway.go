// Package gateway is mh-gw: it joins associations to legacy TCP. Peers reach
// its services and, where allowed, other destinations; legacy clients reach
// hosts that speak mh through its forwards, and without knowing of it where the
// packet filter hands their connections over.
package gateway

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/egress"
	"github.com/sctpmh/mh/internal/ftp"
	"github.com/sctpmh/mh/tcpemu"
)

// gateway is a running mh-gw.
type gateway struct {
	cfg      *config.Gateway
	host     *daemon.Host
	policy   egress.Policy
	dialer   *tcpemu.Dialer // for legacy clients
	controls ftp.Controls[control]
	streams  daemon.Streams
	slots    chan struct{} // one for each connection
}

// Run serves until ctx ends, then drains.
func Run(ctx context.Context, cfg *config.Gateway, h *daemon.Host) error {
	names := *h.Names
	names.Strange = len(cfg.Intercepts) > 0 // their clients have asked for names elsewhere
	g := &gateway{
		cfg: cfg, host: h, streams: daemon.Streams{Log: h.Log},
		policy: egress.Policy{Peers: cfg.Egress.Peers, Allow: cfg.Egress.Allow, Deny: cfg.Egress.Deny, Own: ownAddrs(h)},
		dialer: &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: &names, Fallback: new(tcpemu.Fallback), Name: string(cfg.Name), Logger: h.Log},
		slots:  make(chan struct{}, max(cfg.Limits.Connections, 1)),
	}
	doors, err := g.open()
	if err != nil {
		return err
	}
	l, err := tcpemu.Listen(h.Endpoint, &tcpemu.ListenConfig{Name: string(cfg.Name), Resolver: h.Names, Logger: h.Log})
	if err != nil {
		return err
	}
	g.dialer.Listener = l
	var wg sync.WaitGroup
	wg.Go(func() { g.accept(ctx, l) }) // ends with ctx
	for _, d := range doors {
		wg.Go(func() { g.acceptLegacy(d) }) // ends when d is closed
	}
	h.Ready("services", len(cfg.Services), "forwards", len(cfg.Forwards), "intercepts", len(cfg.Intercepts), "egress", len(cfg.Egress.Peers) > 0)
	<-ctx.Done()
	for _, d := range doors {
		d.Close()
	}
	l.Close() // peers open no more, or elsewhere
	g.streams.Drain(cfg.Limits.Drain.D())
	closeCtx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	g.dialer.Close(closeCtx)
	l.Shutdown(closeCtx)
	wg.Wait()
	return nil
}

// ownAddrs returns the gateway's addresses: those of its endpoint and those of
// all its devices. Services are often at public addresses of the loopback one.
func ownAddrs(h *daemon.Host) func() []netip.Addr {
	return func() (own []netip.Addr) {
		all, err := net.InterfaceAddrs()
		if err != nil {
			h.Log.Warn("cannot list own addresses for the egress policy", "error", err)
		}
		for _, x := range all {
			if p, err := netip.ParsePrefix(x.String()); err == nil && !p.Addr().IsLoopback() {
				own = append(own, p.Addr().Unmap())
			}
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
	var from net.Conn = c
	if g.cfg.Callback.FTP && o.Target.Port == ftp.Port {
		watched, end := g.watch(c, bound.AddrPort().Addr().Unmap())
		defer end()
		from = watched
	}
	g.streams.Run(daemon.Stream{Peer: peer, Target: o.Target.String(), Transport: "mh"}, from, target)
}
