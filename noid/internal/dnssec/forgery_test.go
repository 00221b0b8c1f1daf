package dnssec

import (
	"net"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// record returns the first record of a type in a message.
func record[T dns.RR](t testing.TB, m *dns.Msg) T {
	t.Helper()
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if r, ok := rr.(T); ok {
			return r
		}
	}
	t.Fatalf("a record is missing in %v", m)
	panic("unreachable")
}

// proofs returns the denial that the tree has for a question.
func (s *scene) proofs(name string, qtype uint16) []dns.RR { return s.tree.Answer(name, qtype).Ns }

func absent(rcode int, proofs ...[]dns.RR) func(*dns.Msg) {
	return func(m *dns.Msg) { m.Answer, m.Ns, m.Rcode = nil, slices.Concat(proofs...), rcode }
}

// Who is between this host and the zone cannot change records.
func TestAlteredRecords(t *testing.T) {
	mallory := dnstest.NewKey(dns.ECDSAP256SHA256)
	for _, test := range []struct {
		what   string
		change func(*dns.Msg)
		code   uint16
	}{
		{"another address", func(m *dns.Msg) { m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 66) }, broken},
		{"an address more", func(m *dns.Msg) {
			rr := dns.Copy(m.Answer[0]).(*dns.A)
			rr.A = net.IPv4(192, 0, 2, 66)
			m.Answer = append(m.Answer, rr)
		}, broken},
		{"an address less", func(m *dns.Msg) { m.Answer = m.Answer[1:] }, broken},
		{"no signature", drop(dns.TypeRRSIG), noSigs},
		{"a signature cut short", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.Signature = s.Signature[:len(s.Signature)-8] }) }, broken},
		{"the validity made longer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.Expiration += 1000 }) }, broken},
		{"labels made fewer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.Labels-- }) }, broken},
		{"labels made more", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.Labels++ }) }, noSigs},
		{"a key that does not exist", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.KeyTag++ }) }, noKey},
		{"an unknown algorithm", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.Algorithm = 200 }) }, dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm},
		{"a zone beside as the signer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.SignerName = "example.org." }) }, noSigs},
		{"an unsigned zone as the signer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.SignerName = "open.net." }) }, noSigs},
		{"the zone above as the signer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.SignerName = "net." }) }, noKey},
		{"the name itself as the signer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.SignerName = "www.example.net." }) }, noSigs},
		{"a name like the zone's as the signer", func(m *dns.Msg) { signatures(m, func(s *dns.RRSIG) { s.SignerName = "ple.net." }) }, noSigs},
		{"signed by somebody else", func(m *dns.Msg) {
			m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 66)
			m.Answer = []dns.RR{m.Answer[0], mallory.Sign(m.Answer[:1], "example.net.", noon.AddDate(0, 0, -1), noon.AddDate(0, 0, 1))}
		}, noKey},
		{"denied", absent(dns.RcodeNameError), noProof},
		{"empty", absent(dns.RcodeSuccess), noProof},
		{"there, and not there", func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, broken},
		{"refused", func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }, dns.ExtendedErrorCodeNoReachableAuthority},
		{"an alias to an unsigned zone", func(m *dns.Msg) {
			m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "www.example.net.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "www.open.net."}}
		}, noSigs},
	} {
		s := newExample(t)
		s.want(test.what, s.ask("www.example.net.", dns.TypeA, test.change), Bogus, test.code)
	}
}

// A record that comes twice is one.
func TestTwice(t *testing.T) {
	s := newExample(t)
	twice := func(m *dns.Msg) {
		m.Answer, m.Ns = slices.Concat(m.Answer, m.Answer), slices.Concat(m.Ns, m.Ns)
	}
	for _, name := range []string{"www.example.net.", "nothing.example.net.", "alias.example.net.", "a.wild.example.net.", "x.tree.example.net."} {
		s.want(name, s.ask(name, dns.TypeA, twice), Secure, 0)
	}
}

