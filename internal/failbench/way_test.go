package failbench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/sctpmh"
)

// A way is a transport protocol.
type way struct {
	name  string
	few   bool // it stalls until the limit each time: three runs tell all
	serve func(w *world, paths int) (*service, error)
}

// A service is a server that waits, and how to get a connection with it.
type service struct {
	dial, accept func(context.Context) (conn, error)
	close        func()
}

// A conn is one end of a connection.
type conn interface {
	send(ctx context.Context, b []byte) error // b is the connection's from then on
	recv(ctx context.Context, b []byte) (n int, err error)
	bulk() int // octets that are best sent at a time
	close()    // at once; a recv that waits returns
}

// ways are ours and those that people use today, where the kernel has them.
func ways(cfg *sctpmh.Config) []way {
	all := []way{{name: "sctpmh", serve: func(w *world, paths int) (*service, error) { return serveOurs(w, paths, cfg) }}}
	if testnet.HasMPTCP() {
		all = append(all, way{name: "MPTCP", serve: func(w *world, _ int) (*service, error) { return serveTCP(w, true) }})
	}
	return append(all, way{name: "TCP", few: true, serve: func(w *world, _ int) (*service, error) { return serveTCP(w, false) }})
}

// An assoc is an association of ours.
type assoc struct{ *sctpmh.Assoc }

func (a assoc) send(ctx context.Context, b []byte) error {
	return a.Send(ctx, sctpmh.Message{Stream: 1, Data: b})
}

func (a assoc) recv(ctx context.Context, _ []byte) (int, error) {
	m, err := a.Recv(ctx)
	return len(m.Data), err
}

func (a assoc) bulk() int { return a.MaxPayload() }
func (a assoc) close()    { a.Abort("done") }

// serveOurs uses as many of the wires as are asked for.
func serveOurs(w *world, paths int, cfg *sctpmh.Config) (*service, error) {
	server, err := listen(w.server, w.serverAddr[:paths], cfg)
	if err != nil {
		return nil, err
	}
	client, err := listen(w.client, w.clientAddr[:paths], cfg)
	if err != nil {
		server.Close()
		return nil, err
	}
	permit := func(a *sctpmh.Assoc, err error, peer []netip.Addr) (conn, error) {
		if err != nil {
			return nil, err
		}
		a.Permit(peer)
		return assoc{a}, nil
	}
	return &service{
		dial: func(ctx context.Context) (c conn, err error) {
			err = w.client.Do(func() error { // where routes are looked up
				a, err := client.Dial(ctx, server.Addrs())
				c, err = permit(a, err, w.serverAddr[:paths])
				return err
			})
			return c, err
		},
		accept: func(ctx context.Context) (conn, error) {
			a, err := server.Accept(ctx)
			return permit(a, err, w.clientAddr[:paths])
		},
		close: func() { server.Close(); client.Close() },
	}, nil
}

func listen(h *testnet.Host, addrs []netip.Addr, cfg *sctpmh.Config) (e *sctpmh.Endpoint, err error) {
	var locals []netip.AddrPort
	for _, a := range addrs {
		locals = append(locals, netip.AddrPortFrom(a, 0))
	}
	err = h.Do(func() error { e, err = sctpmh.Listen(locals, cfg); return err })
	return e, err
}

// A stream is a TCP connection, with one path or more.
type stream struct{ *net.TCPConn }

func (s stream) send(_ context.Context, b []byte) error              { _, err := s.Write(b); return err }
func (s stream) recv(_ context.Context, b []byte) (n int, err error) { return s.Read(b) }
func (s stream) bulk() int                                           { return 1 << 16 }

// close leaves nothing for the kernel to repeat.
func (s stream) close() { s.SetLinger(0); s.Close() }

// serveTCP is reached over wire A.
func serveTCP(w *world, multipath bool) (*service, error) {
	var l net.Listener
	err := w.server.Do(func() (err error) {
		lc := net.ListenConfig{Control: cubic}
		lc.SetMultipathTCP(multipath)
		l, err = lc.Listen(context.Background(), "tcp4", ":0") // subflows come to the other address
		return err
	})
	if err != nil {
		return nil, err
	}
	server := netip.AddrPortFrom(w.serverAddr[0], uint16(l.Addr().(*net.TCPAddr).Port)).String()
	return &service{
		dial: func(ctx context.Context) (c conn, err error) {
			err = w.client.Do(func() error {
				c, err = dialTCP(ctx, server, multipath)
				return err
			})
			return c, err
		},
		accept: func(ctx context.Context) (conn, error) {
			defer context.AfterFunc(ctx, func() { l.Close() })()
			c, err := l.Accept()
			if err != nil {
				return nil, err
			}
			return stream{c.(*net.TCPConn)}, nil
		},
		close: func() { l.Close() },
	}, nil
}

func dialTCP(ctx context.Context, server string, multipath bool) (conn, error) {
	d := net.Dialer{Control: cubic}
	d.SetMultipathTCP(multipath)
	c, err := d.DialContext(ctx, "tcp4", server)
	if err != nil {
		return nil, err
	}
	s := stream{c.(*net.TCPConn)}
	if is, err := s.MultipathTCP(); err != nil || is != multipath {
		s.close()
		return nil, errors.Join(errors.New("MPTCP was not agreed on"), err)
	}
	return s, nil
}

// cubic sets a socket's congestion control: a namespace of ordinary users may
// not have it as the default where the system has another one.
func cubic(_, _ string, c syscall.RawConn) error {
	var err error
	cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("congestion control CUBIC, module tcp_cubic: %w", err)
	}
	return nil
}
