package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/sctpmh"
)

// localAddrs returns the configured addresses, and apart those of them that are
// not there yet; without any, every global address of every link that is up.
func localAddrs(c *config.Common) (out []netip.AddrPort, absent []netip.Addr, err error) {
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, c.Transport.UDPPort) }
	for _, a := range c.Transport.Local {
		if follows(c) && !assigned(a.Addr) {
			absent = append(absent, a.Addr)
		} else {
			out = append(out, at(a.Addr))
		}
	}
	if len(out) > 0 {
		return out, absent, nil
	}
	if len(absent) > 0 {
		return []netip.AddrPort{at(absent[0])}, nil, nil // the error of who binds it says what is wrong
	}
	addrs, err := GlobalAddrs()
	for _, a := range addrs {
		out = append(out, at(a))
	}
	if err == nil && len(out) == 0 {
		err = errors.New("transport.local: no link is up with a global address: name the local addresses or bring a link up")
	}
	return out, nil, err
}

// assigned reports whether an address is this host's, and ready.
func assigned(a netip.Addr) bool {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err != nil {
		return !errors.Is(err, syscall.EADDRNOTAVAIL)
	}
	c.Close()
	return true
}

// follows reports whether the backend can be given addresses later.
func follows(c *config.Common) bool { return c.Transport.Backend != config.BackendKernel }

// GlobalAddrs returns every global unicast address of every link that is up.
func GlobalAddrs() (out []netip.Addr, err error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, l := range links {
		if l.Flags&net.FlagUp == 0 || l.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := l.Addrs()
		if err != nil {
			return nil, fmt.Errorf("addresses of %s: %w", l.Name, err)
		}
		for _, x := range addrs {
			if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr().IsGlobalUnicast() && !slices.Contains(out, p.Addr().Unmap()) {
				out = append(out, p.Addr().Unmap())
			}
		}
	}
	return out, nil
}

// locals gives the endpoint the addresses that this host gets while it runs, and
// takes those from it that have gone. Of addresses that the user named only those
// are missing that were not there at first, and none is taken away.
type locals struct {
	unfollow func() // nil: nothing is followed

	// Owned by who reports.
	host  *Host
	port  uint16 // the usual one
	named bool
	gone  []netip.Addr // yet to be removed: an endpoint keeps its last address
}

// follow begins. absent are the addresses that were named and are not there.
func (l *locals) follow(h *Host, absent []netip.Addr) {
	l.host, l.named, l.port = h, len(h.cfg.Transport.Local) > 0, h.Endpoint.Addrs()[0].Port()
	if !follows(h.cfg) || l.named && len(absent) == 0 {
		return
	}
	for _, a := range absent {
		h.Log.Warn("a local address is not there; it is added when it comes", "addr", a, "key", "transport.local")
	}
	var have []netip.Addr
	for _, x := range h.Endpoint.Addrs() {
		have = append(have, x.Addr())
	}
	unfollow, err := sctpmh.FollowUplinks(have, absent, l.changed)
	if err != nil {
		h.Log.Warn("local addresses that come and go are not seen: restart after a change", "error", err)
		return
	}
	l.unfollow = unfollow
}

// stop returns when nothing is added or removed any more.
func (l *locals) stop() {
	if l.unfollow != nil {
		l.unfollow()
	}
}

// changed carries out one report.
func (l *locals) changed(a netip.Addr, there bool) {
	l.gone = slices.DeleteFunc(l.gone, func(x netip.Addr) bool { return x == a })
	switch {
	case there:
		l.add(a)
	case !l.named:
		l.gone = append(l.gone, a)
	}
	l.gone = slices.DeleteFunc(l.gone, l.removed)
}

func (l *locals) add(a netip.Addr) {
	if err := l.host.Endpoint.AddLocal(netip.AddrPortFrom(a, 0)); err != nil {
		l.host.Log.Warn("a new local address is not used: restart to try again", "addr", a, "error", err)
		return
	}
	l.host.Log.Info("local address added", "addr", a, "transport", l.host.Endpoint.Addrs())
	for _, x := range l.host.Endpoint.Addrs() {
		if x.Addr() == a && x.Port() != l.port {
			l.host.Log.Warn("another program has the UDP port at a new local address: who dials it there gets no answer", "addr", a, "port", l.port)
		}
	}
}

// removed takes an address from the endpoint, unless it is the last, and reports
// whether the endpoint is without it.
func (l *locals) removed(a netip.Addr) bool {
	has := func(x netip.AddrPort) bool { return x.Addr() == a }
	if !slices.ContainsFunc(l.host.Endpoint.Addrs(), has) {
		return true
	}
	if l.host.Endpoint.RemoveLocal(a) != nil {
		return false
	}
	l.host.Log.Info("local address removed", "addr", a, "transport", l.host.Endpoint.Addrs())
	return true
}
