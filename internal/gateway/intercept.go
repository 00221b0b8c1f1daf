package gateway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/daemon"
	"github.com/sctpmh/mh/tcpemu"
)

// intercept takes a client on to where it was going when the packet filter
// handed it over to us: over an association if the address leads to a host that
// speaks mh, else by TCP as if nothing had happened.
func (g *gateway) intercept(client net.Conn, mode config.InterceptMode) {
	to, err := g.intended(client, mode)
	if err != nil {
		g.failed(client, client.LocalAddr().String(), err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Limits.Connect.D())
	st := daemon.Stream{Peer: client.RemoteAddr().String(), Target: to.String(), Transport: "mh"}
	var c net.Conn
	if back := g.callBack(ctx, unmapped(client.RemoteAddr()).Addr(), to); back != nil {
		c = back
	} else {
		c, err = g.dialer.DialContext(ctx, "tcp", st.Target)
	}
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
// place: nobody has handed it over, and we would connect to ourselves without
// end. What it has come to is one of them, also where it is of no link: one of
// the loopback device, link-local, or of a network that is routed to us. A
// client that is not redirected but taken has come to where it was going.
func (g *gateway) intended(client net.Conn, mode config.InterceptMode) (to netip.AddrPort, err error) {
	came := unmapped(client.LocalAddr())
	if to = came; mode != config.InterceptTProxy {
		to, err = originalDst(client.(*net.TCPConn))
	}
	switch {
	case err != nil:
		return to, fmt.Errorf("where the client was going is unknown: %w: redirect it on this machine", err)
	case to == came && mode != config.InterceptTProxy, to.Addr().IsLoopback(), slices.Contains(g.policy.Own(), to.Addr()):
		return to, fmt.Errorf("%v is an address of this gateway: only connections that the packet filter hands over are taken", to)
	}
	return to, nil
}

// unmapped is an address as connection tracking has it.
func unmapped(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
