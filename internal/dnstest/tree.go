package dnstest

import (
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A Tree is a hierarchy of zones, signed or not, that answers as a recursive
// server would that passes on all it gets and validates nothing: with
// signatures and proofs of absence, aliases followed across zones.
//
// It is built by one goroutine, and answers any after that.
type Tree struct {
	// Inception and Expiration are when signatures hold, if their zone does not
	// say otherwise.
	Inception, Expiration time.Time

	zones map[string]*Zone
}

// NewTree returns a tree whose signatures hold for a month around a time.
func NewTree(now time.Time) *Tree {
	const half = 15 * 24 * time.Hour
	return &Tree{Inception: now.Add(-half), Expiration: now.Add(half), zones: make(map[string]*Zone)}
}

// An Option is how a zone is signed: see the functions that return one.
type Option func(*Zone)

// Unsigned leaves a zone without keys, and its delegation without a DS record.
func Unsigned() Option { return func(z *Zone) { z.Keys = nil } }

// SignedWith gives a zone other keys than one of P-256.
func SignedWith(keys ...*Key) Option { return func(z *Zone) { z.Keys = keys } }

// WithNSEC3 has a zone deny with hashed names. With opt-out, unsigned
// delegations are left out of the chain.
func WithNSEC3(iterations uint16, salt string, optOut bool) Option {
	return func(z *Zone) {
		z.nsec3 = &dns.NSEC3PARAM{Hash: dns.SHA1, Iterations: iterations, Salt: salt, Flags: flag(optOut)}
	}
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// WithoutDS keeps the DS record of a signed zone out of the zone above.
func WithoutDS() Option { return func(z *Zone) { z.island = true } }

// SignedFrom has the signatures of a zone hold from one time to another.
func SignedFrom(inception, expiration time.Time) Option {
	return func(z *Zone) { z.inception, z.expiration = inception, expiration }
}

// Add adds a zone with records in zone file form; names end in the zone's name
// where they are not absolute. The delegation is added to the zone above, which has to be
// in the tree already.
func (t *Tree) Add(name, text string, options ...Option) *Zone {
	z := &Zone{Name: dns.CanonicalName(name), nodes: make(map[string]node), inception: t.Inception, expiration: t.Expiration, Keys: []*Key{NewKey(dns.ECDSAP256SHA256)}}
	for _, o := range options {
		o(z)
	}
	z.insert("$TTL 300\n@ IN SOA ns.invalid. host.invalid. 1 3600 600 86400 60\n@ IN NS ns.invalid.\n" + text)
	for _, k := range z.Keys {
		z.add(k.record(z.Name))
	}
	if up := t.zoneOf(z.Name, dns.TypeDS); up != nil && z.Name != "." {
		up.insert(z.Name + " 300 IN NS ns.invalid.")
		for _, k := range z.Keys {
			if !z.island && !k.hidden {
				up.add(k.DS(z.Name, dns.SHA256))
			}
		}
	}
	t.zones[z.Name] = z
	return z
}

// zoneOf returns the zone that answers questions for a name: for DS, the one
// above.
func (t *Tree) zoneOf(name string, qtype uint16) *Zone {
	for n := name; ; n = parent(n) {
		if z := t.zones[n]; z != nil && !(qtype == dns.TypeDS && n == name && name != ".") {
			return z
		}
		if n == "." {
			return nil
		}
	}
}

// Answer answers a question.
func (t *Tree) Answer(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.Response, m.RecursionAvailable, m.CheckingDisabled = true, true, true
	name = dns.CanonicalName(name)
	for range 12 {
		z := t.zoneOf(name, qtype)
		if z == nil {
			m.Rcode = dns.RcodeRefused
			break
		}
		next := z.answer(m, name, qtype)
		if next == "" {
			break
		}
		name = next
	}
	return m
}

// A Zone is a zone of a tree.
type Zone struct {
	Name string
	Keys []*Key

	nodes  map[string]node
	nsec3  *dns.NSEC3PARAM
	island bool

	inception, expiration time.Time
}

// A node is what a name owns.
type node map[uint16][]dns.RR

func (z *Zone) insert(text string) {
	p := dns.NewZoneParser(strings.NewReader(text), z.Name, "zone "+z.Name)
	p.SetDefaultTTL(300)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		panic("BUG: " + err.Error())
	}
}

func (z *Zone) add(rr dns.RR) {
	h := rr.Header()
	h.Name = dns.CanonicalName(h.Name)
	if z.nodes[h.Name] == nil {
		z.nodes[h.Name] = make(node)
	}
	z.nodes[h.Name][h.Rrtype] = append(z.nodes[h.Name][h.Rrtype], rr)
}

// Remove takes the records of a name and type out of the zone.
func (z *Zone) Remove(name string, rtype uint16) { delete(z.nodes[dns.CanonicalName(name)], rtype) }

// exists reports whether a name owns records or is above one that does.
func (z *Zone) exists(name string) bool {
	for n := range z.nodes {
		if dns.IsSubDomain(name, n) {
			return true
		}
	}
	return false
}

// answer adds what the zone has for a question to a message, and returns the
// name to go on with when that is an alias.
func (z *Zone) answer(m *dns.Msg, name string, qtype uint16) (next string) {
	for n := parent(name); dns.IsSubDomain(z.Name, n) && name != z.Name; n = parent(n) {
		if set := z.nodes[n][dns.TypeDNAME]; set != nil {
			target := strings.TrimSuffix(name, n) + set[0].(*dns.DNAME).Target
			m.Answer = append(m.Answer, z.signed(set)...)
			m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(name, dns.TypeCNAME, set[0].Header().Ttl), Target: target})
			return dns.CanonicalName(target)
		}
		if n == "." {
			break
		}
	}
	if z.exists(name) {
		next, ok := z.give(m, z.nodes[name], name, qtype)
		if !ok {
			z.absent(m, z.denyType(name))
		}
		return next
	}
	encloser := parent(name)
	for !z.exists(encloser) {
		encloser = parent(encloser)
	}
	wild := "*." + strings.TrimPrefix(encloser, ".")
	if !z.exists(wild) {
		m.Rcode = dns.RcodeNameError
		z.absent(m, z.denyName(name, encloser, wild))
		return ""
	}
	next, ok := z.give(m, z.nodes[wild], name, qtype)
	if ok {
		m.Ns = append(m.Ns, unique(z.denyCloser(name, encloser))...)
	} else {
		z.absent(m, append(z.denyCloser(name, encloser), z.denyWildcardType(encloser, wild)...))
	}
	return next
}

