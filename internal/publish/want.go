package publish

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// TTLs of what is published, in seconds.
const (
	// SettledTTL is that of a host that stays where it is. A second address
	// that dies costs peers nothing, so an hour would do; a name that is asked
	// for once in five minutes costs nothing either.
	SettledTTL = 300

	// MovingTTL is that of a host whose addresses have just changed and may
	// change again.
	MovingTTL = 30
)

// Want is what should be at a name.
type Want struct {
	Name  noid.Name
	Addrs []netip.Addr
	Cap   *noid.Capability // nil: no capability record
	TXT   bool             // the capability as text too, where SVCB is unknown
	TTL   uint32

	// Replace removes what others have published at the name.
	Replace bool
}

// Withdrawal is what is wanted of a name from which everything goes that was
// published from here.
func Withdrawal(n noid.Name) *Want { return &Want{Name: n} }

// or is why something of ours goes.
func (w *Want) or(why string) string {
	if len(w.Addrs) == 0 && w.Cap == nil {
		return "withdrawn"
	}
	return why
}

// The record of what was published from here begins with markerText; then come
// markerService, if that was published, and the addresses.
const (
	markerText    = "published-by=mh"
	markerService = "svcb"
)

// capabilityOwner is where the capability record of the name is.
func (w *Want) capabilityOwner() string { return "_mhsctp." + string(w.Name) }

// addresses are the wanted records of one family.
func (w *Want) addresses(qtype uint16) (out []dns.RR) {
	for _, a := range w.Addrs {
		hdr := dns.RR_Header{Name: string(w.Name), Rrtype: qtype, Class: dns.ClassINET, Ttl: w.TTL}
		switch {
		case a.Is4() && qtype == dns.TypeA:
			out = append(out, &dns.A{Hdr: hdr, A: net.IP(a.AsSlice())})
		case a.Is6() && qtype == dns.TypeAAAA:
			out = append(out, &dns.AAAA{Hdr: hdr, AAAA: net.IP(a.AsSlice())})
		}
	}
	return out
}

// service is the wanted capability record.
func (w *Want) service() (out []dns.RR) {
	if w.Cap == nil {
		return nil
	}
	return []dns.RR{w.Cap.SVCB(w.Name, w.TTL)}
}

// texts are the capability as text, and what was published from here.
func (w *Want) texts() (out []dns.RR) {
	hdr := dns.RR_Header{Name: w.capabilityOwner(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: w.TTL}
	if w.Cap != nil && w.TXT {
		out = append(out, &dns.TXT{Hdr: hdr, Txt: []string{capabilityText(w.Cap)}})
	}
	if len(w.Addrs) > 0 {
		marker := &dns.TXT{Hdr: hdr, Txt: []string{markerText}}
		if w.Cap != nil {
			marker.Txt = append(marker.Txt, markerService)
		}
		for _, a := range slices.SortedFunc(slices.Values(w.Addrs), netip.Addr.Compare) {
			marker.Txt = append(marker.Txt, a.String())
		}
		out = append(out, marker)
	}
	return out
}

// capabilityText is a capability in the form for servers that know no SVCB.
func capabilityText(c *noid.Capability) string {
	return fmt.Sprintf("v=mh1 udp=%d sctp=%d f=%d", c.UDPPort, c.SCTPPort, c.Flags)
}

// marker returns what a record says was published from here. ok is false when
// it is no such record.
func marker(rr dns.RR) (addrs []netip.Addr, service, ok bool) {
	txt, isText := rr.(*dns.TXT)
	if !isText || len(txt.Txt) == 0 || txt.Txt[0] != markerText {
		return nil, false, false
	}
	for _, s := range txt.Txt[1:] {
		if a, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, a)
		}
		service = service || s == markerService
	}
	return addrs, service, true
}

// isCapability reports whether a TXT record is a capability.
func isCapability(rr dns.RR) bool {
	txt, ok := rr.(*dns.TXT)
	return ok && strings.HasPrefix(strings.Join(txt.Txt, ""), "v=mh1 ")
}

// addrOf returns the address of an A or AAAA record.
func addrOf(rr dns.RR) netip.Addr {
	var ip net.IP
	switch rr := rr.(type) {
	case *dns.A:
		ip = rr.A
	case *dns.AAAA:
		ip = rr.AAAA
	}
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
