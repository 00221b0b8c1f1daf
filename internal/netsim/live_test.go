package netsim

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/datagram"
)

// live joins two hosts and opens a socket on each.
func live(t *testing.T, c Config) (n *Live, a, b datagram.Socket, link *Link) {
	t.Helper()
	n = NewLive(1)
	from, to := n.AddHost(), n.AddHost()
	n.Do(func(n *Net) {
		link = n.Join("link", from, []netip.Addr{left.Addr()}, to, []netip.Addr{right.Addr()}, c, c)
	})
	a, b = listen(t, from, left), listen(t, to, right)
	return n, a, b, link
}

func listen(t *testing.T, h *Host, local netip.AddrPort) datagram.Socket {
	t.Helper()
	s, err := h.Listen(local)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantPacket fails unless the next packet has the text and comes from left,
// after a time.
func wantPacket(t *testing.T, s datagram.Socket, text string, after time.Duration) {
	t.Helper()
	start := time.Now()
	p, err := s.Receive()
	if string(p.Data) != text || p.Src != left || err != nil || time.Since(start) != after {
		t.Errorf("%q from %v after %v, %v: want %q from %v after %v", p.Data, p.Src, time.Since(start), err, text, left, after)
	}
}

func send(t *testing.T, s datagram.Socket, to netip.AddrPort, text string) {
	t.Helper()
	if err := s.Send(datagram.Packet{Dst: to, Data: []byte(text)}); err != nil {
		t.Errorf("send %q to %v: %v", text, to, err)
	}
}

func TestLivePacketsTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b, link := live(t, Config{Delay: time.Hour})
		send(t, a, right, "one")
		time.Sleep(time.Minute)
		send(t, a, right, "two")
		wantPacket(t, b, "one", 59*time.Minute)
		wantPacket(t, b, "two", time.Minute)
		n.Do(func(*Net) { link.Cut(true, true) })
		send(t, a, right, "into the void")
		n.Do(func(*Net) { link.Cut(false, false); link.SetDelay(time.Second) })
		send(t, a, right, "three")
		wantPacket(t, b, "three", time.Second)
		send(t, a, netip.AddrPortFrom(right.Addr(), 9), "to nobody")
		send(t, a, right, "four")
		wantPacket(t, b, "four", time.Second)
	})
}

func TestLiveSocketsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b, _ := live(t, Config{Delay: time.Second})
		time.AfterFunc(time.Minute, func() { b.Close() })
		if _, err := b.Receive(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a Receive that waits: %v", err)
		}
		if err := b.Send(datagram.Packet{Dst: left}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Send on a closed socket: %v", err)
		}
		send(t, a, right, "nobody listens")
		time.Sleep(time.Minute)
		h := n.AddHost()
		free := netip.AddrPortFrom(right.Addr(), 0)
		c, d := listen(t, h, free), listen(t, h, free)
		if c.Local().Port() == 0 || c.Local() == d.Local() {
			t.Errorf("free ports: %v and %v", c.Local(), d.Local())
		}
		if _, err := h.Listen(c.Local()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a port that is taken: %v", err)
		}
		c.Close()
		listen(t, h, c.Local())
	})
}

// A flood fills the socket's buffer and no more.
func TestLiveSocketBufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := live(t, Config{})
		for range socketBuffer + 10 {
			send(t, a, right, "x")
		}
		synctest.Wait()
		for range socketBuffer {
			wantPacket(t, b, "x", 0)
		}
		time.AfterFunc(time.Second, func() { b.Close() })
		if p, err := b.Receive(); err == nil {
			t.Errorf("one too many: %q", p.Data)
		}
	})
}
