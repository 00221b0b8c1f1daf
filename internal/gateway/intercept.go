package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/tcpemu"
)

// intercept takes a client on to where it was going when the packet filter
// redirected it to us: over an association if the address leads to a host that
// speaks mh, else by TCP as if nothing had happened.
func (g *gateway) intercept(client net.Conn) {
	to, err := g.intended(client)
	if err != nil {
		g.failed(client, client.LocalAddr().String(), err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Limits.Connect.D())
	st := daemon.Stream{Peer: client.RemoteAddr().String(), Target: to.String(), Transport: "mh"}
	c, err := g.dialer.DialContext(ctx, "tcp", st.Target)
	cancel()
	if err != nil {
		g.failed(client, st.Target, err)
		return
	}
	if l, ok := c.(*tcpemu.LegacyConn); ok {
		st.Transport, st.Reason = l.Transport(), l.Reason()
	}
	g.streams.Run(st, client, c)
}

// intended returns where a client was going. Our own addresses are no such
// place: nobody has redirected it, and we would connect to ourselves without
// end. What it has come to is one of them, also where it is of no link: one of
// the loopback device, link-local, or of a network that is routed to us.
func (g *gateway) intended(client net.Conn) (netip.AddrPort, error) {
	to, err := originalDst(client.(*net.TCPConn))
	if err != nil {
		return to, fmt.Errorf("where the client was going is unknown: %w: redirect it on this machine", err)
	}
	if to == unmapped(client.LocalAddr()) || to.Addr().IsLoopback() || slices.Contains(g.policy.Own(), to.Addr()) {
		return to, fmt.Errorf("%v is an address of this gateway: only redirected connections are taken", to)
	}
	return to, nil
}

// unmapped is an address as connection tracking has it.
func unmapped(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
