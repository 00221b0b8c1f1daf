package publish

import (
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A Drain is what the DNS has no more once a plan is carried out, and for how
// long it is still in the memory of resolvers: so long the host has to keep it.
type Drain struct {
	Addrs   []netip.Addr
	Service bool // the capability record: the daemon is still called
	For     time.Duration
}

// Drain finds out what the host has to keep for a while.
func (p *Plan) Drain() (d Drain) {
	for _, c := range p.Changes {
		item := itemOf(c.RR, p.Name)
		again := func(x Change) bool { return x.Fate != Remove && itemOf(x.RR, p.Name) == item }
		if c.Fate != Remove || item == "" || slices.ContainsFunc(p.Changes, again) {
			continue
		}
		switch c.RR.Header().Rrtype {
		case dns.TypeA, dns.TypeAAAA:
			d.Addrs = append(d.Addrs, addrOf(c.RR))
		default:
			d.Service = true
		}
		d.For = max(d.For, time.Duration(c.RR.Header().Ttl)*time.Second)
	}
	return d
}
