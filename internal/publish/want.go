package publish

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

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
	Host  HostID // who publishes
	Addrs []netip.Addr
	Cap   *noid.Capability // nil: no capability record
	TXT   bool             // the capability as text too, where SVCB is unknown
	TTL   uint32

	Drop    []HostID // hosts that are gone for good: what they published goes
	Force   bool     // a capability record of this host that was entered by hand goes
	Replace bool     // all that others have published at the name goes
}

// Withdrawal is what is wanted of a name from which everything goes that a host
// has published.
func Withdrawal(n noid.Name, host HostID) *Want { return &Want{Name: n, Host: host} }

func (w *Want) withdraws() bool { return len(w.Addrs) == 0 && w.Cap == nil }

// or is why something of ours goes.
func (w *Want) or(why string) string {
	if w.withdraws() {
		return "withdrawn"
	}
	return why
}

// capabilityOwner is where the capability record of the name is.
func (w *Want) capabilityOwner() string { return "_mhsctp." + string(w.Name) }

// addresses are the wanted records of one family.
func (w *Want) addresses(qtype uint16) (out []dns.RR) {
	for _, a := range sorted(w.Addrs) {
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

// text is the wanted capability record in its other form.
func (w *Want) text() (out []dns.RR) {
	if w.Cap == nil || !w.TXT {
		return nil
	}
	return []dns.RR{&dns.TXT{Hdr: w.textHeader(), Txt: []string{capabilityText(w.Cap)}}}
}

func (w *Want) textHeader() dns.RR_Header {
	return dns.RR_Header{Name: w.capabilityOwner(), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: w.TTL}
}

// marker is the record of these records, if there are any.
func (w *Want) marker(records ...[]dns.RR) (out []dns.RR) {
	m := marker{host: w.Host}
	for _, rr := range slices.Concat(records...) {
		m.items = append(m.items, itemOf(rr, w.Name))
	}
	if len(m.items) == 0 {
		return nil
	}
	return []dns.RR{m.record(w.textHeader())}
}

// capabilityText is a capability in the form for servers that know no SVCB.
func capabilityText(c *noid.Capability) string {
	return fmt.Sprintf("v=mh1 udp=%d sctp=%d f=%d", c.UDPPort, c.SCTPPort, c.Flags)
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
