package tcpemu

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A peer of a rendezvous listens, and accepts nothing unless the test does.
type caller struct {
	*party
	end chan called
}

type called struct {
	c   *Conn
	err error
}

// addCaller has a host listen under a name, with nobody who accepts.
func (w *town) addCaller(h *townHost, name string) *caller {
	p := &party{w: w, name: name, endpoint: listenOnHost(w.t, h.Host, h.addrs)}
	var err error
	p.l, err = Listen(p.endpoint, &ListenConfig{Name: name, Resolver: w})
	must(w.t, err)
	p.d = &Dialer{Endpoint: p.endpoint, Resolver: w, Name: name, Listener: p.l}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.d.Close(ctx)
		p.l.Shutdown(ctx)
		p.endpoint.Close()
	})
	return &caller{p, make(chan called, 1)}
}

// call dials from a port, at most for a minute.
func (p *caller) call(from uint16, address string) {
	go func() { // ends with the dial
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := p.d.DialFrom(ctx, from, address)
		conn, _ := c.(*Conn)
		p.end <- called{conn, err}
	}()
}

// callers are two hosts that know each other's names.
func callers(t *testing.T) (a, b *caller) {
	w := newTown(t)
	a, b = w.addCaller(w.addHost(1), "a.example"), w.addCaller(w.addHost(1), "b.example")
	w.register("a.example", a.endpoint)
	w.register("b.example", b.endpoint)
	return a, b
}

// acquaint makes an association, and leaves no connection on it.
func (p *caller) acquaint(o *caller) {
	p.w.t.Helper()
	p.call(1, o.name+":1")
	x, err := o.l.Accept()
	must(p.w.t, err)
	y := <-p.end
	must(p.w.t, y.err)
	x.Close()
	y.c.Close()
	time.Sleep(time.Second)
}

// wantJoined checks that both ends have one connection, and no other.
func wantJoined(t *testing.T, x, y net.Conn) {
	t.Helper()
	for _, c := range [][2]net.Conn{{x, y}, {y, x}} {
		from, to := c[0], c[1]
		text := fmt.Sprint("from ", from.LocalAddr())
		if _, err := io.WriteString(from, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
			t.Fatalf("%v read %q, %v, want %q", to.LocalAddr(), got, err, text)
		}
		if from.LocalAddr().String() != to.RemoteAddr().String() {
			t.Errorf("%v is called %v by its peer", from.LocalAddr(), to.RemoteAddr())
		}
		must(t, from.(interface{ CloseWrite() error }).CloseWrite())
		if n, err := to.Read(got); n > 0 || err != io.EOF {
			t.Errorf("%v read %d octets, %v after the end", to.LocalAddr(), n, err)
		}
	}
	must(t, x.Close())
	must(t, y.Close())
}

// wantNone checks that neither has a connection left, or one that waits.
func wantNone(t *testing.T, all ...*caller) {
	t.Helper()
	time.Sleep(time.Second)
	for _, p := range all {
		p.l.backlog.mu.Lock()
		if n := len(p.l.backlog.queue) + len(p.l.backlog.parked) + len(p.l.backlog.calls); n > 0 {
			t.Errorf("%s: %d connections wait to be accepted, or dials for one", p.name, n)
		}
		p.l.backlog.mu.Unlock()
		for _, s := range append(p.l.Associations(), p.d.Associations()...) {
			if s.Connections > 0 {
				t.Errorf("%s has %d connections left with %v", p.name, s.Connections, s.Peer)
			}
		}
	}
}

// Two programs that dial each other, each from the port that the other one
// dials, get one connection: whoever of them is first, by whatever, over the
// association that there is, or over two that are only being made, and when one
// of the dials comes long after the other's OPEN.
func TestSimultaneousOpen(t *testing.T) {
	for _, how := range []struct {
		known bool
		slow  time.Duration // what it takes to find out who the peer is
	}{{false, 0}, {true, 0}, {false, 200 * time.Millisecond}} {
		for ms := -70; ms <= 70; ms += 5 {
			synctest.Test(t, func(t *testing.T) {
				a, b := callers(t)
				a.w.slow = how.slow
				if how.known {
					a.acquaint(b)
				}
				first, second := a, b
				if ms < 0 {
					first, second = b, a
				}
				ports := map[*caller]uint16{a: 1000, b: 2000}
				first.call(ports[first], fmt.Sprint(second.name, ":", ports[second]))
				time.Sleep(time.Duration(max(ms, -ms)) * time.Millisecond)
				second.call(ports[second], fmt.Sprint(first.name, ":", ports[first]))
				x, y := <-a.end, <-b.end
				if x.err != nil || y.err != nil {
					t.Fatalf("%+v, %d ms: a %v, b %v", how, ms, x.err, y.err)
				}
				wantJoined(t, x.c, y.c)
				wantNone(t, a, b)
			})
		}
	}
}