// Nor deny what is there with proofs of something else.
func TestForgedDenials(t *testing.T) {
	for name, options := range denials {
		t.Run(name, func(t *testing.T) {
			s := newExample(t, options...)
			s.tree.Add("child.example.net.", "www A 192.0.2.8")
			const www, child = "www.example.net.", "child.example.net."
			for _, test := range []struct {
				what  string
				name  string
				qtype uint16
				rcode int
				from  []dns.RR
			}{
				{"the proof for another type", www, dns.TypeA, 0, s.proofs(www, dns.TypeAAAA)},
				{"the proof for another name", www, dns.TypeA, dns.RcodeNameError, s.proofs("nothing.example.net.", dns.TypeA)},
				{"the proof for another name, as an absent type", www, dns.TypeA, 0, s.proofs("nothing.example.net.", dns.TypeA)},
				{"the proof of another zone", www, dns.TypeA, dns.RcodeNameError, s.proofs("www.nothing.org.", dns.TypeA)},
				{"a name that exists does not", www, dns.TypeAAAA, dns.RcodeNameError, s.proofs(www, dns.TypeAAAA)},
				{"a name that does not exist does", "nothing.example.net.", dns.TypeA, 0, s.proofs("nothing.example.net.", dns.TypeA)},
				{"an alias is no absence", "alias.example.net.", dns.TypeA, 0, s.proofs("alias.example.net.", dns.TypeDS)},
				{"an empty non-terminal does not exist", "below.example.net.", dns.TypeA, dns.RcodeNameError, s.proofs("below.example.net.", dns.TypeA)},
				{"a wildcard would answer", "a.wild.example.net.", dns.TypeA, dns.RcodeNameError, s.proofs("a.wild.example.net.", dns.TypeAAAA)},
				{"a wildcard would answer, with its type", "a.wild.example.net.", dns.TypeA, 0, s.proofs("a.wild.example.net.", dns.TypeAAAA)},
				{"below a DNAME", "x.tree.example.net.", dns.TypeA, dns.RcodeNameError, s.proofs("tree.example.net.", dns.TypeA)},
				// Both sides of a delegation.
				{"the zone above denies a type of a child's apex", child, dns.TypeSOA, 0, s.proofs(child, dns.TypeDS)},
				{"the zone above denies a name of a child", "www." + child, dns.TypeA, dns.RcodeNameError, append(s.proofs("a."+"nothing.example.net.", dns.TypeA), s.proofs(child, dns.TypeDS)...)},
				{"the child denies its delegation", child, dns.TypeDS, 0, s.proofs(child, dns.TypeMX)},
			} {
				if test.from == nil && test.what != "the zone above denies a type of a child's apex" {
					t.Errorf("%s: there is no proof to abuse", test.what)
				}
				if r := s.ask(test.name, test.qtype, absent(test.rcode, test.from)); r.Status != Bogus {
					t.Errorf("%s: %v", test.what, r)
				}
			}
			if r := s.ask("nothing.example.net.", dns.TypeA, drop(dns.TypeNSEC), drop(dns.TypeNSEC3)); r.Status != Bogus || r.Code != noProof {
				t.Errorf("no proof at all: %v", r)
			}
			onlySigs := func(m *dns.Msg) {
				m.Ns = slices.DeleteFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeRRSIG })
			}
			if r := s.ask("nothing.example.net.", dns.TypeA, onlySigs); r.Status != Bogus || r.Code != noProof {
				t.Errorf("signatures over nothing: %v", r)
			}
			if r := s.ask("nothing.example.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.SOA](t, m).Minttl = 1e6 }); r.Status != Bogus {
				t.Errorf("an altered SOA: %v", r)
			}
		})
	}
}

