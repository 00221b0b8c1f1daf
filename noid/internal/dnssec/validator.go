package dnssec

import (
	"context"
	"time"

	"github.com/miekg/dns"
)

// A Fetch asks a DNS server for a record of the chain. The question has to have
// the DO and CD bits set (RFC 4035 sections 3.2.1 and 3.2.2), so that the
// answer has its signatures and is not withheld for being bogus.
type Fetch func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error)

// A Validator judges answers. Its methods may be called from any goroutine;
// its fields are set before the first call.
type Validator struct {
	// Anchors are the keys that chains begin at. Of several zones above a name
	// the deepest counts. None: nothing is secure.
	Anchors []*dns.DS

	// Unsigned are zones that count as insecure whatever the zones above say: negative
	// trust anchors (RFC 7646).
	Unsigned []string

	Now   func() time.Time
	Fetch Fetch

	zones zones
}

// New returns a validator that begins at the keys of the root zone, or at others
// if anchors has one for it.
func New(anchors []*dns.DS, unsigned []string, now func() time.Time, fetch Fetch) *Validator {
	v := &Validator{Now: now, Fetch: fetch}
	hasRoot := false
	for _, ds := range anchors {
		hasRoot = hasRoot || ds.Hdr.Name == "."
	}
	if !hasRoot {
		v.Anchors = Root()
	}
	v.Anchors = append(v.Anchors, anchors...)
	for _, n := range unsigned {
		v.Unsigned = append(v.Unsigned, dns.CanonicalName(n))
	}
	return v
}

// Validate judges the answer to one question. A secure answer is stripped of
// everything that was not verified, and its TTLs are lowered to what the
// signatures allow.
func (v *Validator) Validate(ctx context.Context, qname string, qtype uint16, m *dns.Msg) Result {
	if qtype == dns.TypeANY || qtype == dns.TypeRRSIG {
		return bogus(dns.ExtendedErrorCodeOther, "an answer to %s cannot be validated", dns.TypeToString[qtype])
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return bogus(dns.ExtendedErrorCodeNoReachableAuthority, "the server answers %s", dns.RcodeToString[m.Rcode])
	}
	a := &answer{
		v: v, w: newWork(), b: &budget{fetches: maxFetches}, nxdomain: m.Rcode == dns.RcodeNameError,
		answer: group(m.Answer), authority: group(m.Ns),
	}
	r := a.follow(ctx, dns.CanonicalName(qname), qtype)
	if r.Status == Secure {
		m.Answer, m.Ns, m.Extra = a.keptAnswer, a.keptAuthority, nil
	}
	return r
}

// answer is a message while it is judged.
type answer struct {
	v         *Validator
	w         *work
	b         *budget
	nxdomain  bool
	answer    section
	authority section

	keptAnswer, keptAuthority []dns.RR // what was verified
}

// follow judges an answer link by link: the aliases from the name on, and what is at
// their end.
func (a *answer) follow(ctx context.Context, name string, qtype uint16) Result {
	so := secure
	for range maxLinks {
		if set := a.answer.find(name, qtype); set != nil {
			if a.nxdomain {
				return bogus(dns.ExtendedErrorCodeDNSBogus, "%v is there, and the server says that the name is not", set)
			}
			return worse(so, a.positive(ctx, set))
		}
		next, r, isAlias := a.alias(ctx, name)
		if !isAlias {
			return worse(so, a.negative(ctx, name, qtype))
		}
		if so = worse(so, r); so.Status == Bogus {
			return so
		}
		name = next
	}
	return bogus(dns.ExtendedErrorCodeOther, "%s is behind more than %d aliases", name, maxLinks-1)
}

