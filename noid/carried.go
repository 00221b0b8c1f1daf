package noid

import "net/netip"

// Addresses by which IPv6 packets come to an IPv4 host: translated, relayed or
// tunnelled.
var (
	mapped     = netip.MustParsePrefix("::ffff:0:0/96")  // RFC 4291 section 2.5.5.2
	compatible = netip.MustParsePrefix("::/96")          // RFC 4291 section 2.5.5.1, deprecated there
	sixToFour  = netip.MustParsePrefix("2002::/16")      // RFC 3056 section 2
	teredo     = netip.MustParsePrefix("2001::/32")      // RFC 4380 section 4
	nat64      = netip.MustParsePrefix("64:ff9b::/96")   // RFC 6052 section 2.1
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48") // RFC 8215
)

// Carried returns the IPv4 address by which an address that may be reached is
// to be judged: the one that an IPv6 address carries, where translators,
// relays or tunnels send what is addressed to it. So fd00::1 has none, and
// 64:ff9b::10.0.0.1 has 10.0.0.1, which a name or a peer must not reach in this
// guise either. Of a network's own prefix for translation nothing can be seen in
// the address; of the range that RFC 8215 sets aside for such prefixes, those of
// 96 bits are understood.
func Carried(a netip.Addr) (v4 netip.Addr, ok bool) {
	a = a.WithZone("")
	if a.Is4In6() {
		return a.Unmap(), true
	}
	b := a.As16()
	switch {
	case !a.Is6() || a.IsUnspecified() || a.IsLoopback():
		return v4, false
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a): // the client's, each bit of it reversed
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case compatible.Contains(a), nat64.Contains(a), localNAT64.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:])), true
	}
	return v4, false
}
