package splice

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// An urgent octet comes out as one: TCP keeps it apart from the others for who
// does not ask for it in line.
func TestUrgentPassesThrough(t *testing.T) {
	client, server, done := joined(t, t.Context())
	for _, x := range []*net.TCPConn{client, server} {
		x.SetNoDelay(true)
	}
	client.Write([]byte("ab"))
	oob(t, client, func(fd int) bool {
		return unix.Send(fd, []byte{'c'}, unix.MSG_OOB) == nil
	})
	client.Write([]byte("de"))
	b := make([]byte, 2)
	if _, err := io.ReadFull(server, b); err != nil || string(b) != "ab" {
		t.Fatalf("before it: %q, %v", b, err)
	}
	oob(t, server, func(fd int) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}, 5000)
		if n != 1 || err != nil {
			return false
		}
		n, _, err = unix.Recvfrom(fd, b, unix.MSG_OOB)
		return err == nil && n == 1 && b[0] == 'c'
	})
	if _, err := io.ReadFull(server, b); err != nil || string(b) != "de" {
		t.Fatalf("after it: %q, %v", b, err)
	}
	client.CloseWrite()
	server.CloseWrite()
	if r := <-done; r.Up != 5 || r.Err != nil {
		t.Errorf("%+v", r)
	}
}

func oob(t *testing.T, c *net.TCPConn, f func(fd int) bool) {
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
