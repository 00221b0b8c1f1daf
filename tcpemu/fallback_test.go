package tcpemu

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// answers is a resolver that gives one answer, or an error.
type answers struct {
	names
	targets Targets
	err     error
}

func (a answers) Resolve(context.Context, string, uint16) (Targets, error) { return a.targets, a.err }

// legacyServer echoes over TCP and counts who connects.
type legacyServer struct {
	t  *testing.T
	l  *net.TCPListener
	wg sync.WaitGroup
}

func newLegacyServer(t *testing.T) *legacyServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &legacyServer{t: t, l: l.(*net.TCPListener)}
	t.Cleanup(func() { l.Close(); s.wg.Wait() })
	return s
}

func (s *legacyServer) addr() netip.AddrPort { return s.l.Addr().(*net.TCPAddr).AddrPort() }

// echo serves one connection.
func (s *legacyServer) echo() {
	s.wg.Go(func() { // ends with the connection
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
		c.(*net.TCPConn).CloseWrite()
	})
}

// wantNobody checks that no connection waits.
func (s *legacyServer) wantNobody() {
	s.t.Helper()
	must(s.t, s.l.SetDeadline(time.Now()))
	if c, err := s.l.Accept(); err == nil {
		s.t.Errorf("%v connected by TCP", c.RemoteAddr())
		c.Close()
	}
}

// silent is a peer that takes datagrams and answers none.
type silent struct {
	net.PacketConn
	heard atomic.Int64
}

