package noid

import (
	"context"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// A ZonePrimary is who takes updates of the zone that a name is in, as the
// zone itself says (RFC 2136 section 4.3).
type ZonePrimary struct {
	Zone   string
	Server string       // the MNAME of the SOA record
	Addrs  []netip.Addr // of the server; filters do not apply: it may well be on an internal network
}

// ZonePrimary finds the primary server of the zone that a name is in.
func (r *Resolver) ZonePrimary(ctx context.Context, n Name) (p ZonePrimary, err error) {
	for zone := string(n); ; {
		a := r.lookup(ctx, zone, dns.TypeSOA)
		if notAbsent(a.err) != nil {
			return p, a.err
		}
		if a.err == nil && string(a.owner) == zone { // not what an alias leads to
			p.Zone, p.Server = zone, a.records[0].(*dns.SOA).Ns
			break
		}
		_, parent, _ := strings.Cut(zone, ".")
		if parent == "" {
			return p, &Error{Step: "SOA " + string(n), Kind: ErrNoData, Detail: "no zone above it has one"}
		}
		zone = parent
	}
	for _, t := range []uint16{dns.TypeAAAA, dns.TypeA} {
		a := r.lookup(ctx, p.Server, t)
		if err == nil {
			err = notAbsent(a.err)
		}
		for _, rr := range a.records {
			switch rr := rr.(type) {
			case *dns.AAAA:
				p.add(rr.AAAA)
			case *dns.A:
				p.add(rr.A)
			}
		}
	}
	if len(p.Addrs) > 0 {
		return p, nil
	}
	if err == nil {
		err = &Error{Step: "addresses of " + p.Server + ", the primary of " + p.Zone, Kind: ErrNoData}
	}
	return p, err
}

func (p *ZonePrimary) add(ip []byte) {
	if a, ok := netip.AddrFromSlice(ip); ok && len(p.Addrs) < maxLocators {
		p.Addrs = append(p.Addrs, a.Unmap())
	}
}
