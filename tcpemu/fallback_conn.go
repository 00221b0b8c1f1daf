package tcpemu

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// A LegacyConn is a connection without an association: what a Fallback makes.
type LegacyConn struct {
	*net.TCPConn
	transport string
	reason    string // written before anybody else has the connection

	way   way
	plain bool // plain TCP was asked for
}

// Transport returns "mptcp" when both ends have agreed on multipath TCP, else
// "tcp".
func (c *LegacyConn) Transport() string { return c.transport }

// Reason tells why the connection is not over mh, and what was tried before
// it.
func (c *LegacyConn) Reason() string { return c.reason }

// connect goes a way: by multipath TCP and, where that gets no answer soon, by
// plain TCP beside it, since there are networks that swallow what they do not
// know. A failure is an answer: plain TCP would get the same.
func connect(ctx context.Context, w way, plain bool) (net.Conn, error) {
	by := func(multipath bool) attempt[net.Conn] {
		return attempt[net.Conn]{lead: attemptDelay, run: func(ctx context.Context) (net.Conn, error) { return connectBy(ctx, w, multipath) }}
	}
	attempts := []attempt[net.Conn]{by(true), by(false)}
	if plain {
		attempts = attempts[1:]
	}
	end := race(ctx, attempts, func(error) bool { return true }, discard)
	return end.value, errors.Join(end.errs...)
}

func connectBy(ctx context.Context, w way, multipath bool) (net.Conn, error) {
	var d net.Dialer
	if !w.free {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(w.from.Addr, 0))
		d.Control = leaveBy(w.from)
	}
	d.SetMultipathTCP(multipath)
	c, err := d.DialContext(ctx, "tcp", w.to.String())
	if err != nil {
		return nil, err
	}
	l := &LegacyConn{TCPConn: c.(*net.TCPConn), transport: "tcp", way: w, plain: !multipath}
	if both, err := l.MultipathTCP(); err == nil && both {
		l.transport = "mptcp"
	}
	return l, nil
}

// discard resets a connection that has lost its race.
func discard(c net.Conn) {
	switch c := c.(type) {
	case *Conn:
		c.Reset()
	case *LegacyConn:
		_ = c.SetLinger(0)
		c.Close()
	}
}
