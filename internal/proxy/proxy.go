// Package proxy is mh-socks: it takes SOCKS and HTTP CONNECT requests and
// reaches their targets over associations, through a gateway, or directly. Where
// it may, it lets the servers of active FTP connect to their clients.
package proxy

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/ftp"
	"github.com/sctpmh/mh/internal/socks5"
	"github.com/sctpmh/mh/tcpemu"
)

// proxy is a running mh-socks.
type proxy struct {
	cfg       *config.Socks
	host      *daemon.Host
	names     tcpemu.Resolver // completes what clients ask for
	direct    *tcpemu.Dialer  // to hosts that speak mh; falls back where asked to
	via       *tcpemu.Dialer  // through the gateway
	callbacks *callbacks      // nil: no peer connects to us
	streams   daemon.Streams
}

// Run serves until ctx ends, then drains.
func Run(ctx context.Context, cfg *config.Socks, h *daemon.Host) error {
	if err := checkListen(cfg); err != nil {
		return &daemon.UsageError{Err: err}
	}
	p, err := newProxy(cfg, h)
	if err != nil {
		return err
	}
	return p.run(ctx)
}

func newProxy(cfg *config.Socks, h *daemon.Host) (p *proxy, err error) {
	p = &proxy{cfg: cfg, host: h, names: h.UserNames(), streams: daemon.Streams{Log: h.Log}}
	p.direct = &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: p.names, Name: string(cfg.Name), Logger: h.Log, Fallback: fallback(cfg)}
	p.via = &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: h.Names, Name: string(cfg.Name), Via: string(cfg.Via), Logger: h.Log}
	if cfg.Callback.FTP {
		if p.callbacks, err = newCallbacks(string(cfg.Name), h.Log); err != nil {
			return nil, err
		}
		p.direct.Listener, p.via.Listener = p.callbacks.listener, p.callbacks.listener
	}
	return p, nil
}

func (p *proxy) run(ctx context.Context) error {
	cfg := p.cfg
	s := &socks5.Server{
		Dial: p.dial, Relay: p.relay, Refused: p.refused,
		Handshake: cfg.Limits.Handshake.D(), Connect: cfg.Limits.Connect.D(),
		Connections: cfg.Limits.Connections, PerClient: cfg.Limits.PerClient,
	}
	listeners, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	serveCtx, cut := context.WithCancel(context.Background())
	defer cut()
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { _ = s.Serve(serveCtx, l) }) // ends when l is closed
	}
	if p.callbacks != nil {
		wg.Go(func() { p.acceptCallbacks(ctx) }) // ends with ctx
	}
	p.host.Ready("listen", cfg.Listen)
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	if p.callbacks != nil {
		p.callbacks.listener.Close()
	}
	p.streams.Drain(cfg.Limits.Drain.D())
	cut()
	wg.Wait()
	closeCtx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.direct.Close(closeCtx)
	p.via.Close(closeCtx)
	if p.callbacks != nil {
		p.callbacks.listener.Shutdown(closeCtx)
	}
	return nil
}

// fallback leaves from where associations do.
func fallback(cfg *config.Socks) *tcpemu.Fallback {
	f := new(tcpemu.Fallback)
	for _, a := range cfg.Transport.Local {
		f.Local = append(f.Local, a.Addr)
	}
	return f
}

func listen(addrs []config.HostPort) (listeners []net.Listener, err error) {
	for _, a := range addrs {
		l, err := net.Listen("tcp", string(a))
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			return nil, fmt.Errorf("listen: %w", err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// dial reaches the target of a request.
func (p *proxy) dial(ctx context.Context, r socks5.Request) (net.Conn, error) {
	action := p.rule(r)
	if action == "auto" && p.cfg.Via != "" {
		action = p.autoVia(ctx, r)
	}
	switch action {
	case "mh":
		return p.direct.DialContext(ctx, "mh", r.Target())
	case "via":
		if p.cfg.Via == "" {
			return nil, fmt.Errorf("a rule says \"via\" and no gateway is configured: set via: %w", syscall.EACCES)
		}
		return p.via.DialContext(ctx, "mh", r.Target())
	case "direct":
		return p.direct.Fallback.DialContext(ctx, "tcp", r.Target())
	case "deny":
		return nil, fmt.Errorf("%s: denied by a rule: %w", r.Target(), syscall.EACCES)
	}
	return p.direct.DialContext(ctx, "tcp", r.Target())
}

// autoVia is what "auto" means where there is a gateway: it reaches what does
// not speak mh, and may know names that nobody here does.
func (p *proxy) autoVia(ctx context.Context, r socks5.Request) config.Action {
	if t, err := p.names.Resolve(ctx, r.Host(), r.Port); err == nil && len(t.MH) > 0 {
		return "mh"
	}
	return "via"
}

// rule returns the action of the first rule that fits.
func (p *proxy) rule(r socks5.Request) config.Action {
	for _, rule := range p.cfg.Rules {
		if ruleFits(rule, r) {
			return rule.Action
		}
	}
	return "auto"
}

// ruleFits reports whether all that a rule names fits a request.
func ruleFits(rule config.Rule, r socks5.Request) bool {
	return fits(rule.Port, func(x config.PortRange) bool { return x.Contains(r.Port) }) &&
		fits(rule.Name, func(x config.Pattern) bool { return r.Name != "" && x.Match(r.Name) }) &&
		fits(rule.CIDR, func(x config.Network) bool { return r.Addr.IsValid() && x.Contains(r.Addr) }) &&
		fits(rule.Client, func(x config.Network) bool { return x.Contains(r.Client.Addr()) })
}

func fits[T any](list []T, match func(T) bool) bool {
	return len(list) == 0 || slices.ContainsFunc(list, match)
}

// relay is a connection's life.
func (p *proxy) relay(_ context.Context, r socks5.Request, client, target net.Conn) {
	st := daemon.Stream{Peer: r.Client.String(), Target: r.Target(), Transport: "mh"}
	if l, ok := target.(*tcpemu.LegacyConn); ok {
		st.Transport, st.Reason = l.Transport(), l.Reason()
	}
	if c, ok := target.(*tcpemu.Conn); ok && p.callbacks != nil && r.Port == ftp.Port {
		watched, end := p.callbacks.follow(client, c)
		defer end()
		target = watched
	}
	p.streams.Run(st, client, target)
}

// refused logs a request that came to nothing.
func (p *proxy) refused(r socks5.Request, err error) {
	target := ""
	if r.Port != 0 {
		target = r.Target()
	}
	p.host.Log.Warn("connection failed", "client", r.Client.String(), "target", target, "error", err.Error())
}
