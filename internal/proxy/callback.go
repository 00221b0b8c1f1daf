package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/ftp"
	"github.com/sctpmh/mh/tcpemu"
)

// callbacks lets the server of a client's FTP connect to the client.
//
// Invariant: nobody else gets in, and nowhere else. A connection is taken if a
// client has announced its address and port to that peer, on a control
// connection that still runs over the same association, less than a minute ago,
// and none has come since. It goes to the host that has announced it, whatever
// the address says, and on this host only to a socket of the client's own user:
// who may use the proxy does not get at what others here listen with.
type callbacks struct {
	listener *tcpemu.Listener
	controls ftp.Controls[control]
	now      func() time.Time

	mu      sync.Mutex // leaf
	refused uint64
}

// A control is a control connection.
type control struct {
	server        *tcpemu.Conn
	client, proxy netip.AddrPort // the ends of the client's connection to us
}

// newCallbacks is for a proxy whose dialers get its listener. It takes no
// associations, so that only those can ask with whom a client has to do.
func newCallbacks(name string, log *slog.Logger) (*callbacks, error) {
	l, err := tcpemu.Listen(nil, &tcpemu.ListenConfig{Name: name, Logger: log})
	return &callbacks{listener: l, now: time.Now}, err
}

// follow returns what a control connection's octets are to be written to
// instead of the server, and what ends it.
func (b *callbacks) follow(client net.Conn, server *tcpemu.Conn) (watched net.Conn, end func()) {
	c := b.controls.Follow(control{server: server, client: addrPort(client.RemoteAddr()), proxy: addrPort(client.LocalAddr())}, nil)
	return &watchedConn{server, func(sent []byte) { c.Saw(sent, b.now()) }}, c.Close
}

// A watchedConn shows what is written to it before it is sent.
type watchedConn struct {
	*tcpemu.Conn
	saw func([]byte)
}

func (w *watchedConn) Write(b []byte) (int, error) {
	w.saw(b)
	return w.Conn.Write(b)
}

func (w *watchedConn) WriteUrgent(octet byte) error {
	w.saw([]byte{octet})
	return w.Conn.WriteUrgent(octet)
}

func addrPort(a net.Addr) netip.AddrPort {
	if a, ok := a.(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
	}
	return netip.AddrPort{}
}

// acceptCallbacks takes the connections that peers ask for.
func (p *proxy) acceptCallbacks(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		o, err := p.callbacks.listener.AcceptOpen(ctx)
		if err != nil {
			return
		}
		at := netip.AddrPortFrom(o.Target.Addr.Unmap(), o.Target.Port)
		c, ok := p.callbacks.controls.Take(at, p.callbacks.now(), func(c control) bool { return o.Over(c.server) })
		if !ok {
			p.refuseCallback(o, errUnannounced)
			continue
		}
		wg.Go(func() { p.callBack(o, c, at) }) // ends with the connection; there are no more than clients announce
	}
}

var errUnannounced = errors.New("no client awaits it: it was not announced to this peer, or more than a minute ago, or has come already")

// callBack joins the server to its client.
func (p *proxy) callBack(o *tcpemu.Open, c control, at netip.AddrPort) {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Limits.Connect.D())
	defer cancel()
	to, err := c.awaits(at)
	var client net.Conn
	if err == nil {
		var d net.Dialer
		client, err = d.DialContext(ctx, "tcp", to.String())
	}
	if err != nil {
		p.refuseCallback(o, err)
		return
	}
	server, err := o.Accept(to)
	if err != nil {
		client.Close()
		return // the peer has gone meanwhile
	}
	p.streams.Run(daemon.Stream{Peer: c.server.RemoteAddr().String(), Target: at.String(), Transport: "mh"}, server, client)
}

// awaits returns where the client listens that has announced an address. A
// client of another host does so there; what it makes of a connection is its
// own business.
func (c control) awaits(at netip.AddrPort) (netip.AddrPort, error) {
	own, err := ownAddrs()
	if err != nil {
		return at, fmt.Errorf("list own addresses: %w", err)
	}
	if !own(c.client.Addr()) {
		return netip.AddrPortFrom(c.client.Addr(), at.Port()), nil
	}
	all, err := allSockets()
	if err != nil {
		return at, fmt.Errorf("list sockets: %w", err)
	}
	return c.awaitsHere(all, own, at)
}

// awaitsHere is awaits of a client of this host. It may listen at the address
// by which it has come to us and announce another one, by which it hopes to be
// reached. Somebody else could take the port between this look and the
// connection, but only in the moment in which the client gives it up.
func (c control) awaitsHere(all []socket, own func(netip.Addr) bool, at netip.AddrPort) (netip.AddrPort, error) {
	user, ok := client(all, c.client, c.proxy)
	if !ok {
		return at, fmt.Errorf("the client at %v has no connection any more, or an unknown user: %w", c.client, syscall.EACCES)
	}
	for _, addr := range []netip.Addr{at.Addr(), c.client.Addr()} {
		to := netip.AddrPortFrom(addr, at.Port())
		if u, ok := listener(all, to); ok && u == user && own(addr) {
			return to, nil
		}
	}
	return at, fmt.Errorf("user %d of the client at %v has no socket that listens at port %d of %v or %v: %w", user, c.client, at.Port(), at.Addr(), c.client.Addr(), syscall.EACCES)
}

// ownAddrs tells the addresses of this host from others.
func ownAddrs() (own func(netip.Addr) bool, err error) {
	all := make(map[netip.Addr]bool)
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all[p.Addr().Unmap()] = true
		}
	}
	return func(a netip.Addr) bool { return a.IsLoopback() || all[a] }, err
}

// refuseCallback refuses a connection, and counts. A peer can ask without end,
// so the lines grow rarer: the first, the second, the fourth and so on.
func (p *proxy) refuseCallback(o *tcpemu.Open, why error) {
	b := p.callbacks
	b.mu.Lock()
	b.refused++
	count := b.refused
	b.mu.Unlock()
	level := slog.LevelWarn
	if bits.OnesCount64(count) != 1 {
		level = slog.LevelDebug
	}
	p.host.Log.Log(context.Background(), level, "callback refused", "from", o.From().String(), "target", o.Target.String(), "error", why.Error(), "refused", count)
	o.Reject(tcpemu.CodeDenied, "nobody here awaits it")
}