// The NSEC record that a parent has for a delegation says nothing of the child.
// It has to be tried with the very record, since the tree gives DS there.
func TestParentSideRecord(t *testing.T) {
	s := newExample(t)
	key := dnstest.NewKey(dns.ED25519)
	s.tree.Add("up.net.", "", dnstest.SignedWith(key))
	s.tree.Add("signed.up.net.", "www A 192.0.2.8")
	sign := func(rr dns.RR) []dns.RR {
		return []dns.RR{rr, key.Sign([]dns.RR{rr}, "up.net.", s.tree.Inception, s.tree.Expiration)}
	}
	nsec := func(owner, next string, types ...uint16) []dns.RR {
		return sign(&dns.NSEC{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNSEC, Class: dns.ClassINET, Ttl: 60}, NextDomain: next, TypeBitMap: types})
	}
	// up.net has signed a record like these for a delegation.
	parental := nsec("signed.up.net.", "up.net.", dns.TypeNS, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC)
	apex := nsec("up.net.", "signed.up.net.", dns.TypeNS, dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY)
	for _, test := range []struct {
		what  string
		name  string
		qtype uint16
		rcode int
	}{
		{"a type of the apex", "signed.up.net.", dns.TypeA, 0},
		{"a name below", "www.signed.up.net.", dns.TypeA, dns.RcodeNameError},
		{"a type below", "www.signed.up.net.", dns.TypeA, 0},
		{"the DS record that it lists", "signed.up.net.", dns.TypeDS, 0},
	} {
		if r := s.ask(test.name, test.qtype, absent(test.rcode, parental, apex)); r.Status != Bogus {
			t.Errorf("%s: %v", test.what, r)
		}
	}
	// Who holds a child's key is not the one to say which keys it has.
	s.want("a DS record of the child's own", s.ask("up.net.", dns.TypeDS, func(m *dns.Msg) {
		m.Answer = sign(key.DS("up.net.", dns.SHA256))
	}), Bogus, noSigs)
	// The apex' own record denies types of up.net, but no DS record, of which it is not
	// the judge; the one above is.
	s.want("an absent type", s.ask("up.net.", dns.TypeA, absent(0, apex)), Secure, 0)
	if r := s.ask("up.net.", dns.TypeDS, absent(0, apex)); r.Status != Bogus {
		t.Errorf("a child denies its own DS record: %v", r)
	}
}

// A wildcard's record is good for names that nothing is nearer to, and only
// with the proof.
func TestForgedWildcards(t *testing.T) {
	for name, options := range denials {
		t.Run(name, func(t *testing.T) {
			s := newExample(t, options...)
			s.want("without proof", s.ask("a.wild.example.net.", dns.TypeA, func(m *dns.Msg) { m.Ns = nil }), Bogus, noProof)
			// The record of *.wild for a name that it is not for.
			rename := func(to string, proofs []dns.RR) func(*dns.Msg) {
				return func(m *dns.Msg) {
					*m = *s.tree.Answer("a.wild.example.net.", dns.TypeA)
					for _, rr := range m.Answer {
						rr.Header().Name = to
					}
					m.Ns = proofs
				}
			}
			other := s.proofs("b.wild.example.net.", dns.TypeA)
			s.want("for another", s.ask("b.wild.example.net.", dns.TypeA, rename("b.wild.example.net.", other)), Secure, 0)
			for _, to := range []string{"www.example.net.", "wild.example.net.", "nothing.example.net."} {
				r := s.ask(to, dns.TypeA, rename(to, s.proofs(to, dns.TypeMX)))
				if r.Status != Bogus {
					t.Errorf("the wildcard's record for %s: %v", to, r)
				}
			}
		})
	}
	s := newScene(t)
	s.tree.Add("example.net.", "*.w A 192.0.2.1\nb.w A 192.0.2.2\nb.w AAAA 2001:db8::1\nx.y.w A 192.0.2.3")
	replay := func(to string, proof []dns.RR) Result {
		return s.ask(to, dns.TypeA, func(m *dns.Msg) {
			*m = *s.tree.Answer("a.w.example.net.", dns.TypeA)
			for _, rr := range m.Answer {
				rr.Header().Name = to
			}
			m.Ns = proof
		})
	}
	expanded := func(m *dns.Msg) {
		*m = *s.tree.Answer("*.w.example.net.", dns.TypeMX)
		for _, rr := range m.Ns {
			if rr.Header().Name == "*.w.example.net." {
				rr.Header().Name = "b.w.example.net."
			}
		}
	}
	s.want("a wildcard's denial for a name that exists", s.ask("b.w.example.net.", dns.TypeAAAA, expanded), Bogus, noProof)
	s.want("a name that exists", replay("b.w.example.net.", s.proofs("c.w.example.net.", dns.TypeA)), Bogus, noProof)
	s.want("a nearer encloser", replay("z.y.w.example.net.", s.proofs("z.y.w.example.net.", dns.TypeA)), Bogus, noProof)
}

