package dnssec

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// What single NSEC3 records prove, which a zone has signed with care or without.
func TestNSEC3Records(t *testing.T) {
	const zone = "up.net."
	s := newScene(t)
	key := dnstest.NewKey(dns.ED25519)
	s.tree.Add(zone, "", dnstest.SignedWith(key))
	hash := func(name, salt string) string { return dns.HashName(name, dns.SHA1, 0, salt) }
	// chain returns the records of a chain that has the names of types.
	type names = map[string][]uint16
	chain := func(salt string, flags uint8, under string, names names) (out []dns.RR) {
		for name, types := range names {
			h, next := hash(name, salt), ""
			for other := range names { // the next hash, or the least
				o := hash(other, salt)
				if isNearer := o > h && (next <= h || o < next) || o < h && next <= h && (next == "" || o < next); isNearer {
					next = o
				}
			}
			if next == "" {
				next = h
			}
			rr := &dns.NSEC3{
				Hdr:  dns.RR_Header{Name: strings.ToLower(h) + "." + under, Rrtype: dns.TypeNSEC3, Class: dns.ClassINET, Ttl: 60},
				Hash: dns.SHA1, Flags: flags, Salt: salt, SaltLength: uint8(len(salt) / 2), HashLength: 20, NextDomain: next, TypeBitMap: types,
			}
			out = append(out, rr, key.Sign([]dns.RR{rr}, zone, s.tree.Inception, s.tree.Expiration))
		}
		return out
	}
	const a, mx, ns, ds, soa, dname, cname = dns.TypeA, dns.TypeMX, dns.TypeNS, dns.TypeDS, dns.TypeSOA, dns.TypeDNAME, dns.TypeCNAME
	host := func(types ...uint16) names { return names{"host." + zone: types} }
	wild := names{zone: {ns, soa}, "*." + zone: {a}}
	apex := slices.DeleteFunc(chain("", 0, zone, names{zone: {ns, soa}, "host." + zone: {a}}), func(rr dns.RR) bool {
		return !strings.HasPrefix(strings.ToUpper(rr.Header().Name), hash(zone, ""))
	})
	const no, nx = dns.RcodeSuccess, dns.RcodeNameError
	for _, test := range []struct {
		what  string
		name  string
		qtype uint16
		rcode int
		proof []dns.RR
		want  Status
	}{
		{"below a host", "www.host.up.net.", a, nx, chain("", 0, zone, host(a)), Secure},
		{"below a delegation", "www.host.up.net.", a, nx, chain("", 0, zone, host(ns, ds)), Bogus},
		{"below a DNAME", "www.host.up.net.", a, nx, chain("", 0, zone, host(dname)), Bogus},
		{"a type of a delegation", "host.up.net.", a, no, chain("", 0, zone, host(ns, ds)), Bogus},
		{"the DS record of an unsigned delegation", "host.up.net.", ds, no, chain("", 0, zone, host(ns)), Secure},
		{"a type of an alias", "host.up.net.", a, no, chain("", 0, zone, host(cname)), Bogus},
		{"a name that is there", "host.up.net.", a, nx, chain("", 0, zone, host(mx)), Bogus},
		{"no encloser", "other.up.net.", a, nx, chain("", 0, zone, host(a)), Bogus},
		{"a wildcard without the type", "b.up.net.", mx, no, chain("", 0, zone, wild), Secure},
		{"a wildcard with the type", "b.up.net.", a, no, chain("", 0, zone, wild), Bogus},
		{"a wildcard is there", "b.up.net.", a, nx, chain("", 0, zone, wild), Bogus},
		{"no name, and no wildcard without the type", "b.up.net.", a, no, chain("", 0, zone, names{zone: {ns, soa}}), Bogus},
		{"opted out, a wildcard without the type", "b.up.net.", mx, no, chain("", 1, zone, wild), Insecure},
		{"opted out, a wildcard with the type", "b.up.net.", a, no, chain("", 1, zone, wild), Bogus},
		{"opted out, no wildcard", "b.up.net.", ds, no, chain("", 1, zone, names{zone: {ns, soa}}), Insecure},
		{"an unknown flag", "www.host.up.net.", a, nx, chain("", 2, zone, host(a)), Bogus},
		{"records of another place", "www.host.up.net.", a, nx, chain("", 0, "x."+zone, host(a)), Bogus},
		{"a part of a chain", "host.up.net.", a, nx, apex, Bogus},
		{"another chain beside it", "host.up.net.", a, nx, slices.Concat(apex, chain("aa", 0, zone, names{"b." + zone: {a}})), Bogus},
	} {
		if r := s.ask(test.name, test.qtype, absent(test.rcode, test.proof)); r.Status != test.want {
			t.Errorf("%s: %v, want %v", test.what, r, test.want)
		}
	}
}
