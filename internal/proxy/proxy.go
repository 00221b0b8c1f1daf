// Package proxy is mh-socks: it takes SOCKS and HTTP CONNECT requests and
// reaches their targets over associations, through a gateway, or directly.
package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/socks5"
	"github.com/sctpmh/mh/tcpemu"
)

// proxy is a running mh-socks.
type proxy struct {
	cfg     *config.Socks
	host    *daemon.Host
	direct  *tcpemu.Dialer // to hosts that speak mh
	via     *tcpemu.Dialer // through the gateway
	streams daemon.Streams
}

// Run serves until ctx ends, then drains.
func Run(ctx context.Context, cfg *config.Socks, h *daemon.Host) error {
	if err := checkListen(cfg); err != nil {
		return &daemon.UsageError{Err: err}
	}
	p := &proxy{cfg: cfg, host: h, streams: daemon.Streams{Log: h.Log}}
	p.direct = &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: h.Names, Name: string(cfg.Name), Logger: h.Log}
	p.via = &tcpemu.Dialer{Endpoint: h.Endpoint, Resolver: h.Names, Name: string(cfg.Name), Via: string(cfg.Via), Logger: h.Log}
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
	h.Ready("listen", cfg.Listen)
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	p.streams.Drain(cfg.Limits.Drain.D())
	cut()
	wg.Wait()
	closeCtx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.direct.Close(closeCtx)
	p.via.Close(closeCtx)
	return nil
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
	action, err := p.decide(ctx, r)
	if err != nil {
		return nil, err
	}
	switch action.do {
	case "mh":
		c, err := p.direct.DialContext(ctx, "mh", r.Target())
		return wrap(c, err, "mh", "")
	case "via":
		if p.cfg.Via == "" {
			return nil, fmt.Errorf("a rule says \"via\" and no gateway is configured: set via: %w", syscall.EACCES)
		}
		c, err := p.via.DialContext(ctx, "mh", r.Target())
		return wrap(c, err, "mh", "")
	case "deny":
		return nil, fmt.Errorf("%s: denied by a rule: %w", r.Target(), syscall.EACCES)
	}
	c, err := dialTCP(ctx, r, action.addrs)
	return wrap(c, err, "tcp", action.why)
}

// decision is what becomes of a request.
type decision struct {
	do    config.Action    // mh, via, direct or deny
	addrs []netip.AddrPort // with direct: resolved already
	why   string           // with direct: why not mh
}

// decide applies the rules; "auto" asks the resolver.
func (p *proxy) decide(ctx context.Context, r socks5.Request) (decision, error) {
	action := p.rule(r)
	if action != "auto" {
		return decision{do: action, why: "a rule says so"}, nil
	}
	t, err := p.host.Names.Resolve(ctx, r.Host(), r.Port)
	switch {
	case err == nil && len(t.MH) > 0:
		return decision{do: "mh"}, nil
	case p.cfg.Via != "":
		return decision{do: "via"}, nil // the gateway may know the name
	case err != nil:
		return decision{}, &hostError{err}
	}
	return decision{do: "direct", addrs: t.Legacy, why: t.Reason}, nil
}

// hostError is a name that could not be resolved.
type hostError struct{ err error }

func (e *hostError) Error() string { return e.err.Error() }

// Unwrap returns what the resolver said.
func (e *hostError) Unwrap() error { return e.err }

// Is gives it the class that clients know.
func (e *hostError) Is(target error) bool { return target == syscall.EHOSTUNREACH }

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

// dialTCP connects without associations, to each address until one answers.
func dialTCP(ctx context.Context, r socks5.Request, addrs []netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if len(addrs) == 0 {
		return d.DialContext(ctx, "tcp", r.Target())
	}
	var c net.Conn
	var err error
	for i, a := range addrs {
		attempt, cancel := context.WithTimeout(ctx, share(ctx, len(addrs)-i))
		c, err = d.DialContext(attempt, "tcp", a.String())
		cancel()
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return c, err
}

// share divides what is left of a context's time between attempts.
func share(ctx context.Context, attempts int) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return time.Minute
	}
	return max(time.Until(end)/time.Duration(attempts), 250*time.Millisecond)
}

// conn is a connection and how it was made.
type conn struct {
	net.Conn
	transport, reason string
}

// wrap keeps how a connection was made for its line in the log.
func wrap(c net.Conn, err error, transport, reason string) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	return &conn{c, transport, reason}, nil
}

// relay is a connection's life.
func (p *proxy) relay(_ context.Context, r socks5.Request, client, target net.Conn) {
	c := target.(*conn)
	p.streams.Run(daemon.Stream{Peer: r.Client.String(), Target: r.Target(), Transport: c.transport, Reason: c.reason}, client, c.Conn)
}

// refused logs a request that came to nothing.
func (p *proxy) refused(r socks5.Request, err error) {
	target := ""
	if r.Port != 0 {
		target = r.Target()
	}
	p.host.Log.Warn("connection failed", "client", r.Client.String(), "target", target, "error", err.Error())
}