// Nobody but the zone above makes a zone unsigned.
func TestForgedDelegations(t *testing.T) {
	for name, options := range denials {
		t.Run(name, func(t *testing.T) {
			scene := func() *scene {
				s := newScene(t)
				s.tree.Add("up.net.", "host A 192.0.2.1", options...)
				s.tree.Add("child.up.net.", "www A 192.0.2.8")
				s.tree.Add("open.up.net.", "www A 192.0.2.9", dnstest.Unsigned())
				return s
			}
			s := scene()
			s.want("an unsigned child", s.ask("www.open.up.net.", dns.TypeA), Insecure, other)
			s.want("a signed child", s.ask("www.child.up.net.", dns.TypeA), Secure, 0)
			for _, test := range []struct {
				what   string
				change func(m *dns.Msg)
			}{
				{"an empty answer", absent(0)},
				{"no such name", absent(dns.RcodeNameError)},
				{"the proof for another delegation", absent(0, s.proofs("open.up.net.", dns.TypeDS))},
				{"the proof for a host", absent(0, s.proofs("host.up.net.", dns.TypeDS))},
				{"the proof that a name does not exist", absent(dns.RcodeNameError, s.proofs("nothing.up.net.", dns.TypeDS))},
				{"the child's own word", absent(0, s.proofs("child.up.net.", dns.TypeMX))},
				{"signatures stripped", drop(dns.TypeRRSIG)},
				{"an alias", func(m *dns.Msg) {
					m.Answer = []dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "child.up.net.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 86400}, Target: "open.up.net."}}
				}},
			} {
				s := scene()
				s.tamper = func(q dns.Question, m *dns.Msg) {
					if q.Name == "child.up.net." && q.Qtype == dns.TypeDS {
						test.change(m)
					}
				}
				if r := s.ask("www.child.up.net.", dns.TypeA, drop(dns.TypeRRSIG)); r.Status != Bogus {
					t.Errorf("%s: %v", test.what, r)
				}
				s.tamper = nil
				s.now = s.now.Add(bogusTTL)
				s.want(test.what+", which is over", s.ask("www.child.up.net.", dns.TypeA), Secure, 0)
			}
			s = scene()
			mallory := dnstest.NewKey(dns.ED25519)
			s.tree.Put("up.net.", mallory.DS("*.up.net.", dns.SHA256))
			s.tree.Add("mallory.up.net.", "www A 192.0.2.66", dnstest.SignedWith(mallory), dnstest.WithoutDS())
			s.tamper = func(q dns.Question, m *dns.Msg) {
				if q.Name == "mallory.up.net." && q.Qtype == dns.TypeDS {
					*m = *s.tree.Answer("a.up.net.", dns.TypeDS)
					for _, rr := range m.Answer {
						rr.Header().Name = q.Name
					}
				}
			}
			forged := dns.Copy(record[*dns.DNSKEY](t, s.tree.Answer("mallory.up.net.", dns.TypeDNSKEY)))
			s.want("a wildcard's DS record", s.ask("www.mallory.up.net.", dns.TypeA), Bogus, broken)
			s = scene()
			s.tamper = func(q dns.Question, m *dns.Msg) {
				if q.Name == "child.up.net." && q.Qtype == dns.TypeDNSKEY {
					forged.Header().Name = q.Name
					keys := []dns.RR{m.Answer[0], forged}
					m.Answer = append(keys, mallory.Sign(keys, q.Name, s.tree.Inception, s.tree.Expiration))
				}
			}
			s.want("a key beside the zone's", s.ask("www.child.up.net.", dns.TypeA), Bogus, noKey)
			s = scene()
			s.tamper = func(q dns.Question, m *dns.Msg) {
				if q.Qtype == dns.TypeDNSKEY && q.Name == "child.up.net." {
					m.Answer = nil
				}
			}
			s.want("keys kept away", s.ask("www.child.up.net.", dns.TypeA), Bogus, noKey)
		})
	}
}

