package noid

import (
	"fmt"
	"net/netip"
	"slices"
)

// prefixes of the classes of addresses that a locator is not taken from
// without more ado.
var (
	documentation = mustPrefixes("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
	private       = mustPrefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")
	unusable      = append(mustPrefixes("0.0.0.0/8", "240.0.0.0/4", "100::/64", "fec0::/10"), compatible, mapped)
)

// metadata are the services of clouds that tell a machine its secrets: nobody's
// peers. They are in ranges that are private otherwise.
var metadata = []netip.Addr{
	netip.MustParseAddr("169.254.169.254"),
	netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("100.100.100.200"),
}

func mustPrefixes(s ...string) (p []netip.Prefix) {
	for _, x := range s {
		p = append(p, netip.MustParsePrefix(x))
	}
	return p
}

func in(a netip.Addr, prefixes []netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// A Zone is a name below which private addresses are expected.
type Zone struct {
	Name     Name
	Prefixes []netip.Prefix
}

// filters say which addresses of a name are never taken: those that are no
// host's, and those by which a public name would lead inside (DNS
// rebinding).
type filters struct {
	lab   bool // documentation, loopback and private addresses are welcome
	zones []Zone
	deny  []netip.Prefix
	own   func() []netip.AddrPort
}

// An origin is how an address came to be looked at.
type origin struct {
	names []Name     // asked for, and what that is an alias of or names as its host
	path  netip.Addr // of the peer that is already talked to, none if there is none
}

// reject returns why an address is not taken, "" when it is.
func (f *filters) reject(a netip.Addr, from origin) string {
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return "unspecified"
	case a.IsMulticast():
		return "multicast"
	case in(a, f.deny):
		return "denied by configuration"
	case in(a, unusable) && !a.IsLoopback():
		return "not a host's address"
	case f.lab:
		return f.rejectCarried(a)
	case a.IsLoopback():
		return "loopback"
	case a.IsLinkLocalUnicast() && a.Is6() && !(a.Zone() != "" && from.path.IsLinkLocalUnicast() && a.Zone() == from.path.Zone()):
		return "link-local, and the peer is not on that link"
	case in(a, documentation):
		return "documentation"
	case in(a, private) && !sameScope(from.path, a) && !f.privateAllowed(a, from.names):
		return "private, and the name is in no private zone"
	}
	return f.rejectCarried(a)
}

// rejectCarried returns why an address is not taken for the sake of the IPv4
// address that it carries. What lets a name have a private address lets it have
// that address, not ways round to it.
func (f *filters) rejectCarried(a netip.Addr) string {
	v4, ok := Carried(a)
	if !ok {
		return ""
	}
	if reason := f.reject(v4, origin{}); reason != "" {
		return fmt.Sprintf("leads to %v: %s", v4, reason)
	}
	return ""
}

// privateAllowed reports whether all of the names are below one that may have
// the address: an alias must lead neither out of the zone nor, from outside,
// into it.
func (f *filters) privateAllowed(a netip.Addr, names []Name) bool {
	for _, n := range names {
		if !slices.ContainsFunc(f.zones, func(z Zone) bool { return n.within(z.Name) && in(a, z.Prefixes) }) {
			return false
		}
	}
	return len(names) > 0
}

// sameScope reports whether a private address is of the range in which the peer
// is talked to already.
func sameScope(path, a netip.Addr) bool {
	return path.IsValid() && !slices.Contains(metadata, a) && slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(a) && p.Contains(path) })
}

// scopeOf returns an address that stands for all by which the same private
// addresses are taken as by path, none for one that lets none be taken.
func scopeOf(path netip.Addr) (scope netip.Addr) {
	if path.Is6() && path.IsLinkLocalUnicast() {
		return netip.MustParseAddr("fe80::").WithZone(path.Zone())
	}
	for _, p := range private {
		if p.Contains(path) {
			return p.Addr()
		}
	}
	return scope
}

// deniedPorts are UDP services that a record must not be able to aim at: a
// packet or two of ours would have them send many.
var deniedPorts = []uint16{
	1434,  // SQL Server's browser
	1900,  // SSDP
	3702,  // WS-Discovery
	5060,  // SIP
	5353,  // mDNS
	5683,  // CoAP
	11211, // memcached
}

// portAllowed reports whether a capability may name a UDP port: none of the
// system's, so that a record cannot aim packets at other services.
func portAllowed(p uint16) bool {
	return p >= 1024 && !slices.Contains(deniedPorts, p)
}

// take filters addresses into a set.
func (f *filters) take(s *Set, l Locator, from origin) {
	l.Addr = l.Addr.Unmap().WithZone("")
	if l.Addr.Is6() && l.Addr.IsLinkLocalUnicast() && from.path.Zone() != "" {
		l.Addr = l.Addr.WithZone(from.path.Zone())
	}
	switch reason := f.reject(l.Addr, from); {
	case reason != "":
		s.drop(l.Addr, reason)
	case !s.Contains(l.Addr):
		s.Locators = append(s.Locators, l)
	}
}

// cut leaves a set no more than maxLocators, of as many families and networks
// as possible.
func (s *Set) cut() {
	if len(s.Locators) <= maxLocators {
		return
	}
	all := interleave(s.Locators)
	for _, l := range all[maxLocators:] {
		s.drop(l.Addr, "one too many")
	}
	s.Locators = all[:maxLocators]
}

// dropOwn takes our own addresses out of a set: who is dialled there is not the
// host but us.
func (f *filters) dropOwn(s *Set) {
	if f.own == nil {
		return
	}
	own := f.own()
	s.Locators = slices.DeleteFunc(s.Locators, func(l Locator) bool {
		mine := slices.Contains(own, netip.AddrPortFrom(l.Addr, s.Cap.UDPPort))
		if mine {
			s.drop(l.Addr, "our own")
		}
		return mine
	})
}

func (s *Set) drop(a netip.Addr, reason string) {
	if len(s.Dropped) < maxDropped {
		s.Dropped = append(s.Dropped, Drop{a, reason})
	}
}