func newSilent(t *testing.T) *silent {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	s := &silent{PacketConn: c}
	done := make(chan struct{})
	go func() { // ends when the test closes c
		defer close(done)
		for buf := make([]byte, 2048); ; s.heard.Add(1) {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return s
}

// endpoint is the peer as a resolver has it.
func (s *silent) endpoint() []Endpoint {
	return []Endpoint{{Name: "silent.example", Remotes: []netip.AddrPort{s.LocalAddr().(*net.UDPAddr).AddrPort()}}}
}

// newFallbackDialer returns a dialer that may fall back.
func newFallbackDialer(t *testing.T, a answers) *Dialer {
	t.Helper()
	d := &Dialer{Endpoint: listenOn(t, backends.dialer), Resolver: a, Fallback: new(Fallback)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d.Close(ctx)
	})
	return d
}

// dialLegacy dials and checks that TCP won, for a reason that has these words,
// and that both directions end apart.
func dialLegacy(t *testing.T, d *Dialer, network string, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := d.DialContext(ctx, network, "www.example:80")
	must(t, err)
	defer c.Close()
	l, ok := c.(*LegacyConn)
	if !ok {
		t.Fatalf("connected by a %T", c)
	}
	if tr := l.Transport(); tr != "tcp" && tr != "mptcp" {
		t.Errorf("transport %q", tr)
	}
	for _, w := range words {
		if !strings.Contains(l.Reason(), w) {
			t.Errorf("reason %q does not say %q", l.Reason(), w)
		}
	}
	msg := []byte("question")
	_, err = l.Write(msg)
	must(t, err)
	must(t, l.CloseWrite())
	if b, err := io.ReadAll(l); !bytes.Equal(b, msg) || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

// A host that does not speak mh is reached at the address that answers.
func TestFallbackWithoutRecord(t *testing.T) {
	closed, open := newLegacyServer(t), newLegacyServer(t)
	closed.l.Close()
	for _, network := range []string{"tcp", "tcp4"} {
		open.echo()
		d := newFallbackDialer(t, answers{targets: Targets{Legacy: []netip.AddrPort{closed.addr(), open.addr()}, Reason: "it has no record"}})
		dialLegacy(t, d, network, "it has no record", closed.addr().String(), "connection refused")
	}
	d := newFallbackDialer(t, answers{targets: Targets{Legacy: []netip.AddrPort{open.addr()}}})
	if _, err := d.DialContext(t.Context(), "tcp6", "www.example:80"); !errors.Is(err, syscall.EPROTONOSUPPORT) {
		t.Errorf("tcp6 to an IPv4 address: %v", err)
	}
	open.wantNobody()
}

// A host that should speak mh and says nothing is reached by TCP; the next time
// that goes first, and mh is left in peace.
func TestFallbackFromSilence(t *testing.T) {
	peer, server := newSilent(t), newLegacyServer(t)
	d := newFallbackDialer(t, answers{targets: Targets{MH: peer.endpoint(), Legacy: []netip.AddrPort{server.addr()}}})
	server.echo()
	start := time.Now()
	dialLegacy(t, d, "tcp", "mh: no answer so far")
	if took := time.Since(start); took < mhHeadStart {
		t.Errorf("mh had %v to itself, want %v", took, mhHeadStart)
	}
	if peer.heard.Load() == 0 {
		t.Error("the peer has heard nothing")
	}
	// Another peer, so that nothing that is still under way from the first race
	// is taken for a second one.
	again := newSilent(t)
	e := newFallbackDialer(t, answers{targets: Targets{MH: again.endpoint(), Legacy: []netip.AddrPort{server.addr()}}})
	e.Fallback = d.Fallback
	server.echo()
	dialLegacy(t, e, "tcp", "it has won here before")
	if n := again.heard.Load(); n != 0 {
		t.Errorf("the peer has heard %d datagrams", n)
	}
}

// Where mh works nobody connects by TCP.
func TestNoFallbackFromSuccess(t *testing.T) {
	w, server := newWorld(t, names{}), newLegacyServer(t)
	targets, err := w.dialer.Resolver.Resolve(t.Context(), "server.example", 80)
	must(t, err)
	targets.Legacy = []netip.AddrPort{server.addr()}
	d := newFallbackDialer(t, answers{targets: targets})
	accepted := make(chan error, 1)
	go func() { // ends with one accept
		c, err := w.l.Accept()
		if err == nil {
			c.Close()
		}
		accepted <- err
	}()
	c, err := d.DialContext(t.Context(), "tcp", "www.example:80")
	must(t, err)
	must(t, <-accepted)
	if _, ok := c.(*Conn); !ok {
		t.Errorf("connected by a %T", c)
	}
	c.Close()
	server.wantNobody()
}

// The host's own refusal is an answer.
func TestNoFallbackFromRefusal(t *testing.T) {
	w, server := newWorld(t, names{}), newLegacyServer(t)
	targets, err := w.dialer.Resolver.Resolve(t.Context(), "server.example", 80)
	must(t, err)
	targets.Legacy = []netip.AddrPort{server.addr()}
	d := newFallbackDialer(t, answers{targets: targets})
	go func() { // ends with one question
		if o, err := w.l.AcceptOpen(t.Context()); err == nil {
			o.Reject(CodeRefused, "nobody listens")
		}
	}()
	_, err = d.DialContext(t.Context(), "tcp", "www.example:80")
	wantIs(t, "refused", err, syscall.ECONNREFUSED)
	server.wantNobody()
}

// What forbids to fall back.
func TestNoFallback(t *testing.T) {
	peer, server := newSilent(t), newLegacyServer(t)
	legacy := []netip.AddrPort{server.addr()}
	capable := Targets{MH: peer.endpoint(), Legacy: legacy}
	for _, test := range []struct {
		what    string
		network string
		answers answers
		change  func(*Dialer)
		want    error
	}{
		{"the caller wants mh", "mh", answers{targets: capable}, func(*Dialer) {}, syscall.ETIMEDOUT},
		{"there is no Fallback", "tcp", answers{targets: capable}, func(d *Dialer) { d.Fallback = nil }, syscall.ETIMEDOUT},
		{"through a gateway", "tcp", answers{targets: capable}, func(d *Dialer) { d.Via = "gw.example" }, syscall.ETIMEDOUT},
		{"a downgrade", "tcp", answers{targets: Targets{MH: peer.endpoint(), Legacy: legacy, NoFallback: true}}, func(*Dialer) {}, syscall.ETIMEDOUT},
		{"a record that did not come", "tcp", answers{targets: Targets{Legacy: legacy, NoFallback: true}}, func(*Dialer) {}, syscall.EACCES},
		{"no answer to the name", "tcp", answers{targets: Targets{Legacy: legacy}, err: errors.New("server failure")}, func(*Dialer) {}, syscall.EHOSTUNREACH},
	} {
		d := newFallbackDialer(t, test.answers)
		test.change(d)
		ctx, cancel := context.WithTimeout(t.Context(), mhHeadStart+200*time.Millisecond)
		_, err := d.DialContext(ctx, test.network, "www.example:80")
		cancel()
		wantIs(t, test.what, err, test.want)
	}
	server.wantNobody()
}

// A name that the system resolves, and one that it does not.
func TestFallbackAlone(t *testing.T) {
	server := newLegacyServer(t)
	_, port, _ := net.SplitHostPort(server.addr().String())
	var f Fallback
	server.echo()
	c, err := f.DialContext(t.Context(), "tcp4", net.JoinHostPort("localhost", port))
	must(t, err)
	c.Close()
	var dns *net.DNSError
	if _, err := f.DialContext(t.Context(), "tcp", "nowhere.invalid:80"); !errors.As(err, &dns) {
		t.Errorf("nowhere.invalid: %v", err)
	}
	server.l.Close()
	_, err = f.DialContext(t.Context(), "tcp", server.addr().String())
	wantIs(t, "closed", err, syscall.ECONNREFUSED)
}
