package noid

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Private keys of the SVCB record at _mhsctp.NAME.
const (
	keyMH       dns.SVCBKey = 65280 // version and flags, an octet each
	keySCTPPort dns.SVCBKey = 65281
	keySPKI     dns.SVCBKey = 65282 // 32 octets for each key

	capabilityVersion = 1
	defaultSCTPPort   = 5000
	maxSPKI           = 8
)

// DefaultUDPPort is the UDP port of associations where a record names none
// (RFC 6951 section 7).
const DefaultUDPPort = 9899

// capabilityName is where a name's capability record is.
func capabilityName(n Name) string { return "_mhsctp." + string(n) }

// parseSVCB reads a capability record in ServiceMode. It reports why a record
// is not compatible: a mandatory key that is unknown, another version, a port
// that is not allowed.
func parseSVCB(rr *dns.SVCB, owner Name) (c Capability, err error) {
	target := Name(strings.ToLower(rr.Target))
	if rr.Target == "." {
		target = owner
	}
	if _, err := ParseName(string(target)); err != nil {
		return c, err
	}
	c = Capability{Target: target, UDPPort: DefaultUDPPort, SCTPPort: defaultSCTPPort, Prio: rr.Priority, Via: "SVCB"}
	for _, kv := range rr.Value {
		if err := c.parseKey(kv); err != nil {
			return c, err
		}
	}
	if c.Version != capabilityVersion {
		return c, fmt.Errorf("version %d, want %d", c.Version, capabilityVersion)
	}
	if c.UDPPort == 0 || !portAllowed(c.UDPPort) {
		return c, fmt.Errorf("UDP port %d is not allowed", c.UDPPort)
	}
	return c, nil
}

func (c *Capability) parseKey(kv dns.SVCBKeyValue) error {
	switch v := kv.(type) {
	case *dns.SVCBMandatory:
		for _, k := range v.Code {
			switch k {
			case dns.SVCB_PORT, dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT, keyMH, keySCTPPort, keySPKI:
			default:
				return fmt.Errorf("mandatory key %d is unknown", uint16(k))
			}
		}
	case *dns.SVCBPort:
		c.UDPPort = v.Port
	case *dns.SVCBIPv4Hint:
		c.hint(v.Hint)
	case *dns.SVCBIPv6Hint:
		c.hint(v.Hint)
	case *dns.SVCBLocal:
		return c.parseLocal(v)
	}
	return nil
}

func (c *Capability) hint(ips []net.IP) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip); ok && len(c.Hints) < maxLocators {
			c.Hints = append(c.Hints, a.Unmap())
		}
	}
}

func (c *Capability) parseLocal(v *dns.SVCBLocal) error {
	switch v.KeyCode {
	case keyMH:
		if len(v.Data) < 2 {
			return fmt.Errorf("key65280 has %d octets, want version and flags", len(v.Data))
		}
		c.Version, c.Flags = v.Data[0], CapFlags(v.Data[1])
	case keySCTPPort:
		if len(v.Data) != 2 {
			return fmt.Errorf("key65281 has %d octets, want 2", len(v.Data))
		}
		c.SCTPPort = binary.BigEndian.Uint16(v.Data)
	case keySPKI:
		if len(v.Data) == 0 || len(v.Data)%32 != 0 || len(v.Data) > 32*maxSPKI {
			return fmt.Errorf("key65282 has %d octets, want 32 for each of at most %d keys", len(v.Data), maxSPKI)
		}
		for b := v.Data; len(b) > 0; b = b[32:] {
			c.SPKI = append(c.SPKI, [32]byte(b))
		}
		c.Flags |= FlagTLSRequired
	}
	return nil
}

// parseTXT reads the text that stands for a capability record where SVCB cannot
// be published, such as "v=mh1 udp=9899 sctp=5000 f=3". Its target is the name
// itself. What does not begin with "v=mh1" is somebody else's.
func parseTXT(text string, owner Name) (c Capability, ours bool, err error) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != "v=mh1" {
		return c, false, nil
	}
	if _, err := ParseName(string(owner)); err != nil {
		return c, true, err
	}
	c = Capability{Target: owner, UDPPort: DefaultUDPPort, SCTPPort: defaultSCTPPort, Version: capabilityVersion, Prio: 1, Via: "TXT"}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		n, err := strconv.ParseUint(v, 10, 16)
		switch {
		case k != "udp" && k != "sctp" && k != "f":
			continue // of a later version
		case err != nil || k == "f" && n > 255:
			return c, true, fmt.Errorf("%q: want a number", w)
		case k == "udp":
			c.UDPPort = uint16(n)
		case k == "sctp":
			c.SCTPPort = uint16(n)
		case k == "f":
			c.Flags = CapFlags(n)
		}
	}
	if !portAllowed(c.UDPPort) {
		return c, true, fmt.Errorf("UDP port %d is not allowed", c.UDPPort)
	}
	return c, true, nil
}

// parseSRV reads a record of a host that speaks SCTP without UDP (RFC 2782). A
// target of "." says that there is none.
func parseSRV(rr *dns.SRV) (c Capability, err error) {
	target := Name(strings.ToLower(rr.Target))
	if _, err := ParseName(string(target)); err != nil {
		return c, err
	}
	if rr.Port == 0 {
		return c, fmt.Errorf("SCTP port 0")
	}
	return Capability{Target: target, SCTPPort: rr.Port, Version: capabilityVersion, Flags: FlagNative | FlagEmul, Prio: rr.Priority, Via: "SRV"}, nil
}

// SVCB returns the record that publishes a capability, for servers and
// tools.
func (c *Capability) SVCB(owner Name, ttl uint32) *dns.SVCB {
	rr := &dns.SVCB{
		Hdr:      dns.RR_Header{Name: capabilityName(owner), Rrtype: dns.TypeSVCB, Class: dns.ClassINET, Ttl: ttl},
		Priority: max(c.Prio, 1),
		Target:   string(c.Target),
		Value: []dns.SVCBKeyValue{
			&dns.SVCBMandatory{Code: []dns.SVCBKey{keyMH}},
			&dns.SVCBPort{Port: c.UDPPort},
			&dns.SVCBLocal{KeyCode: keyMH, Data: []byte{capabilityVersion, byte(c.Flags)}},
			&dns.SVCBLocal{KeyCode: keySCTPPort, Data: binary.BigEndian.AppendUint16(nil, c.SCTPPort)},
		},
	}
	return rr
}

// parseWord reads one key=value of the hosts file.
func (c *Capability) parseWord(word string) error {
	k, v, ok := strings.Cut(word, "=")
	if !ok {
		return fmt.Errorf("%q: want key=value", word)
	}
	switch k {
	case "spki":
		b, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(b) != 32 {
			return fmt.Errorf("spki: want 32 octets in base64")
		}
		c.SPKI = append(c.SPKI, [32]byte(b))
		return nil
	case "udp", "sctp", "ver", "flags":
	default:
		return fmt.Errorf("%s: want one of udp, sctp, ver, flags, spki", k)
	}
	n, err := strconv.ParseUint(v, 10, 16)
	if err != nil || k != "udp" && k != "sctp" && n > 255 {
		return fmt.Errorf("%s: want a number", k)
	}
	switch k {
	case "ver":
		c.Version = uint8(n)
	case "udp":
		c.UDPPort = uint16(n)
	case "sctp":
		c.SCTPPort = uint16(n)
	case "flags":
		c.Flags = CapFlags(n)
	}
	return nil
}
