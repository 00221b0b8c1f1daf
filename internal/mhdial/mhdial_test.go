package mhdial

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The hosts' addresses, one for each uplink.
var (
	clientAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	serverAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.2")}
)

// scene is two hosts with two addresses each, joined by two links, that know
// each other from a file. It belongs into a bubble.
type scene struct {
	t      *testing.T
	file   string
	client []netip.Addr // that its name has
	dialer *tcpemu.Dialer
	l      *tcpemu.Listener
}

func newScene(t *testing.T, server ...netip.Addr) *scene {
	s := &scene{t: t, file: filepath.Join(t.TempDir(), "hosts"), client: clientAddrs}
	s.write(server...)
	live := netsim.NewLive(1)
	a, b := live.AddHost(), live.AddHost()
	link := netsim.Config{Delay: 10 * time.Millisecond, Rate: 12_500_000, Queue: 256 << 10}
	live.Do(func(n *netsim.Net) {
		for i := range clientAddrs {
			n.Join(fmt.Sprint("uplink ", i), a, clientAddrs[i:i+1], b, serverAddrs[i:i+1], link, link)
		}
	})
	ctx, end := context.WithCancel(context.Background())
	client, host := s.listen(a, clientAddrs), s.listen(b, serverAddrs)
	s.dialer = &tcpemu.Dialer{Endpoint: client, Resolver: s.resolver(client), Name: "client.example.net"}
	var err error
	s.l, err = tcpemu.Listen(host, &tcpemu.ListenConfig{Name: "server.example.net", Resolver: s.resolver(host)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		s.dialer.Close(ctx)
		s.l.Shutdown(ctx)
	})
	return s
}

// write has the file give the server some addresses, by another file, as
// editors do it.
func (s *scene) write(server ...netip.Addr) {
	s.t.Helper()
	text := ""
	for name, addrs := range map[string][]netip.Addr{"client": s.client, "server": server} {
		text += name + ".example.net udp=9899 flags=1"
		for _, a := range addrs {
			text += " " + a.String()
		}
		text += "\n"
	}
	if err := os.WriteFile(s.file+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) listen(h *netsim.Host, addrs []netip.Addr) *sctpmh.Endpoint {
	s.t.Helper()
	var local []netip.AddrPort
	for _, a := range addrs {
		local = append(local, netip.AddrPortFrom(a, 9899))
	}
	e, err := sctpmh.Listen(local, &sctpmh.Config{Socket: h.Listen, Adaptation: tcpemu.AdaptationCode})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { e.Close() })
	return e
}

func (s *scene) resolver(e *sctpmh.Endpoint) *Resolver {
	s.t.Helper()
	r, err := noid.New(noid.Config{HostsFile: s.file, Upstreams: []noid.Upstream{{}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	return &Resolver{Noid: r, Local: func() (out []netip.Addr) {
		for _, a := range e.Addrs() {
			out = append(out, a.Addr())
		}
		return out
	}}
}

// dial connects, and returns both ends.
func (s *scene) dial() (client, server *tcpemu.Conn) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { // ends with one accept
		c, err := s.l.Accept()
		if err == nil {
			server = c.(*tcpemu.Conn)
		}
		done <- err
	}()
	c, err := s.dialer.DialContext(ctx, "mh", "server.example.net:80")
	if err := errors.Join(err, <-done); err != nil {
		s.t.Fatal(err)
	}
	return c.(*tcpemu.Conn), server
}

// active are the paths over which the connection can go on.
func active(c *tcpemu.Conn) (out []netip.Addr) {
	for _, p := range c.Paths() {
		if p.State == sctpmh.Active && p.Confirmed {
			out = append(out, p.Remote.Addr())
		}
	}
	return out
}

func (s *scene) want(what string, c *tcpemu.Conn, want ...netip.Addr) {
	s.t.Helper()
	if got := fmt.Sprint(active(c)); got != fmt.Sprint(want) {
		s.t.Errorf("%s: paths to %v, want %v", what, got, want)
	}
}

// N08, N09: an address that is added to a host's records becomes a path of the
// associations that there are, and one that is withdrawn is left.
func TestN08AddressesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serverAddrs[0])
		c, _ := s.dial()
		time.Sleep(time.Minute)
		s.want("at first", c, serverAddrs[0])

		s.write(serverAddrs...)
		time.Sleep(time.Minute)
		s.want("one more", c, serverAddrs...)

		s.write(serverAddrs[1])
		time.Sleep(time.Minute)
		for _, p := range c.Paths() {
			if p.Confirmed && p.InUse != (p.Remote.Addr() == serverAddrs[1]) {
				t.Errorf("withdrawn %v: %+v", serverAddrs[0], p)
			}
		}
		time.Sleep(10 * time.Minute)
		s.want("drained", c, serverAddrs[1])
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("after the withdrawal: %v", err)
		}

		s.write(serverAddrs...)
		time.Sleep(time.Minute)
		if n := len(active(c)); n != 2 {
			t.Errorf("an address that came back: %d paths", n)
		}
	})
}

// N08, N09, who was dialled: a peer's addresses come and go by the name that it
// claims, and not by what it says.
func TestN08AddressesOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serverAddrs...)
		s.client = clientAddrs[:1]
		s.write(serverAddrs...)
		_, c := s.dial()
		time.Sleep(time.Minute)
		s.want("at first", c, clientAddrs[0])
		s.client = clientAddrs
		s.write(serverAddrs...)
		time.Sleep(time.Minute)
		s.want("one more", c, clientAddrs...)
		s.client = clientAddrs[:1]
		s.write(serverAddrs...)
		time.Sleep(10 * time.Minute)
		s.want("one less", c, clientAddrs[0])
	})
}

// N09: the last path is kept while the name has no address, but not for ever.
func TestN09Orphan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serverAddrs[0])
		s.dialer.Resolver.(*Resolver).Noid.Close()
		r, err := noid.New(noid.Config{HostsFile: s.file, SystemHosts: s.file + ".system", Upstreams: []noid.Upstream{{}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		s.dialer.Resolver.(*Resolver).Noid = r
		c, _ := s.dial()
		// The system's file blocks the name: that is an answer.
		if err := os.WriteFile(s.file+".system", []byte("0.0.0.0 server.example.net\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		s.want("without an address", c, serverAddrs[0])
		if _, err := c.Write([]byte("x")); err != nil {
			t.Errorf("before its time: %v", err)
		}
		time.Sleep(15 * time.Minute)
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after its time: %v", err)
		}
	})
}

// N28: only names of people of this host are completed.
func TestN28Relative(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(file, []byte("gw.example.net udp=9899 9.0.0.1\ngw 9.6.6.6 merge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, err := noid.New(noid.Config{HostsFile: file, Upstreams: []noid.Upstream{{}}, Search: []string{"example.net"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := &Resolver{Noid: n, Local: func() []netip.Addr { return nil }, Relative: true}
	got, err := r.Resolve(t.Context(), "gw", 80)
	if err != nil || len(got.MH) != 1 || got.MH[0].Name != "gw.example.net" {
		t.Errorf("completed: %+v, %v", got, err)
	}
	r.Relative = false
	if got, err = r.Resolve(t.Context(), "gw", 80); len(got.MH) > 0 {
		t.Errorf("not completed: %+v, %v", got, err)
	}
}