// alias judges the CNAME or DNAME record that answers for a name, and returns
// where it leads.
func (a *answer) alias(ctx context.Context, name string) (next string, r Result, ok bool) {
	cname := a.answer.find(name, dns.TypeCNAME)
	for _, set := range a.answer {
		if set.rtype != dns.TypeDNAME || len(set.rrs) == 0 || !below(name, set.name) {
			continue
		}
		r = a.positive(ctx, set)
		next = substitute(name, set.name, dns.CanonicalName(set.rrs[0].(*dns.DNAME).Target))
		switch {
		case r.Status == Bogus:
		case len(set.rrs) != 1:
			r = bogus(dns.ExtendedErrorCodeDNSBogus, "%v is not one record", set)
		case cname != nil && !(len(cname.rrs) == 1 && dns.CanonicalName(cname.rrs[0].(*dns.CNAME).Target) == next):
			// RFC 6672 section 5.3.1: it has no signature of its own.
			r = bogus(dns.ExtendedErrorCodeDNSBogus, "%v is not what %v makes of it", cname, set)
		case cname != nil:
			a.keptAnswer = append(a.keptAnswer, cname.rrs[0])
		default:
			// Who reads the answer follows this one. Without it, whoever leaves it
			// out would make what is behind it look absent (RFC 6672 section 3.4).
			h := dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: set.rrs[0].Header().Ttl}
			a.keptAnswer = append(a.keptAnswer, &dns.CNAME{Hdr: h, Target: next})
		}
		return next, r, true
	}
	if cname == nil {
		return "", r, false
	}
	if r = a.positive(ctx, cname); r.Status != Bogus && len(cname.rrs) != 1 {
		r = bogus(dns.ExtendedErrorCodeDNSBogus, "%v is not one record", cname)
	}
	return dns.CanonicalName(cname.rrs[0].(*dns.CNAME).Target), r, true
}

// zoneFor finds the zone of records of a name: that of their signer if there is
// one, so that no question is asked for the labels between. An anchor further
// down takes what is below it out of the signer's hands.
func (a *answer) zoneFor(ctx context.Context, name string, rtype uint16, signer string, signed bool) *zone {
	if rtype == dns.TypeDS {
		name = parent(name)
	}
	if top, ok := a.v.anchor(name); !signed || ok && below(top, signer) {
		signer = name
	}
	return a.v.enclosing(ctx, a.b, signer)
}

// positive judges an RRset of the answer section.
func (a *answer) positive(ctx context.Context, set *rrset) Result {
	signer, signed := set.signer()
	z := a.zoneFor(ctx, set.name, set.rtype, signer, signed)
	if z.status != Secure {
		return z.judge(set.String())
	}
	sig, r := a.v.verify(a.w, set, z.name, z.keys)
	if sig == nil {
		return r
	}
	if n := int(sig.Labels); n < ownLabels(set.name) {
		// RFC 4035 section 5.3.4: a wildcard's record is the name's only if nothing
		// is nearer to the name.
		d := a.denial(z)
		if r = d.result(d.noCloser(set.name, n), "%v comes from a wildcard, and nothing proves that the name itself does not exist", set); r.Status == Bogus {
			return r
		}
	}
	a.keptAnswer = append(a.keptAnswer, set.rrs...)
	a.keptAnswer = append(a.keptAnswer, sig)
	return r
}

// negative judges that a name does not have a type, or does not exist.
func (a *answer) negative(ctx context.Context, name string, qtype uint16) Result {
	what := dns.TypeToString[qtype] + " " + name
	signer, signed := a.authority.denier(name, qtype)
	z := a.zoneFor(ctx, name, qtype, signer, signed)
	if z.status != Secure {
		return z.judge(what)
	}
	d := a.denial(z)
	var r Result
	if a.nxdomain {
		r = d.result(d.noName(name), "%s does not prove that %s does not exist", z.name, name)
	} else {
		f, _ := d.noData(name, qtype)
		r = d.result(f, "%s does not prove that there is no %s", z.name, what)
	}
	return worse(r, a.soa(z))
}

// soa judges the SOA record of a negative answer. It is no part of the proof,
// but says how long that holds (RFC 2308 section 5), not longer than the proof itself.
func (a *answer) soa(z *zone) Result {
	set := a.authority.find(z.name, dns.TypeSOA)
	if set == nil {
		return secure
	}
	sig, r := a.v.verify(a.w, set, z.name, z.keys)
	if sig == nil {
		return r
	}
	for _, rr := range a.keptAuthority {
		set.rrs[0].Header().Ttl = min(set.rrs[0].Header().Ttl, rr.Header().Ttl)
	}
	a.keptAuthority = append(a.keptAuthority, set.rrs...)
	a.keptAuthority = append(a.keptAuthority, sig)
	return r
}
