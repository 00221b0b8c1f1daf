package dnssec

import (
	"strings"

	"github.com/miekg/dns"
)

const optOut = 1 // RFC 5155 section 3.1.2.1

// takeNSEC3 adds a record. Those of unknown kind say nothing (RFC 5155
// section 8.1 and 8.2), nor those of another chain than the first.
func (d *denial) takeNSEC3(r *dns.NSEC3) {
	if r.Hash != dns.SHA1 || r.Flags&^optOut != 0 || parent(dns.CanonicalName(r.Hdr.Name)) != d.zone {
		return
	}
	if len(d.nsec3) == 0 {
		d.hash = hasher{w: d.w, salt: r.Salt, iterations: r.Iterations, known: make(map[string]string)}
	}
	if r.Salt == d.hash.salt && r.Iterations == d.hash.iterations {
		d.nsec3 = append(d.nsec3, r)
	}
}

// hasher hashes names as one NSEC3 chain does, each once. The zero hasher has
// no chain and no hashes.
type hasher struct {
	w          *work
	salt       string
	iterations uint16
	known      map[string]string
}

// of returns the hash of a name, "" when hashing has cost enough.
func (h *hasher) of(name string) string {
	s, ok := h.known[name]
	if !ok && h.known != nil && h.w.hashes > 0 {
		h.w.hashes--
		s = dns.HashName(name, dns.SHA1, h.iterations, h.salt)
		h.known[name] = s
	}
	return s
}

// ownerHash is the first label of an NSEC3 record's owner.
func ownerHash(r *dns.NSEC3) string {
	hash, _, _ := strings.Cut(r.Hdr.Name, ".")
	return strings.ToUpper(hash)
}

// matching returns the record of a name, nil when there is none.
func (d *denial) matching(name string) *dns.NSEC3 {
	hash := d.hash.of(name)
	for _, r := range d.nsec3 {
		if hash != "" && ownerHash(r) == hash {
			return r
		}
	}
	return nil
}

// covering returns the record that proves a name not to exist: its hash is strictly
// between the record's and the next, which after the last is the first.
func (d *denial) covering(name string) *dns.NSEC3 {
	hash := d.hash.of(name)
	if hash == "" {
		return nil
	}
	for _, r := range d.nsec3 {
		owner, next := ownerHash(r), strings.ToUpper(r.NextDomain)
		if owner < next && owner < hash && hash < next || owner >= next && (owner < hash || hash < next) {
			return r
		}
	}
	return nil
}

// covered looks for a proof that a name does not exist, whose parent does.
func (d *denial) covered(nextCloser string) finding {
	if d.tooCostly() {
		return costly
	}
	switch r := d.covering(nextCloser); {
	case r == nil:
		return unproven
	case r.Flags&optOut != 0:
		return optedOut
	}
	return proven
}

// tooCostly reports whether the chain's hashes are not worth their price. Only
// verified records get here, so nobody but the zone's owner can bring that about.
func (d *denial) tooCostly() bool { return len(d.nsec3) > 0 && d.hash.iterations > maxIterations }

// closest looks for the closest encloser proof of RFC 5155 section 8.3: the deepest
// name above that exists, and that the next one towards the name does not.
func (d *denial) closest(name string) (encloser string, f finding) {
	nextCloser := ""
	for encloser = name; ; encloser = parent(encloser) {
		if r := d.matching(encloser); r != nil {
			if nextCloser == "" || hidesBelow(r.TypeBitMap) {
				return "", unproven
			}
			return encloser, d.covered(nextCloser)
		}
		if encloser == d.zone || encloser == "." {
			return "", unproven
		}
		nextCloser = encloser
	}
}

func (d *denial) nsec3NoData(name string, qtype uint16) (f finding, types []uint16) {
	if d.tooCostly() {
		return costly, nil
	}
	if r := d.matching(name); r != nil {
		if lacks(r.TypeBitMap, qtype) {
			return proven, r.TypeBitMap
		}
		return unproven, nil
	}
	encloser, f := d.closest(name)
	switch f {
	case proven:
		if r := d.matching(wildcard(encloser)); r == nil || !lacks(r.TypeBitMap, qtype) {
			return unproven, nil
		}
	case optedOut:
		// RFC 5155 section 8.6 for DS. For other types the name may be that of an
		// unsigned delegation too, or above one.
		if r := d.matching(wildcard(encloser)); r != nil && !lacks(r.TypeBitMap, qtype) {
			return unproven, nil
		}
	}
	return f, nil
}

func (d *denial) nsec3NoName(name string) finding {
	if d.tooCostly() {
		return costly
	}
	encloser, f := d.closest(name)
	if f == unproven || d.covering(wildcard(encloser)) == nil {
		return unproven
	}
	return f
}
