package ftp

import (
	"net/netip"
	"strconv"
	"strings"
)

// minPort is the first port that may be announced: below it are the services of
// the system, which no data connection goes to (RFC 2577 section 3).
const minPort = 1024

// parsePORT reads h1,h2,h3,h4,p1,p2 (RFC 959 section 4.1.2).
func parsePORT(s string) (at netip.AddrPort) {
	var octets [6]byte
	fields := strings.Split(s, ",")
	if len(fields) != len(octets) {
		return at
	}
	for i, f := range fields {
		n, ok := number(f, 8)
		if !ok {
			return at
		}
		octets[i] = byte(n)
	}
	return announcement(netip.AddrFrom4([4]byte(octets[:4])), uint16(octets[4])<<8|uint16(octets[5]))
}

// parseEPRT reads |protocol|address|port| with any delimiter (RFC 2428
// section 2).
func parseEPRT(s string) (at netip.AddrPort) {
	if s == "" {
		return at
	}
	fields := strings.Split(s, s[:1])
	if len(fields) != 5 || fields[0] != "" || fields[4] != "" || s[0] < 33 || s[0] > 126 {
		return at
	}
	addr, err := netip.ParseAddr(fields[2])
	port, ok := number(fields[3], 16)
	if err != nil || !ok || addr.Is4In6() || addr.Zone() != "" {
		return at
	}
	if want := map[bool]string{true: "1", false: "2"}[addr.Is4()]; fields[1] != want {
		return at
	}
	return announcement(addr, uint16(port))
}

// number reads a decimal number without a sign.
func number(s string, bits int) (n uint64, ok bool) {
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && len(s) <= 5
}

// announcement is an address that a data connection can be awaited at, or
// invalid.
func announcement(a netip.Addr, port uint16) (at netip.AddrPort) {
	if port < minPort || !a.IsGlobalUnicast() {
		return at
	}
	return netip.AddrPortFrom(a, port)
}
