package kernel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// A Listener accepts associations.
type Listener struct {
	sock *socket
	cfg  Config
	done atomic.Bool
}

// Listen binds an SCTP socket to the local addresses, of either family, and
// listens at Config.Port. An INIT ACK lists these addresses to peers. Errors
// are *OpError with the address that failed.
func Listen(local []netip.Addr, cfg *Config) (*Listener, error) {
	c := cfg.withDefaults()
	if len(local) == 0 {
		return nil, &OpError{Op: "listen", Port: c.Port, Err: errors.New("no local address: name one, or bring a link up")}
	}
	s, err := open(local, &c, 0)
	if err != nil {
		return nil, &OpError{Op: "listen", Addrs: local, Port: c.Port, Err: err}
	}
	if err := s.bind("listen", local, c.Port); err != nil {
		s.file.Close()
		return nil, err
	}
	if err := s.control(func(fd int) error { return listenSocket(fd, c.Backlog) }); err != nil {
		s.file.Close()
		return nil, &OpError{Op: "listen", Addrs: local, Port: c.Port, Err: err}
	}
	return &Listener{sock: s, cfg: c}, nil
}

// open makes a socket that may use the addresses, with all its options.
func open(addrs []netip.Addr, c *Config, encap uint16) (*socket, error) {
	v6 := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is6() })
	fd, err := openSocket(v6)
	if err != nil {
		return nil, err
	}
	s, err := newSocket(fd)
	if err != nil {
		return nil, err
	}
	if err := s.configure(c, encap); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

func (s *socket) configure(c *Config, encap uint16) error {
	return s.control(func(fd int) error {
		if err := setBuffers(fd, c.ReceiveBuffer, c.SendBuffer); err != nil {
			return err
		}
		for _, o := range c.options(encap) {
			if err := setOption(fd, o.num, o.value); err != nil {
				return &optionError{o.name, err}
			}
		}
		return reuse(fd)
	})
}

// bind adds the local addresses one by one, so that the error names the one
// that failed.
func (s *socket) bind(op string, local []netip.Addr, port uint16) error {
	for _, a := range local {
		if err := s.set(optBindAdd, appendSockaddrs(nil, []netip.Addr{a}, port)); err != nil {
			return &OpError{Op: op + ": bind", Addrs: []netip.Addr{a}, Port: port, Err: err}
		}
	}
	return nil
}

// Accept waits for an association that a peer made. Its error is net.ErrClosed
// after Close, or ctx's, or an *OpError.
func (l *Listener) Accept(ctx context.Context) (*Conn, error) {
	for {
		s, err := l.accept(ctx)
		switch {
		case err == nil:
		case l.done.Load():
			return nil, net.ErrClosed
		case errno(err) == syscall.ECONNABORTED:
			continue
		case errno(err) != 0:
			return nil, &OpError{Op: "accept", Port: l.cfg.Port, Err: err}
		default:
			return nil, err
		}
		if c := newConn(s, l.cfg); c.begin(ctx) {
			return c, nil
		}
	}
}

func (l *Listener) accept(ctx context.Context) (*socket, error) {
	var fd int
	err := l.sock.in.do(ctx, func(listener int) (err error) {
		fd, err = acceptSocket(listener)
		return err
	})
	if err != nil {
		return nil, err
	}
	return newSocket(fd)
}

// begin looks at an association that was accepted. What happened in its
// handshake is there to be read, so this does not wait, and a dialler is not
// aborted because who accepts has just given up. It reports false when the
// association ended before it was accepted.
func (c *Conn) begin(ctx context.Context) bool {
	const enough = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), enough)
	defer cancel()
	if c.start(ctx) != nil {
		c.Close()
		return false
	}
	return true
}

// Addrs returns the addresses that are bound.
func (l *Listener) Addrs() []netip.Addr {
	addrs, _, _ := l.sock.addrs(optLocalAddrs)
	return addrs
}

// Close ends listening and wakes who waits in Accept. Associations that were
// accepted go on; those that were not are aborted.
func (l *Listener) Close() error {
	l.done.Store(true)
	if l.sock.file.Close() != nil {
		return net.ErrClosed
	}
	return nil
}
