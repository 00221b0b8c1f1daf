package tcpemu

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/sctpmh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a dialing and a listening host on loopback.
type world struct {
	t      testing.TB
	dialer *Dialer
	l      *Listener
	server *sctpmh.Endpoint
}

// names resolves every name to one server.
type names struct {
	server *sctpmh.Endpoint
	verify func(src netip.Addr, claim string) (Identity, []netip.Addr, error)
}

func (n names) Resolve(_ context.Context, name string, _ uint16) (Targets, error) {
	if name == "legacy.example" {
		return Targets{Reason: "no SVCB record"}, nil
	}
	return Targets{MH: []Endpoint{{Name: name, Remotes: n.server.Addrs(), Identity: Identity{Name: name, Binding: "claim"}}}}, nil
}

func (n names) Verify(_ context.Context, src netip.Addr, claim string, _ []netip.Addr, _ bool) (Identity, []netip.Addr, error) {
	if n.verify == nil {
		return Identity{Binding: "none"}, nil, nil
	}
	return n.verify(src, claim)
}

func newWorld(t testing.TB, resolver names) *world {
	t.Helper()
	cfg := &sctpmh.Config{Adaptation: AdaptationCode}
	listen := func() *sctpmh.Endpoint {
		e, err := sctpmh.Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		return e
	}
	w := &world{t: t, server: listen()}
	resolver.server = w.server
	l, err := Listen(w.server, &ListenConfig{Name: "server.example", Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	w.l = l
	w.dialer = &Dialer{Endpoint: listen(), Resolver: resolver, Name: "client.example"}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.dialer.Close(ctx)
		l.Close()
	})
	return w
}

// pipe opens a connection and accepts it.
func (w *world) pipe() (client, server *Conn) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	accepted := make(chan net.Conn, 1)
	failed := make(chan error, 1)
	go func() { // ends with one accept
		c, err := w.l.Accept()
		if err != nil {
			failed <- err
			return
		}
		accepted <- c
	}()
	c, err := w.dialer.DialContext(ctx, "mh", "server.example:80")
	if err != nil {
		w.t.Fatal(err)
	}
	select {
	case s := <-accepted:
		return c.(*Conn), s.(*Conn)
	case err := <-failed:
		w.t.Fatal(err)
	}
	panic("BUG: unreachable")
}

// must fails the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantIs fails unless err is target.
func wantIs(t testing.TB, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: %v, want %v", what, err, target)
	}
}
