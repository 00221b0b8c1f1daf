package publish

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// A marker says what one host has published at a name. It is a TXT record
//
//	"published-by=mh:HOST" "svcb=9899" "192.0.2.11" "2001:db8::11"
//
// of the host's id and an item for each record: the address, or the UDP port of
// the capability record in its forms SVCB and TXT. Every host has one of its own
// and changes no other.
//
// Versions without host ids wrote "published-by=mh", and "svcb" without a port
// for both forms. They take a marker of this form for somebody else's text, and
// leave it alone.
type marker struct {
	host  HostID
	items []string
}

const (
	markerText = "published-by=mh"
	anyService = "svcb" // of versions without host ids
	svcbItem   = "svcb="
	textItem   = "txt="
)

// parseMarker reads a marker. ok is false when the record is something else.
func parseMarker(rr dns.RR) (m marker, ok bool) {
	txt, isText := rr.(*dns.TXT)
	if !isText || len(txt.Txt) == 0 {
		return m, false
	}
	switch id, named := strings.CutPrefix(txt.Txt[0], markerText+":"); {
	case txt.Txt[0] == markerText:
		m.host = Unnamed
	case named:
		host, err := ParseHostID(id)
		if err != nil {
			return m, false
		}
		m.host = host
	default:
		return m, false
	}
	for _, s := range txt.Txt[1:] {
		if a, err := netip.ParseAddr(s); err == nil {
			s = a.Unmap().String()
		}
		m.items = append(m.items, s)
	}
	return m, true
}

// record is the marker in the zone.
func (m *marker) record(hdr dns.RR_Header) dns.RR {
	return &dns.TXT{Hdr: hdr, Txt: append([]string{markerText + ":" + string(m.host)}, m.items...)}
}

// holds reports whether the marker's host has published what an item stands
// for.
func (m *marker) holds(item string) bool {
	return slices.Contains(m.items, item) || serviceItem(item) && slices.Contains(m.items, anyService)
}

// addrs are the addresses that the host has published.
func (m *marker) addrs() (out []netip.Addr) {
	for _, s := range m.items {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// service reports whether the host says that the name speaks mh.
func (m *marker) service() bool {
	return slices.ContainsFunc(m.items, func(s string) bool { return s == anyService || serviceItem(s) })
}

func serviceItem(s string) bool {
	return strings.HasPrefix(s, svcbItem) || strings.HasPrefix(s, textItem)
}

// itemOf is what stands for a record in markers; "" for one that is not about
// the host of the name.
func itemOf(rr dns.RR, n noid.Name) string {
	switch rr := rr.(type) {
	case *dns.A, *dns.AAAA:
		return addrOf(rr).String()
	case *dns.SVCB:
		if rr.Priority != 0 && (rr.Target == "." || strings.EqualFold(rr.Target, string(n))) {
			return svcbItem + udpPort(rr)
		}
	case *dns.TXT:
		if isCapability(rr) {
			return textItem + textPort(rr)
		}
	}
	return ""
}

// udpPort is the port of a capability record.
func udpPort(rr *dns.SVCB) string {
	for _, kv := range rr.Value {
		if p, ok := kv.(*dns.SVCBPort); ok {
			return strconv.Itoa(int(p.Port))
		}
	}
	return strconv.Itoa(noid.DefaultUDPPort)
}

func textPort(rr *dns.TXT) string {
	for word := range strings.FieldsSeq(strings.Join(rr.Txt, "")) {
		if port, ok := strings.CutPrefix(word, "udp="); ok {
			return port
		}
	}
	return strconv.Itoa(noid.DefaultUDPPort)
}

// sameMeaning reports whether two capability records of a host, of one type,
// say the same of it, one perhaps by leaving out what is the default. Hints
// are about nothing, and priorities about other records.
func sameMeaning(a, b dns.RR) bool { return meaning(a) == meaning(b) }

func meaning(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.SVCB:
		keys := map[dns.SVCBKey]string{keySCTPPort: defaultSCTPPort}
		for _, kv := range rr.Value {
			keys[kv.Key()] = kv.String()
		}
		keys[dns.SVCB_PORT] = udpPort(rr)
		for _, k := range []dns.SVCBKey{dns.SVCB_MANDATORY, dns.SVCB_IPV4HINT, dns.SVCB_IPV6HINT} {
			delete(keys, k)
		}
		return fmt.Sprint(keys) // in the order of keys
	case *dns.TXT:
		words := map[string]string{"sctp": strconv.Itoa(sctpPort), "udp": strconv.Itoa(noid.DefaultUDPPort), "f": "0"}
		for word := range strings.FieldsSeq(strings.Join(rr.Txt, "")) {
			k, v, _ := strings.Cut(word, "=")
			words[k] = v
		}
		return fmt.Sprint(words)
	}
	return ""
}

// What a capability record without the key means (docs/noid.md).
const (
	keySCTPPort     dns.SVCBKey = 65281
	defaultSCTPPort             = `\019\136` // 5000, as the library writes two octets
)

// isCapability reports whether a TXT record is a capability.
func isCapability(rr dns.RR) bool {
	txt, ok := rr.(*dns.TXT)
	return ok && strings.HasPrefix(strings.Join(txt.Txt, "")+" ", "v=mh1 ")
}
