package dnssec

import (
	"context"
	"time"

	"github.com/miekg/dns"
)

// A zone is what is known of a zone: the keys that sign it, or why there are
// none to be had.
//
// Immutable once it is in the cache.
type zone struct {
	name   string
	status Status
	keys   []*dns.DNSKEY // if secure
	why    Result        // if not
}

// judge is what becomes of records of a zone that is not secure.
func (z *zone) judge(what string) Result {
	r := z.why
	r.Reason = what + ": " + r.Reason
	return r
}

func failedZone(name string, why Result) *zone {
	return &zone{name: name, status: why.Status, why: why}
}

// budget is what the chain to one answer may still cost in questions.
type budget struct{ fetches int }

// fetch asks for a record of a chain. The error is in the result's words.
func (v *Validator) fetch(ctx context.Context, b *budget, name string, qtype uint16) (*dns.Msg, Result) {
	what := dns.TypeToString[qtype] + " " + name
	if b.fetches == 0 {
		return nil, bogus(dns.ExtendedErrorCodeOther, "%s: more than %d questions for one answer", what, maxFetches)
	}
	b.fetches--
	m, err := v.Fetch(ctx, name, qtype)
	if err != nil {
		r := bogus(dns.ExtendedErrorCodeNoReachableAuthority, "%s cannot be had: %v", what, err)
		r.Err = err
		return nil, r
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, bogus(dns.ExtendedErrorCodeNoReachableAuthority, "%s cannot be had: the server answers %s", what, dns.RcodeToString[m.Rcode])
	}
	return m, secure
}

// enclosing returns the zone that a name is in, if the zones above it are secure
// down to there, else the first that is not. It walks from the deepest anchor
// above the name, one label at a time: a delegation may be at each, and
// only the zone above can say that it is unsigned.
func (v *Validator) enclosing(ctx context.Context, b *budget, name string) *zone {
	top, isAnchor := v.anchor(name)
	if !isAnchor {
		return failedZone(top, insecure(dns.ExtendedErrorCodeDNSSECIndeterminate, "%s is below no trust anchor", name))
	}
	z := v.zones.find(top, v.Now, func() found { return v.enter(ctx, b, top) }).zone
	for n := dns.CountLabel(top) + 1; n <= dns.CountLabel(name) && z.status == Secure; n++ {
		child := tail(name, n)
		f := v.zones.find(child, v.Now, func() found { return v.step(ctx, b, z, child) })
		if f.zone != nil {
			z = f.zone
		}
		if f.isLast {
			break
		}
	}
	return z
}

// anchor returns the deepest zone at or above a name that has an anchor, also a
// negative one.
func (v *Validator) anchor(name string) (top string, ok bool) {
	consider := func(n string) {
		if dns.IsSubDomain(n, name) && (!ok || dns.CountLabel(n) > dns.CountLabel(top)) {
			top, ok = n, true
		}
	}
	for _, ds := range v.Anchors {
		consider(ds.Hdr.Name)
	}
	for _, n := range v.Unsigned {
		consider(n)
	}
	return top, ok
}

// enter begins a chain at an anchor.
func (v *Validator) enter(ctx context.Context, b *budget, top string) found {
	for _, n := range v.Unsigned {
		if n == top {
			z := failedZone(top, insecure(dns.ExtendedErrorCodeOther, "%s is unsigned by configuration", top))
			return found{zone: z, expire: v.Now().Add(maxZoneTTL)}
		}
	}
	var all []*dns.DS
	for _, ds := range v.Anchors {
		if ds.Hdr.Name == top {
			all = append(all, ds)
		}
	}
	return v.open(ctx, b, top, all, maxZoneTTL)
}

// step finds out whether a zone begins at child, which is one label below the
// last name known to be in z. z is secure.
func (v *Validator) step(ctx context.Context, b *budget, z *zone, child string) found {
	m, r := v.fetch(ctx, b, child, dns.TypeDS)
	if m == nil {
		return v.broken(child, r)
	}
	a := &answer{v: v, w: newWork(), b: b, answer: group(m.Answer), authority: group(m.Ns)}
	if set := a.answer.find(child, dns.TypeDS); set != nil {
		sig, r := v.verify(a.w, set, z.name, z.keys)
		if sig == nil || int(sig.Labels) < ownLabels(child) {
			return v.broken(child, worse(r, bogus(dns.ExtendedErrorCodeDNSBogus, "%v comes from a wildcard", set)))
		}
		return v.delegated(ctx, b, child, set)
	}
	for _, set := range a.answer {
		// An alias is at the name or above: no zone begins here (RFC 2181 section
		// 10.1, RFC 6672 section 2.4). If that is a lie, what is below is taken for
		// records of z, which has not signed them.
		if set.rtype == dns.TypeCNAME && set.name == child || set.rtype == dns.TypeDNAME && below(child, set.name) {
			if sig, _ := v.verify(a.w, set, z.name, z.keys); sig != nil {
				return found{expire: v.expiry(set.ttl())}
			}
		}
	}
	return v.undelegated(a, z, child, m.Rcode == dns.RcodeNameError)
}

