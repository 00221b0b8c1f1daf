package gateway

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/sctpmh/mh/tcpemu"
)

// A control is a control connection of FTP that a peer has opened through us.
type control struct {
	peer   *tcpemu.Conn
	server netip.Addr
}

// watch returns what a peer's connection to port 21 of a server is to be read
// from instead, and what ends that. A peer may announce an address from which it
// has answered, and no other: else who talks to a server could have what the
// server sends to third parties.
func (g *gateway) watch(peer *tcpemu.Conn, server netip.Addr) (watched net.Conn, end func()) {
	c := g.controls.Follow(control{peer, server}, func(a netip.Addr) bool { return answered(peer, a) })
	return &watchedConn{peer, func(came []byte) { c.Saw(came, time.Now()) }}, c.Close
}

// answered reports whether the peer of a connection has answered from an
// address.
func answered(c *tcpemu.Conn, a netip.Addr) bool {
	assoc := c.Association()
	if assoc.Peer.Addr().Unmap() == a {
		return true
	}
	for _, p := range assoc.Paths {
		if p.Confirmed && p.Remote.Addr().Unmap() == a {
			return true
		}
	}
	return false
}

// A watchedConn shows what is read from it before it goes on.
type watchedConn struct {
	*tcpemu.Conn
	saw func([]byte)
}

func (w *watchedConn) Read(b []byte) (n int, err error) {
	n, err = w.Conn.Read(b)
	w.saw(b[:n])
	return n, err
}

func (w *watchedConn) ReadUrgent(b []byte) (n int, urgent bool, err error) {
	n, urgent, err = w.Conn.ReadUrgent(b)
	w.saw(b[:n])
	return n, urgent, err
}

// callBack takes the data connection of an FTP server to the client that has
// announced where it awaits it, over the association on which it has. The
// address need not lead anywhere for that, nor have a name. nil: nobody has
// announced it, or the peer does not take it; then it is a connection as any
// other.
func (g *gateway) callBack(ctx context.Context, server netip.Addr, to netip.AddrPort) *tcpemu.Conn {
	c, ok := g.controls.Take(to, time.Now(), func(c control) bool { return c.server == server })
	if !ok {
		return nil
	}
	conn, err := c.peer.DialBack(ctx, to)
	if err != nil {
		g.host.Log.Info("the client that announced an address takes no connection: callback.ftp may be off there", "peer", c.peer.RemoteAddr().String(), "server", server, "target", to, "error", err.Error())
		return nil
	}
	return conn
}