// An opted-out span may have unsigned delegations: what is in it is not
// secure, but what is outside is, and signed children are not affected.
func TestOptOut(t *testing.T) {
	s := newScene(t)
	s.tree.Add("up.net.", "host A 192.0.2.1", dnstest.WithNSEC3(0, "", true))
	s.tree.Add("child.up.net.", "www A 192.0.2.8")
	s.tree.Add("open.up.net.", "www A 192.0.2.9", dnstest.Unsigned())
	s.want("an unsigned child", s.ask("www.open.up.net.", dns.TypeA), Insecure, other)
	s.want("its delegation", s.ask("open.up.net.", dns.TypeDS), Insecure, other)
	s.want("a signed child", s.ask("www.child.up.net.", dns.TypeA), Secure, 0)
	s.want("a host", s.ask("host.up.net.", dns.TypeA), Secure, 0)
	s.want("an absent type", s.ask("host.up.net.", dns.TypeAAAA), Secure, 0)
	s.want("no such name", s.ask("nothing.up.net.", dns.TypeA), Insecure, other)
	if r := s.ask("www.child.up.net.", dns.TypeA, drop(dns.TypeRRSIG)); r.Status != Bogus {
		t.Errorf("a signed child without signatures: %v", r)
	}
}

// Aliases lead where the zone says.
func TestForgedAliases(t *testing.T) {
	s := newExample(t)
	s.want("a DNAME's alias is altered", s.ask("x.tree.example.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.CNAME](t, m).Target = "www.open.net." }), Bogus, broken)
	s.want("a DNAME is altered", s.ask("x.tree.example.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.DNAME](t, m).Target = "open.net." }), Bogus, broken)
	m := s.tree.Answer("x.tree.example.net.", dns.TypeA)
	m.Answer = slices.DeleteFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeCNAME })
	s.want("a DNAME's alias is left out", s.Validate(t.Context(), "x.tree.example.net.", dns.TypeA, m), Secure, 0)
	if c := record[*dns.CNAME](t, m); c.Hdr.Name != "x.tree.example.net." || c.Target != "x.www.example.org." {
		t.Errorf("what stands for it is %v", c)
	}
	s.want("an alias is altered", s.ask("alias.example.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.CNAME](t, m).Target = "www.open.net." }), Bogus, broken)
	s.want("the end of an alias is altered", s.ask("far.example.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.A](t, m).A = net.IPv4(192, 0, 2, 66) }), Bogus, broken)
	s.want("the end of an alias is left out", s.ask("far.example.net.", dns.TypeA, func(m *dns.Msg) { m.Answer = m.Answer[:2] }), Bogus, noProof)
	s.want("an unsigned alias into a signed zone", s.ask("to.open.net.", dns.TypeA, func(m *dns.Msg) { record[*dns.A](t, m).A = net.IPv4(192, 0, 2, 66) }), Bogus, broken)

	s.tree.Add("loop.net.", "a CNAME b\nb CNAME a")
	s.want("a loop", s.ask("a.loop.net.", dns.TypeA, func(m *dns.Msg) { m.Answer = m.Answer[:4] }), Bogus, other)
	s.tree.Add("two.net.", "a CNAME b\na CNAME c\nb A 192.0.2.1\nc A 192.0.2.1\nd DNAME example.org.\nd DNAME example.net.\ne CNAME alias.example.net.")
	s.want("two aliases", s.ask("a.two.net.", dns.TypeA), Bogus, broken)
	s.want("two aliases of a tree", s.ask("www.d.two.net.", dns.TypeA), Bogus, broken)
	s.tree.Add("open2.net.", "to CNAME e.two.net.", dnstest.Unsigned())
	s.want("an unsigned alias to a signed one", s.ask("to.open2.net.", dns.TypeA), Insecure, other)
}
