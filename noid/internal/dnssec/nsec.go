package dnssec

import "github.com/miekg/dns"

// covers reports whether an NSEC record proves that a name is not one that owns
// records: it is strictly between the record's owner and the next, in a zone
// whose last record leads back to its apex (RFC 4034 section 4.1.1).
func covers(r *dns.NSEC, zone, name string) bool {
	owner, next := dns.CanonicalName(r.Hdr.Name), dns.CanonicalName(r.NextDomain)
	if below(name, owner) && hidesBelow(r.TypeBitMap) {
		return false
	}
	if compare(owner, name) >= 0 {
		return false
	}
	return compare(name, next) < 0 || next == zone
}

// isNode reports whether a name that an NSEC record covers exists all the same:
// it owns nothing, but a name below it does (an empty non-terminal).
func isNode(r *dns.NSEC, name string) bool {
	return below(dns.CanonicalName(r.NextDomain), name)
}

// encloser returns the deepest name above one that an NSEC record covers of
// which the record shows that it exists.
func encloser(r *dns.NSEC, name string) string {
	return tail(name, max(dns.CompareDomainName(name, r.Hdr.Name), dns.CompareDomainName(name, r.NextDomain)))
}

// nsecAt looks for a proof that a name that exists has none of a type.
func (d *denial) nsecAt(name string, qtype uint16) (f finding, types []uint16) {
	for _, r := range d.nsec {
		if dns.CanonicalName(r.Hdr.Name) == name {
			if lacks(r.TypeBitMap, qtype) {
				return proven, r.TypeBitMap
			}
		} else if covers(r, d.zone, name) && isNode(r, name) {
			return proven, nil
		}
	}
	return unproven, nil
}

func (d *denial) nsecNoData(name string, qtype uint16) (f finding, types []uint16) {
	if f, types = d.nsecAt(name, qtype); f == proven {
		return f, types
	}
	for _, r := range d.nsec {
		if covers(r, d.zone, name) && !isNode(r, name) {
			f, _ = d.nsecAt(wildcard(encloser(r, name)), qtype)
			return f, nil
		}
	}
	return unproven, nil
}

func (d *denial) nsecNoName(name string) bool {
	for _, r := range d.nsec {
		if covers(r, d.zone, name) && !isNode(r, name) {
			return d.nsecAbsent(wildcard(encloser(r, name)))
		}
	}
	return false
}

// nsecAbsent reports whether a name is proven not to exist.
func (d *denial) nsecAbsent(name string) bool {
	for _, r := range d.nsec {
		if covers(r, d.zone, name) && !isNode(r, name) {
			return true
		}
	}
	return false
}