// A dial takes nothing that is not from the host that it dials: not from another
// one, whose ports match, nor from another user of that host, who claims its
// name, nor from another port.
func TestDialIsNotHijacked(t *testing.T) {
	for _, known := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := callers(t)
			w := a.w
			others := []*caller{w.addCaller(w.addHost(1), "m.example"), w.addCaller(w.hosts[1], "b.example")}
			w.register("m.example", others[0].endpoint)
			if known {
				for _, m := range others {
					m.acquaint(a)
				}
			}
			a.call(1000, "b.example:2000")
			time.Sleep(time.Second)
			for _, m := range others {
				m.call(2000, "a.example:1000")
			}
			b.call(2001, "a.example:1000")
			time.Sleep(10 * time.Second)
			if len(a.end) > 0 {
				x := <-a.end
				t.Fatalf("known %v: the dial ended: %v, %v", known, x.c, x.err)
			}
			for range 3 {
				c, err := a.l.Accept() // they are asked for by everybody
				must(t, err)
				c.Close()
			}
			y := <-b.end
			must(t, y.err)
			y.c.Close()
			b.call(2000, "a.example:1000")
			x, y := <-a.end, <-b.end
			must(t, x.err)
			must(t, y.err)
			wantJoined(t, x.c, y.c)
			for _, m := range others {
				y := <-m.end
				must(t, y.err)
				y.c.Close()
			}
			wantNone(t, a, b)
		})
	}
}

// A port dials one port of a host at a time; the dial over, it may again.
func TestDialFromIsExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := callers(t)
		a.call(1000, "b.example:2000")
		time.Sleep(time.Second)
		_, err := a.d.DialFrom(t.Context(), 1000, "b.example:2000")
		wantIs(t, "a second one", err, syscall.EADDRINUSE)
		x := <-a.end
		wantIs(t, "one that nobody answers", x.err, context.DeadlineExceeded)
		time.Sleep(time.Second) // until b knows
		a.call(1000, "b.example:2000")
		b.call(2000, "a.example:1000")
		x, y := <-a.end, <-b.end
		must(t, x.err)
		must(t, y.err)
		wantJoined(t, x.c, y.c)
		for _, address := range []string{"b.example:0", "b.example"} {
			if _, err := a.d.DialFrom(t.Context(), 1000, address); err == nil {
				t.Errorf("%s is dialled", address)
			}
		}
	})
}

// The same over TCP: what wantJoined asks for is what it shows. Two sockets that
// drop what comes stay in SYN-SENT, until the SYN that each sends again finds the
// other one there.
func TestSimultaneousOpenOfTCP(t *testing.T) {
	var fds [2]int
	var files [2]*os.File
	var ports [2]unix.Sockaddr
	drop := &unix.SockFprog{Len: 1, Filter: &unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K}}
	for i := range fds {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
		must(t, unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, drop))
		ports[i], err = unix.Getsockname(fd)
		must(t, err)
		fds[i], files[i] = fd, os.NewFile(uintptr(fd), "")
		defer files[i].Close()
	}
	for i, fd := range fds {
		wantIs(t, "connect", unix.Connect(fd, ports[1-i]), unix.EINPROGRESS)
	}
	var ends [2]net.Conn
	for _, fd := range fds {
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0))
	}
	for i, fd := range fds {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(ready, int(stepLimit.Milliseconds())); n != 1 || err != nil {
			t.Fatalf("end %d does not connect: %v", i, err)
		}
		c, err := net.FileConn(files[i])
		must(t, err)
		ends[i] = c
	}
	wantJoined(t, ends[0], ends[1])
}