// delegated opens the zone that DS records lead to. If they are of unknown
// kinds only, the zone is insecure (RFC 4035 section 5.2).
func (v *Validator) delegated(ctx context.Context, b *budget, name string, set *rrset) found {
	var all []*dns.DS
	for _, rr := range set.rrs {
		if ds, ok := rr.(*dns.DS); ok {
			all = append(all, ds)
		}
	}
	if len(usable(all)) == 0 {
		code := dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm
		if len(all) > 0 && supported(all[0].Algorithm) {
			code = dns.ExtendedErrorCodeUnsupportedDSDigestType
		}
		z := failedZone(name, insecure(code, "%s is signed with algorithms that are not supported", name))
		return found{zone: z, expire: v.expiry(set.ttl())}
	}
	return v.open(ctx, b, name, all, set.ttl())
}

// undelegated judges the proof that a name has no DS record.
func (v *Validator) undelegated(a *answer, z *zone, child string, nxdomain bool) found {
	d := a.denial(z)
	var f finding
	isCut := false
	if nxdomain {
		f = d.noName(child)
	} else {
		var types []uint16
		f, types = d.noData(child, dns.TypeDS)
		isCut = has(types, dns.TypeNS)
	}
	r := d.result(f, "%s does not prove that %s has no DS record", z.name, child)
	switch {
	case r.Status == Bogus:
		return v.broken(child, r)
	case r.Status == Insecure:
		return found{zone: failedZone(child, r), expire: v.expiry(d.ttl)}
	case isCut:
		r = insecure(dns.ExtendedErrorCodeOther, "%s delegates %s unsigned", z.name, child)
		return found{zone: failedZone(child, r), expire: v.expiry(d.ttl)}
	}
	// Below a name that does not exist there is none (RFC 8020 section 2).
	return found{isLast: nxdomain, expire: v.expiry(d.ttl)}
}

// open fetches the keys of a zone and verifies them with DS records.
func (v *Validator) open(ctx context.Context, b *budget, name string, all []*dns.DS, ttl time.Duration) found {
	m, r := v.fetch(ctx, b, name, dns.TypeDNSKEY)
	if m == nil {
		return v.broken(name, r)
	}
	set := group(m.Answer).find(name, dns.TypeDNSKEY)
	if set == nil {
		return v.broken(name, bogus(dns.ExtendedErrorCodeDNSKEYMissing, "%s has no DNSKEY records, but is signed", name))
	}
	keys := zoneKeys(set)
	entries := entryKeys(keys, usable(all))
	if len(entries) == 0 {
		return v.broken(name, bogus(dns.ExtendedErrorCodeDNSKEYMissing, "no DNSKEY record of %s is the one that its DS records are for", name))
	}
	if sig, r := v.verify(newWork(), set, name, entries); sig == nil {
		return v.broken(name, r)
	}
	return found{zone: &zone{name: name, status: Secure, keys: keys}, expire: v.expiry(min(ttl, set.ttl()))}
}

// broken remembers for a short time that a zone cannot be validated, for an
// even shorter one that records did not come, and not at all that somebody's chain was
// too long, which is not the zone's fault.
func (v *Validator) broken(name string, why Result) found {
	ttl := bogusTTL
	switch why.Code {
	case dns.ExtendedErrorCodeNoReachableAuthority:
		ttl = failedTTL
	case dns.ExtendedErrorCodeOther:
		ttl = 0
	}
	return found{zone: failedZone(name, why), expire: v.Now().Add(ttl)}
}

// expiry is when something learnt now is forgotten.
func (v *Validator) expiry(ttl time.Duration) time.Time {
	return v.Now().Add(min(max(ttl, minZoneTTL), maxZoneTTL))
}
