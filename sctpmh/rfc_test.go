//go:build linux

package sctpmh

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// 9260 10 (ICMP3), 6951 5.5: an ICMP message that the UDP port is unreachable has no effect. When the peer's socket is
// back everything arrives.
//
//rfc:9260 10-2
//rfc:6951 5.5-1
func TestRFC9260PortUnreachable(t *testing.T) {
	f, e := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	r := newRelay(t, "127.0.0.1:0", f.Addrs()[0])
	a, b := connect(t, e, f, addrs(r.addr().String()))
	r.conn.Close()
	if err := rfcUnreachable(r.addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("this host sends no ICMP: %v", err)
	}
	for _, x := range []*Assoc{a, b} {
		if err := x.Send(t.Context(), Message{Data: []byte("still here")}); err != nil {
			t.Fatal(err)
		}
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if m, err := b.Recv(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("without a way there: %v, %v", m, err)
	}
	for _, x := range []*Assoc{a, b} {
		if p := x.Paths(); len(p) != 1 || p[0].State < PotentiallyFailed || p[0].Errors > 1 || x.Err() != nil {
			t.Errorf("%+v, %v", p, x.Err())
		}
	}
	newRelay(t, r.addr().String(), f.Addrs()[0])
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, x := range []*Assoc{a, b} {
		if m, err := x.Recv(ctx); err != nil || string(m.Data) != "still here" {
			t.Errorf("%v, %v", m, err)
		}
	}
}

// rfcUnreachable returns what a connected socket says of a port without owner.
func rfcUnreachable(to netip.AddrPort) error {
	c, err := net.Dial("udp", to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err = c.Write([]byte{0}); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return err
}

// 9260 14.2: nothing of an association is left at either end when it is over, however it ended.
//
//rfc:9260 14.2-1
func TestRFC9260TCBIsRemoved(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	for how, end := range map[string]func(a *Assoc){
		"shutdown": func(a *Assoc) {
			if err := a.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"abort": func(a *Assoc) { a.Abort("") },
	} {
		a, b := connect(t, e, f, f.Addrs())
		end(a)
		<-a.Done()
		<-b.Done()
		for _, x := range []*Endpoint{e, f} {
			if left := rfcLeft(x); left != 0 {
				t.Errorf("%s: %d entries are left of %d associations", how, left, len(userOf(x).table.all()))
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := e.Dial(ctx, addrs("127.0.0.9:9")); err == nil || rfcLeft(e) != 0 {
		t.Errorf("a dial without answer: %v, %d entries are left", err, rfcLeft(e))
	}
}

// rfcLeft is the number of entries in an endpoint's table.
func rfcLeft(e *Endpoint) int {
	userOf(e).table.mu.Lock()
	defer userOf(e).table.mu.Unlock()
	return len(userOf(e).table.byLocal) + len(userOf(e).table.byPeer) + len(userOf(e).table.byAddr) + len(userOf(e).table.sources)
}

// An association that its peer aborts before anybody accepted it leaves nothing, and the next ones are accepted all the
// same, however many there were (CVE-2014-4667).
func TestAdvisoryAbortBeforeAccept(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range backlogLimit + 10 {
		a, err := e.Dial(ctx, f.Addrs())
		if err != nil {
			t.Fatal(err)
		}
		a.Abort("never mind")
		b, err := f.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		<-a.Done()
		<-b.Done()
	}
	if left := rfcLeft(e) + rfcLeft(f); left != 0 {
		t.Errorf("%d entries are left", left)
	}
	a, b := connect(t, e, f, f.Addrs())
	transfer(t, a, b, 10_000, 100)
}

// 9260 14.1: the keys of cookies are drawn for each endpoint: no other one takes its cookies, even with all else equal.
//
//rfc:9260 14.1-1
func TestRFC9260CookieOfAnotherEndpoint(t *testing.T) {
	f, e := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0") // f is older: the cookie is none of its future
	on := enginePair(netip.MustParseAddrPort("127.0.0.1:9899"), netip.MustParseAddrPort("127.0.0.1:7"))
	init, err := wire.ParseText("4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=100}")
	if err != nil {
		t.Fatal(err)
	}
	var ack []byte
	rfcOn(e, func() {
		userOf(e).engine.Handle(userOf(e).now(), on, init, nil)
		ack, _, _ = userOf(e).engine.Poll(userOf(e).now(), nil)
	})
	c, _, _ := wire.NextChunk(ack[wire.HeaderLen:])
	in, ok := wire.ParseInit(c)
	cookie, _, found := wire.NextParam(in.Params)
	if !ok || !found || cookie.Type != wire.ParamStateCookie {
		t.Fatal(wire.Text(ack))
	}
	echo := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: in.Tag})
	echo = wire.AppendChunk(echo, wire.TypeCookieEcho, 0, cookie.Value)
	wire.SetChecksum(echo)
	for x, want := range map[*Endpoint]bool{f: false, e: true} {
		var made *engine.Assoc
		rfcOn(x, func() { made, _ = userOf(x).engine.Handle(userOf(x).now(), on, echo, nil) })
		if (made != nil) != want {
			t.Errorf("taken: %v, want %v", made != nil, want)
		}
	}
}

// rfcOn runs f on an endpoint's goroutine.
func rfcOn(e *Endpoint, f func()) {
	ran := make(chan struct{})
	userOf(e).command <- func() { f(); close(ran) }
	<-ran
}

// 6951 3.2: an endpoint with one address does not name it, one with several does when asked to.
//
//rfc:6951 3.2-1
func TestRFC6951SingleAddressIsNotListed(t *testing.T) {
	cfg := &Config{ListAddresses: true}
	for listed, local := range map[int][]string{0: {"127.0.0.1:0"}, 2: {"127.0.0.1:0", "127.0.0.2:0"}} {
		e, f := listen(t, cfg, local...), listen(t, cfg, local...)
		a, b := connect(t, e, f, f.Addrs())
		for _, x := range []*Assoc{a, b} {
			if p := x.Peer(); p.Silent != (listed == 0) || len(p.Listed) != listed {
				t.Errorf("%d local addresses: the peer lists %v", len(local), p.Listed)
			}
		}
	}
}

// 6951 5.3: the kernel is not told to leave the UDP checksum out, over IPv4 and IPv6.
//
//rfc:6951 5.3-3
func TestRFC6951UDPChecksum(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		s, err := udp.Listen(netip.MustParseAddrPort(local), false)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		fd := rfcFD(t, s.Local())
		for _, opt := range [][2]int{{unix.SOL_SOCKET, unix.SO_NO_CHECK}, {unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_TX}, {unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_RX}} {
			if v, err := unix.GetsockoptInt(fd, opt[0], opt[1]); err != nil || v != 0 {
				t.Errorf("%s: option %v is %d, %v", local, opt, v, err)
			}
		}
	}
}

// rfcFD finds the socket of this process that is bound to an address.
func rfcFD(t *testing.T, local netip.AddrPort) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for fd := range len(files) + 1024 {
		var at netip.AddrPort
		switch sa, _ := unix.Getsockname(fd); sa := sa.(type) {
		case *unix.SockaddrInet4:
			at = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
		case *unix.SockaddrInet6:
			at = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
		}
		if at == local {
			return fd
		}
	}
	t.Fatalf("no socket on %v", local)
	return -1
}

// 7829 3.2: the user sees that a path becomes potentially failed and active again, and is woken for both.
//
//rfc:7829 3.2-18
func TestRFC7829PathStatesAreShown(t *testing.T) {
	f, e := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	r := newRelay(t, "127.0.0.1:0", f.Addrs()[0])
	a, b := connect(t, e, f, addrs(r.addr().String()))
	awaitConfirmed(t, b, 1)
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for _, want := range []PathState{PotentiallyFailed, Active} {
		if r.silent.Store(want == PotentiallyFailed); want == PotentiallyFailed {
			if err := a.Send(t.Context(), Message{Data: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		for {
			changed := a.PathsChanged()
			if p := a.Paths()[0]; p.State == want && (p.Errors > 0) == (want == PotentiallyFailed) {
				break
			}
			select {
			case <-changed:
			case <-late.C:
				t.Fatalf("nobody says that the path is %v: %+v", want, a.Paths())
			}
		}
	}
}
