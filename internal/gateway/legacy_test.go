package gateway

import (
	"context"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/config"
)

// Every door takes TCP of one path, also from clients that offer more: where
// they were going before a redirection the kernel tells of no other.
func TestDoorsAreSinglePath(t *testing.T) {
	var multi net.ListenConfig
	multi.SetMultipathTCP(true)
	l, err := multi.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if protocol(t, l) != unix.IPPROTO_MPTCP {
		if os.Getenv("CI") == "true" {
			t.Fatal("this kernel has no multipath TCP: set net.mptcp.enabled=1")
		}
		t.Skip("this kernel has no multipath TCP, so there is nothing to tell apart: set net.mptcp.enabled=1")
	}
	g := &gateway{cfg: &config.Gateway{
		Forwards:   []config.Forward{{Listen: "127.0.0.1:0", To: "www.example.net:80"}},
		Intercepts: []config.Intercept{{Listen: "127.0.0.1:0"}, {Listen: "[::1]:0"}},
	}}
	doors, err := g.open()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range doors {
		defer d.Close()
		if p := protocol(t, d.Listener); p != unix.IPPROTO_TCP {
			t.Errorf("%s at %v listens with protocol %d, want TCP", d.key, d.Addr(), p)
		}
	}
	if len(doors) != 3 {
		t.Errorf("%d doors, want 3", len(doors))
	}
}

// protocol is what a socket was opened with.
func protocol(t *testing.T, l net.Listener) (p int) {
	t.Helper()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) { p, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return p
}
