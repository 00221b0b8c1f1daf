package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	socks "golang.org/x/net/proxy"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// A stage is an mh-socks with callbacks, whose clock can be turned, between a
// client and two peers.
type stage struct {
	t     *testing.T
	proxy *proxy
	peers map[string]*tcpemu.Listener
	late  atomic.Int64 // how far the clock is ahead
}

// loopback is one of this process's addresses: another one may run the same
// test.
func loopback(n byte) netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, 78 + n, byte(pid >> 8), byte(pid)})
}

var socksAddr = netip.AddrPortFrom(loopback(0), 1080).String()

// A readyLog is a log that is closed when it says that the daemon is ready.
type readyLog chan struct{}

func (l readyLog) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(`"msg":"ready"`)) {
		close(l)
	}
	return len(b), nil
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, peers: make(map[string]*tcpemu.Listener)}
	hosts := ""
	for i, name := range []string{"gw.example.net", "other.example.net"} {
		addr := netip.AddrPortFrom(loopback(byte(1+i)), noid.DefaultUDPPort)
		hosts += fmt.Sprintf("%s udp=%d ver=1 flags=1 %v\n", name, addr.Port(), addr.Addr())
		e, err := sctpmh.Listen([]netip.AddrPort{addr}, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
		s.must(err)
		l, err := tcpemu.Listen(e, &tcpemu.ListenConfig{Name: name})
		s.must(err)
		s.peers[name] = l
		t.Cleanup(func() { l.Close(); e.Close() })
	}
	cfg := config.DefaultSocks()
	cfg.Name, cfg.Callback.FTP, cfg.Listen = "laptop.example.net", true, []config.HostPort{config.HostPort(socksAddr)}
	cfg.Transport.Local = []config.Address{{Addr: loopback(0)}}
	cfg.DNS.Upstream = []config.Upstream{{Upstream: noid.Upstream{Addr: netip.AddrPortFrom(loopback(0), 53)}}} // nobody, and nobody asks
	cfg.DNS.Hosts = filepath.Join(t.TempDir(), "hosts")
	s.must(os.WriteFile(cfg.DNS.Hosts, []byte(hosts), 0o600))
	ready := make(readyLog)
	h, err := daemon.Start(&cfg.Common, ready, true)
	s.must(err)
	s.proxy, err = newProxy(cfg, h)
	s.must(err)
	s.proxy.callbacks.now = func() time.Time { return time.Now().Add(time.Duration(s.late.Load())) }
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		if err := s.proxy.run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait(); h.Close() })
	select {
	case <-ready:
	case <-time.After(10 * time.Second):
		t.Fatal("mh-socks is not ready in time")
	}
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// open opens a connection through mh-socks to a port of a peer and returns both
// ends.
func (s *stage) open(peer string, port uint16) (client net.Conn, server *tcpemu.Conn) {
	s.t.Helper()
	accepted := make(chan *tcpemu.Conn, 1)
	go func() { // ends with the connection, or the test
		defer close(accepted)
		if o, err := s.peers[peer].AcceptOpen(s.t.Context()); err == nil {
			c, _ := o.Accept(netip.AddrPort{})
			accepted <- c
		}
	}()
	d, err := socks.SOCKS5("tcp", socksAddr, nil, nil)
	s.must(err)
	client, err = d.Dial("tcp", fmt.Sprintf("%s:%d", peer, port))
	s.must(err)
	if server = <-accepted; server == nil {
		s.t.Fatalf("%s has no connection", peer)
	}
	s.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// announce has the client announce an address, and waits until the server has
// read that.
func (s *stage) announce(client net.Conn, server *tcpemu.Conn, at netip.AddrPort) {
	s.t.Helper()
	line := fmt.Appendf(nil, "EPRT |1|%v|%d|\r\n", at.Addr(), at.Port())
	_, err := client.Write(line)
	s.must(err)
	got := make([]byte, len(line))
	_, err = io.ReadFull(server, got)
	s.must(err)
	if !bytes.Equal(got, line) {
		s.t.Fatalf("the server read %q, want %q", got, line)
	}
}

// wantRefused has a server connect to an address, and mh-socks refuse it and
// count it.
func (s *stage) wantRefused(why string, server *tcpemu.Conn, at netip.AddrPort) {
	s.t.Helper()
	b := s.proxy.callbacks
	b.mu.Lock()
	before := b.refused
	b.mu.Unlock()
	c, err := server.DialBack(s.t.Context(), at)
	var refused *tcpemu.RefusedError
	if !errors.As(err, &refused) || refused.Code != tcpemu.CodeDenied {
		s.t.Errorf("%s: %v, %v, want it denied", why, c, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused != before+1 {
		s.t.Errorf("%s: counted %d times", why, b.refused-before)
	}
}

// wantConnected has a server connect to an address, and checks that the client
// gets the connection.
func (s *stage) wantConnected(why string, server *tcpemu.Conn, at netip.AddrPort, l net.Listener) {
	s.t.Helper()
	out, err := server.DialBack(s.t.Context(), at)
	if err != nil {
		s.t.Fatalf("%s: %v", why, err)
	}
	defer out.Close()
	_, err = io.WriteString(out, why)
	s.must(err)
	s.must(out.CloseWrite())
	in, err := l.Accept()
	s.must(err)
	defer in.Close()
	if got, err := io.ReadAll(in); err != nil || string(got) != why {
		s.t.Fatalf("%s: the client read %q, %v", why, got, err)
	}
}

// Who is on the other end of a client's FTP gets what the client has announced
// to it, once and within a minute. Nothing else of this host can be reached.
func TestCallbacksTakeOnlyWhatIsAnnounced(t *testing.T) {
	s := newStage(t)
	// The client announces an address that this host has not, and listens at the
	// one by which it talks to mh-socks.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer l.Close()
	port := addrPort(l.Addr()).Port()
	at := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port)

	client, server := s.open("gw.example.net", 21)
	_, stranger := s.open("other.example.net", 21)
	s.wantRefused("what nobody has announced", server, at)
	s.announce(client, server, at)
	s.wantRefused("another port than was announced", server, netip.AddrPortFrom(at.Addr(), port-1))
	s.wantRefused("another address than was announced", server, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	s.wantRefused("from another peer than it was announced to", stranger, at)
	s.wantConnected("what was announced", server, at, l)
	s.wantRefused("what was announced, a second time", server, at)

	s.announce(client, server, at)
	s.late.Store(int64(61 * time.Second))
	s.wantRefused("what was announced a minute ago", server, at)
	s.announce(client, server, at)
	s.wantConnected("what was announced again", server, at, l)

	for _, system := range []uint16{22, 1023} {
		s.announce(client, server, netip.AddrPortFrom(at.Addr(), system))
		s.wantRefused("a port of the system's", server, netip.AddrPortFrom(at.Addr(), system))
	}
	other, web := s.open("gw.example.net", 80)
	s.announce(other, web, at)
	s.wantRefused("what was announced on a connection that is no FTP", web, at)
	l.Close()
	s.announce(client, server, at)
	s.wantRefused("a port at which the client does not listen", server, at)
}

// By itself an mh-socks takes no connection of a peer.
func TestCallbacksAreOff(t *testing.T) {
	p, err := newProxy(config.DefaultSocks(), &daemon.Host{})
	if err != nil || p.callbacks != nil || p.direct.Listener != nil || p.via.Listener != nil {
		t.Errorf("%+v, %v", p, err)
	}
}
