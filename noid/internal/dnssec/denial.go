package dnssec

import (
	"slices"
	"time"

	"github.com/miekg/dns"
)

// A finding is what the records of a denial come to.
type finding uint8

const (
	unproven finding = iota
	optedOut         // an unsigned delegation may be there (RFC 5155 section 6)
	costly           // too many iterations to look
	proven
)

// A denial is what a zone proves not to exist: its verified NSEC and NSEC3
// records of one message.
type denial struct {
	zone  string
	w     *work
	nsec  []*dns.NSEC
	nsec3 []*dns.NSEC3
	hash  hasher
	ttl   time.Duration
	why   Result // what is wrong with those that were not verified
}

// denier returns the deepest signer that the denial of a name gives for itself, as
// rrset.signer does.
func (s section) denier(name string, qtype uint16) (deepest string, ok bool) {
	for _, set := range s {
		if set.rtype != dns.TypeNSEC && set.rtype != dns.TypeNSEC3 && set.rtype != dns.TypeSOA {
			continue
		}
		n, signed := set.signer()
		if !signed || !dns.IsSubDomain(n, name) || qtype == dns.TypeDS && n == name && name != "." {
			continue
		}
		if !ok || dns.CountLabel(n) > dns.CountLabel(deepest) {
			deepest, ok = n, true
		}
	}
	return deepest, ok
}

// denial verifies what the authority section has of a zone's denials. Others,
// such as a replay from another zone, prove nothing.
func (a *answer) denial(z *zone) *denial {
	d := &denial{zone: z.name, w: a.w, ttl: maxZoneTTL}
	n := 0
	for _, set := range a.authority {
		if set.rtype != dns.TypeNSEC && set.rtype != dns.TypeNSEC3 || len(set.rrs) != 1 || !dns.IsSubDomain(z.name, set.name) {
			continue
		}
		if n++; n > maxDenials {
			break
		}
		sig, r := a.v.verify(a.w, set, z.name, z.keys)
		if sig == nil {
			d.why = r
			continue
		}
		if int(sig.Labels) != ownLabels(set.name) {
			continue // a wildcard's record under another name says nothing of that
		}
		switch rr := set.rrs[0].(type) {
		case *dns.NSEC:
			d.nsec = append(d.nsec, rr)
		case *dns.NSEC3:
			d.takeNSEC3(rr)
		}
		d.ttl = min(d.ttl, set.ttl())
		a.keptAuthority = append(a.keptAuthority, set.rrs[0], sig)
	}
	return d
}

// result puts a finding in words.
func (d *denial) result(f finding, format string, args ...any) Result {
	switch f {
	case proven:
		return secure
	case optedOut:
		return insecure(dns.ExtendedErrorCodeOther, "%s does not sign all of its delegations (NSEC3 opt-out)", d.zone)
	case costly:
		return insecure(dns.ExtendedErrorCodeUnsupportedNSEC3IterValue, "%s has more than %d NSEC3 iterations", d.zone, maxIterations)
	}
	r := bogus(dns.ExtendedErrorCodeNSECMissing, format, args...)
	if d.why.Reason != "" {
		r.Code, r.Reason = d.why.Code, r.Reason+": "+d.why.Reason
	}
	return r
}

// noData looks for a proof that a name has no records of a type, be it that
// the name has others, or a wildcard that has not (RFC 4035 section 5.4, RFC 5155
// sections 8.5 to 8.7). types are those that the name has, if it has any.
func (d *denial) noData(name string, qtype uint16) (f finding, types []uint16) {
	if f, types = d.nsecNoData(name, qtype); f != proven {
		f, types = d.nsec3NoData(name, qtype)
	}
	return f, types
}

// noName looks for a proof that neither a name exists nor a wildcard that would
// answer for it (RFC 4035 section 5.4, RFC 5155 section 8.4).
func (d *denial) noName(name string) finding {
	if d.nsecNoName(name) {
		return proven
	}
	return d.nsec3NoName(name)
}

// noCloser looks for a proof that nothing is between a name and the wildcard
// that answered for it, whose parent has n labels (RFC 4035 section 5.3.4, RFC
// 5155 section 8.8).
func (d *denial) noCloser(name string, n int) finding {
	for _, r := range d.nsec {
		if covers(r, d.zone, name) && encloser(r, name) == tail(name, n) {
			return proven
		}
	}
	return d.covered(tail(name, n+1))
}

func has(types []uint16, t uint16) bool { return slices.Contains(types, t) }

// lacks reports whether the types that a denial record lists for a name prove
// that it has none of a type. At a delegation both zones have such a record:
// the parent's says something about DS only, and the child's nothing about DS
// (RFC 4035 section 5.2, RFC 6840 sections 4.1 and 4.4).
func lacks(types []uint16, qtype uint16) bool {
	if has(types, qtype) || has(types, dns.TypeCNAME) {
		return false
	}
	if qtype == dns.TypeDS {
		return !has(types, dns.TypeSOA)
	}
	return !isDelegation(types)
}

// isDelegation reports whether a list of types is that of a delegation, as the
// parent has it.
func isDelegation(types []uint16) bool {
	return has(types, dns.TypeNS) && !has(types, dns.TypeSOA)
}

// hidesBelow reports whether names below one with these types are not the
// zone's to deny (RFC 6840 section 4.1).
func hidesBelow(types []uint16) bool { return isDelegation(types) || has(types, dns.TypeDNAME) }