// give adds the records of a node to a message, under a name that may be another
// than its own.
func (z *Zone) give(m *dns.Msg, n node, name string, qtype uint16) (next string, ok bool) {
	set := n[qtype]
	if set == nil && n[dns.TypeCNAME] != nil {
		set = n[dns.TypeCNAME]
		next = dns.CanonicalName(set[0].(*dns.CNAME).Target)
	}
	for _, rr := range z.signed(set) {
		rr = dns.Copy(rr)
		rr.Header().Name = name
		m.Answer = append(m.Answer, rr)
	}
	return next, set != nil
}

// absent adds the SOA record and proofs to a message.
func (z *Zone) absent(m *dns.Msg, proofs []dns.RR) {
	m.Ns = append(append(m.Ns, z.signed(z.nodes[z.Name][dns.TypeSOA])...), unique(proofs)...)
}

// unique drops records that proofs have in common.
func unique(rrs []dns.RR) (out []dns.RR) {
	for _, rr := range rrs {
		same := func(o dns.RR) bool { return dns.IsDuplicate(rr, o) }
		if !slices.ContainsFunc(out, same) {
			out = append(out, rr)
		}
	}
	return out
}

// signed returns copies of an RRset and its signatures.
func (z *Zone) signed(set []dns.RR) (out []dns.RR) {
	if len(set) == 0 {
		return nil
	}
	for _, rr := range set {
		out = append(out, dns.Copy(rr))
	}
	for _, k := range z.Keys {
		if !k.silent || set[0].Header().Rrtype == dns.TypeDNSKEY && !k.hidden {
			out = append(out, k.Sign(set, z.Name, z.inception, z.expiration))
		}
	}
	return out
}

func header(name string, rtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rtype, Class: dns.ClassINET, Ttl: ttl}
}

func parent(name string) string {
	if i, end := dns.NextLabel(name, 0); !end {
		return name[i:]
	}
	return "."
}

// Put adds a record as it is to a zone.
func (t *Tree) Put(zone string, rr dns.RR) { t.zones[zone].add(rr) }

// SetTree has the server answer from a tree, and tamper, if it is not nil,
// change the answers on their way.
func (s *Server) SetTree(t *Tree, tamper func(dns.Question, *dns.Msg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tree, s.tamper = t, tamper
}

// plant fills in what the tree has for a question. The caller holds s.mu.
func (s *Server) plant(m *dns.Msg, q dns.Question) {
	t := s.tree.Answer(q.Name, q.Qtype)
	m.Answer, m.Ns, m.Rcode = t.Answer, t.Ns, t.Rcode
	m.Authoritative, m.RecursionAvailable = false, true
	if s.tamper != nil {
		s.tamper(q, m)
	}
}
