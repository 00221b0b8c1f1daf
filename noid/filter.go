package noid

import (
	"net/netip"
	"slices"
)

// prefixes of the classes of addresses that a locator is not taken from
// without more ado.
var (
	documentation = mustPrefixes("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
	private       = mustPrefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7")
	unusable      = mustPrefixes("0.0.0.0/8", "240.0.0.0/4", "::/96", "::ffff:0:0/96", "100::/64", "fec0::/10")
	sixToFour     = netip.MustParsePrefix("2002::/16")
	teredo        = netip.MustParsePrefix("2001::/32")
)

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
	lab   bool // documentation and loopback addresses are welcome
	zones []Zone
	deny  []netip.Prefix
	own   func() []netip.Addr
}

// reject returns why an address of name is not taken, "" when it is.
func (f *filters) reject(name Name, a netip.Addr) string {
	switch {
	case !a.IsValid() || a.IsUnspecified():
		return "unspecified"
	case a.IsMulticast():
		return "multicast"
	case in(a, f.deny):
		return "denied by configuration"
	case f.lab:
		return ""
	case a.IsLoopback():
		return "loopback"
	case a.IsLinkLocalUnicast() && a.Is6():
		return "link-local"
	case in(a, unusable):
		return "not a host's address"
	case in(a, documentation):
		return "documentation"
	case in(a, private) && !f.privateAllowed(name, a):
		return "private, and the name is in no private zone"
	case embedsPrivate(a):
		return "tunnels to a private address"
	case f.own != nil && slices.Contains(f.own(), a):
		return "our own"
	}
	return ""
}

func (f *filters) privateAllowed(name Name, a netip.Addr) bool {
	return slices.ContainsFunc(f.zones, func(z Zone) bool { return name.within(z.Name) && in(a, z.Prefixes) })
}

// embedsPrivate reports whether a 6to4 or Teredo address carries an IPv4
// address that would not be taken itself.
func embedsPrivate(a netip.Addr) bool {
	b := a.As16()
	var v4 netip.Addr
	switch {
	case sixToFour.Contains(a):
		v4 = netip.AddrFrom4([4]byte(b[2:6]))
	case teredo.Contains(a):
		v4 = netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
	default:
		return false
	}
	return in(v4, private) || in(v4, unusable) || v4.IsLoopback() || v4.IsMulticast()
}

// deniedPorts are UDP services that a record must not be able to aim at.
var deniedPorts = []uint16{1900, 5353, 11211}

// portAllowed reports whether a capability may name a UDP port: none of the
// system's, so that a record cannot aim packets at other services.
func portAllowed(p uint16) bool {
	return p >= 1024 && !slices.Contains(deniedPorts, p)
}

// take filters addresses of name into a set.
func (f *filters) take(s *Set, name Name, l Locator) {
	l.Addr = l.Addr.Unmap().WithZone("")
	if reason := f.reject(name, l.Addr); reason != "" {
		s.Dropped = append(s.Dropped, Drop{l.Addr, reason})
		return
	}
	if s.Contains(l.Addr) {
		return
	}
	if len(s.Locators) >= maxLocators {
		s.Dropped = append(s.Dropped, Drop{l.Addr, "one too many"})
		return
	}
	s.Locators = append(s.Locators, l)
}
