package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/internal/mhdial"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// loopback is one of this process's addresses: another one may run the same
// test.
func loopback(n byte) netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 90 + n, byte(pid >> 8), byte(pid)})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listenAt opens an endpoint.
func listenAt(t *testing.T, at netip.AddrPort) *sctpmh.Endpoint {
	t.Helper()
	e, err := sctpmh.Listen([]netip.AddrPort{at}, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
	must(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

// A caller is a peer with a control connection through the gateway.
type caller struct {
	control *tcpemu.Conn      // the gateway's end
	taken   chan *tcpemu.Open // what it has taken
}

// call has a peer open a control connection to a gateway. It takes every
// connection, or none.
func call(t *testing.T, gw *tcpemu.Listener, at netip.Addr, takes bool) (c caller) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "hosts")
	must(t, os.WriteFile(hosts, []byte("gw.example.net udp=9899 ver=1 flags=1 "+loopback(0).String()+"\n"), 0o600))
	names, err := noid.New(noid.Config{HostsFile: hosts, Upstreams: []noid.Upstream{{Addr: netip.AddrPortFrom(loopback(0), 53)}}}) // nobody asks
	must(t, err)
	d := &tcpemu.Dialer{
		Endpoint: listenAt(t, netip.AddrPortFrom(at, 0)),
		Resolver: &mhdial.Resolver{Noid: names, Local: func() []netip.Addr { return []netip.Addr{at} }},
	}
	if takes {
		l, err := tcpemu.Listen(nil, nil)
		must(t, err)
		c.taken, d.Listener = make(chan *tcpemu.Open, 8), l
		var taking sync.WaitGroup
		taking.Go(func() { // ends when the test closes l
			for {
				o, err := l.AcceptOpen(context.Background())
				if err != nil {
					return
				}
				_, _ = o.Accept(netip.AddrPort{})
				c.taken <- o
			}
		})
		t.Cleanup(func() { l.Close(); taking.Wait() })
	}
	accepted := make(chan *tcpemu.Conn, 1)
	go func() { // ends with the connection, or the test
		defer close(accepted)
		if o, err := gw.AcceptOpen(t.Context()); err == nil {
			conn, _ := o.Accept(netip.AddrPort{})
			accepted <- conn
		}
	}()
	conn, err := d.DialContext(t.Context(), "mh", "gw.example.net:21")
	must(t, err)
	c.control = <-accepted
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		d.Close(ctx)
		names.Close()
	})
	return c
}

// What a server connects to leads to the peer that has announced it to that
// server, once, and over the association by which it has.
func TestCallBack(t *testing.T) {
	gw, err := tcpemu.Listen(listenAt(t, netip.AddrPortFrom(loopback(0), noid.DefaultUDPPort)), nil)
	must(t, err)
	t.Cleanup(func() { gw.Close() })
	g := &gateway{host: &daemon.Host{Log: slog.New(slog.DiscardHandler)}}
	server, to := netip.MustParseAddr("192.168.1.5"), netip.MustParseAddrPort("192.0.2.7:50000")
	said := []byte("PORT 192,0,2,7,195,80\r\n")
	a, b, deaf := call(t, gw, loopback(1), true), call(t, gw, loopback(2), true), call(t, gw, loopback(3), false)

	// The addresses are not those that the peers have answered from, which
	// announcements of loopback addresses would be.
	controlOf := func(c caller) func() {
		f := g.controls.Follow(control{c.control, server}, nil)
		f.Saw(said, time.Now())
		return f.Close
	}
	nothing := func(why string, from netip.Addr, to netip.AddrPort) {
		t.Helper()
		if c := g.callBack(t.Context(), from, to); c != nil {
			t.Errorf("%s: it leads to %v", why, c.RemoteAddr())
			c.Close()
		}
	}
	end := controlOf(a)
	nothing("another server", netip.MustParseAddr("192.168.1.6"), to)
	nothing("another port", server, netip.AddrPortFrom(to.Addr(), 50001))
	c := g.callBack(t.Context(), server, to)
	if c == nil {
		t.Fatal("what was announced leads nowhere")
	}
	defer c.Close()
	if o := <-a.taken; o.Target.Addr != to.Addr() || o.Target.Port != to.Port() || c.Association().ID != a.control.Association().ID {
		t.Errorf("%v was asked for, over association %d, want %v over %d", o.Target, c.Association().ID, to, a.control.Association().ID)
	}
	nothing("a second time", server, to)
	end()

	endA, endB := controlOf(a), controlOf(b)
	nothing("announced by two", server, to)
	endA()
	endB()
	end = controlOf(deaf)
	nothing("by a peer that takes none", server, to)
	end()
}

// permits verifies every peer and permits it more addresses.
type permits struct {
	tcpemu.Resolver // nobody resolves
	addrs           []netip.Addr
}

func (p permits) Verify(context.Context, netip.Addr, string, []netip.Addr, bool) (tcpemu.Identity, []netip.Addr, error) {
	return tcpemu.Identity{}, p.addrs, nil
}

// A peer may announce what it has answered from and nothing else: no address
// that its name has and at which nobody answers.
func TestAnswered(t *testing.T) {
	silent := loopback(4)
	gw, err := tcpemu.Listen(listenAt(t, netip.AddrPortFrom(loopback(0), noid.DefaultUDPPort)), &tcpemu.ListenConfig{Resolver: permits{addrs: []netip.Addr{silent}}})
	must(t, err)
	t.Cleanup(func() { gw.Close() })
	c := call(t, gw, loopback(1), true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for isPath := false; !isPath; {
		changed := c.control.PathsChanged()
		isPath = slices.ContainsFunc(c.control.Association().Paths, func(p sctpmh.PathInfo) bool { return p.Remote.Addr() == silent })
		if isPath {
			break
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%v is no path: %v", silent, c.control.Association().Paths)
		}
	}
	for a, want := range map[netip.Addr]bool{loopback(1): true, silent: false, loopback(0): false, netip.MustParseAddr("192.0.2.7"): false} {
		if got := answered(c.control, a); got != want {
			t.Errorf("answered from %v: %v, want %v", a, got, want)
		}
	}
	g := &gateway{host: &daemon.Host{Log: slog.New(slog.DiscardHandler)}}
	server := netip.MustParseAddr("192.168.1.5")
	watched, end := g.watch(c.control, server)
	defer end()
	watched.(*watchedConn).saw([]byte("PORT 192,0,2,7,195,80\r\n"))
	if back := g.callBack(t.Context(), server, netip.MustParseAddrPort("192.0.2.7:50000")); back != nil {
		t.Error("what a peer has not answered from leads to it")
	}
}
