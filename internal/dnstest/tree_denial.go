package dnstest

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// denyType proves that a name has not some type.
func (z *Zone) denyType(name string) []dns.RR {
	if z.Keys == nil {
		return nil
	}
	if z.nsec3 != nil {
		if p := z.nsec3At(name, true); p != nil {
			return p
		}
		// An unsigned delegation that opted out (RFC 5155 section 7.2.4).
		encloser := parent(name)
		for z.nsec3At(encloser, true) == nil {
			encloser = parent(encloser)
		}
		return z.denyCloser(name, encloser)
	}
	return z.nsecAt(name)
}

// denyName proves that a name does not exist, nor the wildcard for it.
func (z *Zone) denyName(name, encloser, wild string) []dns.RR {
	if z.nsec3 != nil && z.Keys != nil {
		return append(z.denyCloser(name, encloser), z.nsec3At(wild, false)...)
	}
	return append(z.nsecAt(name), z.nsecAt(wild)...)
}

// denyCloser proves that nothing is between a name and its encloser.
func (z *Zone) denyCloser(name, encloser string) []dns.RR {
	if z.nsec3 == nil || z.Keys == nil {
		return z.nsecAt(name)
	}
	next := name
	for parent(next) != encloser {
		next = parent(next)
	}
	return append(z.nsec3At(encloser, true), z.nsec3At(next, false)...)
}

// denyWildcardType proves that a wildcard has not some type.
func (z *Zone) denyWildcardType(encloser, wild string) []dns.RR {
	if z.nsec3 == nil || z.Keys == nil {
		return z.nsecAt(wild)
	}
	return append(z.nsec3At(encloser, true), z.nsec3At(wild, true)...)
}

// types lists what a name has for a denial record of a type.
func (z *Zone) types(name string, denial uint16) (types []uint16) {
	n := z.nodes[name]
	for t, set := range n {
		if len(set) > 0 {
			types = append(types, t)
		}
	}
	delegated := n[dns.TypeNS] != nil && n[dns.TypeSOA] == nil && n[dns.TypeDS] == nil
	if denial == dns.TypeNSEC {
		types = append(types, dns.TypeNSEC, dns.TypeRRSIG)
	} else if len(types) > 0 && !delegated {
		types = append(types, dns.TypeRRSIG)
	}
	slices.Sort(types)
	return types
}

// sortKey makes strings compare as names do in canonical order.
func sortKey(name string) string {
	l := dns.SplitDomainName(name)
	slices.Reverse(l)
	return strings.Join(l, "\x00") + "\x00"
}

// nsecAt returns the signed NSEC record that matches or covers a name.
func (z *Zone) nsecAt(name string) []dns.RR {
	if z.Keys == nil {
		return nil
	}
	var owners []string
	for n, sets := range z.nodes {
		if len(sets) > 0 {
			owners = append(owners, n)
		}
	}
	slices.SortFunc(owners, func(a, b string) int { return strings.Compare(sortKey(a), sortKey(b)) })
	at := 0
	for i, o := range owners {
		if sortKey(o) <= sortKey(name) {
			at = i
		}
	}
	owner := owners[at]
	rr := &dns.NSEC{Hdr: header(owner, dns.TypeNSEC, 60), NextDomain: owners[(at+1)%len(owners)], TypeBitMap: z.types(owner, dns.TypeNSEC)}
	return z.signed([]dns.RR{rr})
}

// nsec3At returns the signed NSEC3 record that matches a name, or that covers
// it.
func (z *Zone) nsec3At(name string, matches bool) []dns.RR {
	hash := func(n string) string { return dns.HashName(n, dns.SHA1, z.nsec3.Iterations, z.nsec3.Salt) }
	names := make(map[string]string) // by hash
	for n, sets := range z.nodes {
		delegated := sets[dns.TypeNS] != nil && sets[dns.TypeDS] == nil && n != z.Name
		if len(sets) == 0 || delegated && z.nsec3.Flags != 0 {
			continue
		}
		for ; n != z.Name; n = parent(n) {
			names[hash(n)] = n
		}
		names[hash(n)] = n
	}
	var hashes []string
	for h := range names {
		hashes = append(hashes, h)
	}
	slices.Sort(hashes)
	at := len(hashes) - 1
	for i, h := range hashes {
		if h <= hash(name) {
			at = i
		}
	}
	if (hashes[at] == hash(name)) != matches {
		return nil
	}
	rr := &dns.NSEC3{
		Hdr:  header(strings.ToLower(hashes[at])+"."+strings.TrimPrefix(z.Name, "."), dns.TypeNSEC3, 60),
		Hash: dns.SHA1, Flags: z.nsec3.Flags, Iterations: z.nsec3.Iterations,
		SaltLength: uint8(len(z.nsec3.Salt) / 2), Salt: z.nsec3.Salt,
		HashLength: 20, NextDomain: hashes[(at+1)%len(hashes)], TypeBitMap: z.types(names[hashes[at]], dns.TypeNSEC3),
	}
	return z.signed([]dns.RR{rr})
}
