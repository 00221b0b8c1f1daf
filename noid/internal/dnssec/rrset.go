package dnssec

import (
	"time"

	"github.com/miekg/dns"
)

// An rrset is all records of a name and type in a section of a message, with
// the signatures over them.
type rrset struct {
	name  string
	rtype uint16
	rrs   []dns.RR
	sigs  []*dns.RRSIG
}

func (s *rrset) String() string { return dns.TypeToString[s.rtype] + " " + s.name }

// A section is the RRsets of a section, in the order in which they came.
type section []*rrset

// group sorts the records of a section into RRsets, each record once (RFC 4034
// section 6.3).
func group(rrs []dns.RR) (s section) {
	type key struct {
		name  string
		rtype uint16
	}
	index := make(map[key]*rrset)
	at := func(name string, rtype uint16) *rrset {
		k := key{dns.CanonicalName(name), rtype}
		set := index[k]
		if set == nil {
			set = &rrset{name: k.name, rtype: rtype}
			index[k] = set
			s = append(s, set)
		}
		return set
	}
	for _, rr := range rrs {
		h := rr.Header()
		if h.Class != dns.ClassINET {
			continue
		}
		if sig, ok := rr.(*dns.RRSIG); ok {
			set := at(h.Name, sig.TypeCovered)
			set.sigs = append(set.sigs, sig)
		} else {
			set := at(h.Name, h.Rrtype)
			set.rrs = append(set.rrs, rr)
		}
	}
	for _, set := range s {
		if len(set.rrs) > 1 {
			set.rrs = dns.Dedup(set.rrs, nil)
		}
	}
	return s
}

// find returns the RRset of a name and type, nil when it has no record.
func (s section) find(name string, rtype uint16) *rrset {
	for _, set := range s {
		if set.rtype == rtype && set.name == name && len(set.rrs) > 0 {
			return set
		}
	}
	return nil
}

// signer returns the deepest name that signatures of the set give as their
// signer and that may be it: the owner's zone is the owner or above it, and
// strictly above it for DS, which the parent holds (RFC 4035 section 5.3.1). It
// only says which zone to look at; a wrong one leads to no key.
func (s *rrset) signer() (deepest string, ok bool) {
	for _, sig := range s.sigs[:min(len(s.sigs), maxSignatures)] {
		n := dns.CanonicalName(sig.SignerName)
		if !dns.IsSubDomain(n, s.name) || s.rtype == dns.TypeDS && n == s.name {
			continue
		}
		if !ok || dns.CountLabel(n) > dns.CountLabel(deepest) {
			deepest, ok = n, true
		}
	}
	return deepest, ok
}

// limitTTL lowers the TTLs of a verified set to what its signature allows (RFC
// 4035 section 5.3.3): the TTL in the message is not signed.
func (s *rrset) limitTTL(sig *dns.RRSIG, now time.Time) {
	limit := min(sig.OrigTtl, sig.Expiration-uint32(now.Unix()))
	for _, rr := range s.rrs {
		rr.Header().Ttl = min(rr.Header().Ttl, limit)
	}
	sig.Hdr.Ttl = min(sig.Hdr.Ttl, limit)
}

// ttl is the least TTL of a set.
func (s *rrset) ttl() time.Duration {
	least := s.rrs[0].Header().Ttl
	for _, rr := range s.rrs {
		least = min(least, rr.Header().Ttl)
	}
	return time.Duration(least) * time.Second
}

// validAt reports whether a signature holds at a time. Both ends are serial
// numbers (RFC 4034 section 3.1.5): they mean the nearest such time.
func validAt(sig *dns.RRSIG, now time.Time) (early, late bool) {
	t := uint32(now.Unix())
	return int32(t-sig.Inception) < 0, int32(sig.Expiration-t) < 0
}
