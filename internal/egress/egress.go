// Package egress decides where a gateway may be asked to connect to. By
// default nowhere; and never to itself or to networks that only a machine
// behind it could reach, unless the operator names these.
package egress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/noid"
)

// A Policy is what an operator allows.
type Policy struct {
	Peers       []config.Peer
	Allow, Deny []config.Destination

	// Own returns the gateway's own addresses.
	Own func() []netip.Addr
}

// An Error says why a connection is refused. It is for the log; the peer is
// told no more than that.
type Error struct{ Rule, Why string }

func (e *Error) Error() string { return e.Rule + ": " + e.Why }

// AllowsPeer reports whether a peer may ask for other destinations at all.
func (p *Policy) AllowsPeer(name string, from netip.Addr) error {
	if len(p.Peers) == 0 {
		return &Error{"egress.peers", "egress is off"}
	}
	if !Match(p.Peers, name, from) {
		return &Error{"egress.peers", fmt.Sprintf("%s at %v is not listed", orUnknown(name), from)}
	}
	return nil
}

func orUnknown(name string) string {
	if name == "" {
		return "a peer without a verified name"
	}
	return name
}

// Match reports whether one of the entries means a peer.
func Match(peers []config.Peer, name string, from netip.Addr) bool {
	return slices.ContainsFunc(peers, func(p config.Peer) bool { return p.Match(name, from) })
}

// Check reports whether an address may be connected to for a destination that
// was asked for by name, which may be empty. The caller dials exactly the
// address that was checked: a second lookup could answer differently.
//
// An address that leads to an IPv4 host is judged as that host's: what is
// denied is in no guise allowed, and to name the range of a translator is not to
// name what is behind it.
func (p *Policy) Check(name string, a netip.AddrPort) error {
	addr := a.Addr().Unmap()
	host := addr
	if v4, ok := noid.Carried(addr); ok {
		host = v4
	}
	match := func(d config.Destination) bool {
		return matches(d, name, addr, a.Port()) || matches(d, name, host, a.Port())
	}
	if slices.ContainsFunc(p.Deny, match) {
		return &Error{"egress.deny", "listed"}
	}
	why := cmp.Or(p.inside(host), p.inside(addr))
	for _, d := range p.Allow {
		// What is never anybody's business needs an entry of its own: "*" and
		// names do not reach it, whatever the DNS says.
		if match(d) && (why == "" || d.Network.IsValid() && d.Network.Contains(host)) {
			return nil
		}
	}
	if why != "" {
		return &Error{"egress.allow", fmt.Sprintf("%v is %s and its network is not named", host, why)}
	}
	return &Error{"egress.allow", "not listed"}
}

func matches(d config.Destination, name string, addr netip.Addr, port uint16) bool {
	if d.Ports.Last != 0 && !d.Ports.Contains(port) {
		return false
	}
	return d.Any || d.Network.IsValid() && d.Network.Contains(addr) || d.Name != "" && name != "" && d.Name.Match(name)
}

var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

// inside says why an address is reachable only from behind the gateway; ""
// when it is public.
func (p *Policy) inside(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "loopback"
	case a.IsUnspecified():
		return "unspecified"
	case a.IsLinkLocalUnicast():
		return "link-local" // cloud metadata services among them
	case a.IsMulticast():
		return "multicast"
	case p.Own != nil && slices.Contains(p.Own(), a):
		return "the gateway's own"
	case a.IsPrivate() || carrierNAT.Contains(a):
		return "private"
	}
	return ""
}
