package tcpemu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/sctpmh/mh/sctpmh"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if backends.dialer != backends.listener && (backends.dialer == sctpmh.Kernel || backends.listener == sctpmh.Kernel) {
		if err := segmentEarly(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if backends.dialer != sctpmh.UDP || backends.listener != sctpmh.UDP {
		flag.Set("test.skip", withoutBackend)
	}
	goleak.VerifyTestMain(m)
}

// withoutBackend is tests in which no backend has a part and that other
// machines than this one have no use for: of the specification's page, which is
// not there; of fallbacks; and of simulated networks, which are long on emulated
// processors.
const withoutBackend = "^TestSpecification|^TestDifferencesAreListed|^Test(No)?Fallback|^TestWindowF|^TestNettestSimulated|^TestBulkOverAFlappingNetwork|^TestAggregate"

// segmentEarly has the loopback device carry packets as a cable does. It
// carries trains of them in one piece otherwise, and Linux 6.1 dies of one that
// reaches its SCTP in UDP.
func segmentEarly() error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetGSOMaxSegs(lo, 1)
	}
	return err
}

// world is a dialing and a listening host on loopback.
type world struct {
	t      testing.TB
	dialer *Dialer
	l      *Listener
	server *sctpmh.Endpoint
}

// backends are what carries associations in these tests.
var backends struct{ dialer, listener sctpmh.Backend }

func init() {
	flag.Func("backends", "the dialer's and the listener's: \"kernel,udp\" (default \"udp,udp\")", func(s string) error {
		d, l, _ := strings.Cut(s, ",")
		for _, b := range []sctpmh.Backend{sctpmh.UDP, sctpmh.Raw, sctpmh.Kernel} {
			if b.String() == d {
				backends.dialer = b
			}
			if b.String() == l {
				backends.listener = b
			}
		}
		if got := backends.dialer.String() + "," + backends.listener.String(); got != s {
			return fmt.Errorf("want two of udp, raw and kernel")
		}
		return nil
	})
}

// endpoints counts, so that each has an address of its own: without UDP there
// is one for each SCTP port.
var endpoints atomic.Uint32

// listenOn opens an endpoint with as many streams as it has by itself.
func listenOn(t testing.TB, b sctpmh.Backend) *sctpmh.Endpoint {
	t.Helper()
	return listenWith(t, b, 0)
}

// listenWith opens an endpoint. The kernel uses UDP only when the other end does.
func listenWith(t testing.TB, b sctpmh.Backend, streams uint16) *sctpmh.Endpoint {
	t.Helper()
	n := endpoints.Add(1)
	addr := netip.AddrFrom4([4]byte{127, 1, byte(n >> 8), byte(n)})
	port := uint16(0)
	if b == sctpmh.Kernel && backends.dialer != backends.listener {
		port = 9899 // what the kernel was told
	}
	e, err := sctpmh.Listen([]netip.AddrPort{netip.AddrPortFrom(addr, port)}, &sctpmh.Config{Backend: b, Adaptation: AdaptationCode, MaxStreams: streams})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// names resolves every name to one server.
type names struct {
	server *sctpmh.Endpoint
	permit []netip.Addr // of the server, beside the one that answers
	verify func(src netip.Addr, claim string) (Identity, []netip.Addr, error)
}

func (n names) Resolve(_ context.Context, name string, _ uint16) (Targets, error) {
	if name == "legacy.example" {
		return Targets{Reason: "no SVCB record"}, nil
	}
	permit := func(netip.Addr, []netip.Addr, bool) []netip.Addr { return n.permit }
	return Targets{MH: []Endpoint{{Name: name, Remotes: n.server.Addrs(), Identity: Identity{Name: name, Binding: "claim"}, Permit: permit}}}, nil
}

func (n names) Verify(_ context.Context, src netip.Addr, claim string, _ []netip.Addr, _ bool) (Identity, []netip.Addr, error) {
	if n.verify == nil {
		return Identity{Binding: "none"}, nil, nil
	}
	return n.verify(src, claim)
}

func newWorld(t testing.TB, resolver names) *world {
	t.Helper()
	server, client := listenOn(t, backends.listener), listenOn(t, backends.dialer)
	return newWorldOn(t, resolver, client, server)
}

// newWorldOn is newWorld over endpoints that there are.
func newWorldOn(t testing.TB, resolver names, client, server *sctpmh.Endpoint) *world {
	t.Helper()
	w := &world{t: t, server: server}
	resolver.server = w.server
	l, err := Listen(w.server, &ListenConfig{Name: "server.example", Resolver: resolver})
	if err != nil {
		t.Fatal(err)
	}
	w.l = l
	w.dialer = &Dialer{Endpoint: client, Resolver: resolver, Name: "client.example"}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		w.dialer.Close(ctx)
		l.Shutdown(ctx)
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
