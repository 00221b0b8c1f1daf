package tcpemu

import (
	"context"
	"net"
	"net/netip"
)

// Some protocols have the server connect to the client, which has told it where
// on a connection that there is already. Whose address that is does not matter
// then, nor which name: what is asked for goes back over the association by which
// it was told, and is taken from nobody else.

// DialBack opens a connection to an address at or behind the peer, over the
// association of this one. Its errors are those of Dialer.DialContext.
func (c *Conn) DialBack(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	remote := Addr{Host: to.Addr().String(), Port: to.Port()}
	back, err := c.s.open(ctx, &request{target: Target{Addr: to.Addr(), Port: to.Port()}, remote: remote})
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "mh", Source: c.laddr, Addr: remote, Err: err}
	}
	back.laddr.Host, back.raddr = c.s.cfg.name, remote
	return back, nil
}

// Over reports whether the connection is asked for over the association of
// another one.
func (o *Open) Over(c *Conn) bool { return o.conn.s == c.s }
