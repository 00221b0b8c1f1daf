package daemon

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// A telnet client's Synch comes to the server as urgent as it was sent: TCP, an
// association, TCP.
func TestUrgentFromTCPToTCP(t *testing.T) {
	streams := Streams{Log: slog.New(slog.DiscardHandler)}
	client, in := tcpPair(t)
	out, server := tcpPair(t)
	near, far := associated(t)
	go streams.Run(Stream{}, in, near) // ends when both directions have
	go streams.Run(Stream{}, far, out) // so does this

	write(t, client, "abort")
	withFD(t, client, func(fd int) bool { return unix.Send(fd, []byte{0xf2}, unix.MSG_OOB) == nil })
	write(t, client, "go on")
	b := make([]byte, 5)
	if _, err := io.ReadFull(server, b); err != nil || string(b) != "abort" {
		t.Fatalf("before it: %q, %v", b, err)
	}
	withFD(t, server, func(fd int) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, 10_000)
		if n != 1 || err != nil {
			return false
		}
		n, _, err = unix.Recvfrom(fd, b, unix.MSG_OOB)
		return err == nil && n == 1 && b[0] == 0xf2
	})
	if _, err := io.ReadFull(server, b); err != nil || string(b) != "go on" {
		t.Fatalf("after it: %q, %v", b, err)
	}
	client.Close()
	server.Close()
	streams.Drain(0)
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := c.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func withFD(t *testing.T, c *net.TCPConn, f func(fd int) bool) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ok := false
	if err := raw.Control(func(fd uintptr) { ok = f(int(fd)) }); err != nil || !ok {
		t.Fatalf("no urgent octet: %v", err)
	}
}

func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// associated returns the two ends of a connection over an association.
func associated(t *testing.T) (near, far net.Conn) {
	t.Helper()
	addr := netip.MustParseAddrPort("127.77.0.1:9899")
	server, err := sctpmh.Listen([]netip.AddrPort{addr}, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
	if err != nil {
		t.Fatal(err)
	}
	client, err := sctpmh.Listen([]netip.AddrPort{netip.MustParseAddrPort("127.77.0.2:0")}, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
	if err != nil {
		t.Fatal(err)
	}
	l, err := tcpemu.Listen(server, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &tcpemu.Dialer{Endpoint: client}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		d.Close(ctx)
		l.Close()
		client.Close()
		server.Close()
	})
	accepted := make(chan net.Conn, 1)
	go func() { // ends with the connection, or the listener
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	near, err = d.DialContext(t.Context(), "mh", netip.AddrPortFrom(addr.Addr(), 23).String())
	if err != nil {
		t.Fatal(err)
	}
	return near, <-accepted
}
