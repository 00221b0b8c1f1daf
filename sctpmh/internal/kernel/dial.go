package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// Dial makes an association with the host behind the remote addresses, at SCTP
// port Config.Port. They are tried in this order, 250 ms apart at first, then
// at most a second, until ctx ends: one that answers late still counts. local
// are the addresses listed to the peer and sent from; without any the kernel
// takes all that it has. encap is the UDP port of the peer (RFC 6951), 0 for
// native SCTP.
//
// Errors are *OpError with the addresses tried: syscall.ECONNREFUSED is an
// ABORT or an ICMP message of any of them, syscall.ETIMEDOUT silence until
// ctx's deadline; else it is ctx's.
func Dial(ctx context.Context, local, remote []netip.Addr, encap uint16, cfg *Config) (*Conn, error) {
	return dialFrom(ctx, local, 0, remote, encap, cfg)
}

// dialFrom is Dial from an SCTP port, 0: any.
func dialFrom(ctx context.Context, local []netip.Addr, port uint16, remote []netip.Addr, encap uint16, cfg *Config) (*Conn, error) {
	c := cfg.withDefaults()
	fail := func(err error) error { return &OpError{Op: "dial", Addrs: remote, Port: c.Port, Err: err} }
	if len(remote) == 0 {
		return nil, fail(errors.New("no address: name one"))
	}
	s, err := open(append(local[:len(local):len(local)], remote...), &c, encap)
	if err != nil {
		return nil, fail(err)
	}
	if err := s.bind("dial", local, port); err != nil {
		s.file.Close()
		return nil, err
	}
	if err := s.set(optConnect, appendSockaddrs(nil, remote, c.Port)); err != nil && err != syscall.EINPROGRESS {
		s.file.Close()
		return nil, fail(err)
	}
	conn := newConn(s, c)
	conn.permit = permit(remote, false)
	if err := conn.start(ctx); err != nil {
		conn.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", syscall.ETIMEDOUT, err)
		}
		return nil, fail(err)
	}
	return conn, nil
}
