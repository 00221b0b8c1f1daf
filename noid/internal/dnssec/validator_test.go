package dnssec

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

const example = `
www              A     192.0.2.1
www              A     192.0.2.2
alias            CNAME www
far              CNAME www.example.org.
gone             CNAME nothing
open             CNAME www.open.net.
*.wild           A     192.0.2.9
host.deep.below  A     192.0.2.3
*.cnames         CNAME www
tree             DNAME www.example.org.
_mhsctp.www      SVCB  1 www port=9899
`

// newExample is a scene with example.net, which has everything, example.org,
// and open.net, which is unsigned.
func newExample(t testing.TB, options ...dnstest.Option) *scene {
	s := newScene(t)
	s.tree.Add("org.", "")
	s.tree.Add("example.org.", "www A 198.51.100.1\nx.www A 198.51.100.2")
	s.tree.Add("example.net.", example, options...)
	s.tree.Add("open.net.", "www A 203.0.113.1\nto CNAME www.example.net.", dnstest.Unsigned())
	return s
}

var denials = map[string][]dnstest.Option{
	"NSEC":                           nil,
	"NSEC3":                          {dnstest.WithNSEC3(0, "", false)},
	"NSEC3 with salt and iterations": {dnstest.WithNSEC3(10, "aabbccdd", false)},
}

// What an honest server says is judged as the owner meant it.
func TestHonestAnswers(t *testing.T) {
	for name, options := range denials {
		t.Run(name, func(t *testing.T) {
			s := newExample(t, options...)
			for _, test := range []struct {
				name  string
				qtype uint16
				want  Status
			}{
				{"www.example.net.", dns.TypeA, Secure},
				{"WWW.Example.NET.", dns.TypeA, Secure},
				{"_mhsctp.www.example.net.", dns.TypeSVCB, Secure},
				{"example.net.", dns.TypeSOA, Secure},
				{"example.net.", dns.TypeDNSKEY, Secure},
				{"example.net.", dns.TypeDS, Secure},
				{"net.", dns.TypeDS, Secure},
				{".", dns.TypeNS, Secure},
				{"alias.example.net.", dns.TypeA, Secure},
				{"alias.example.net.", dns.TypeCNAME, Secure},
				{"far.example.net.", dns.TypeA, Secure},
				{"far.example.net.", dns.TypeAAAA, Secure}, // absent behind an alias
				{"gone.example.net.", dns.TypeA, Secure},   // an alias to nothing
				{"open.example.net.", dns.TypeA, Insecure}, // an alias to an unsigned zone
				{"x.tree.example.net.", dns.TypeA, Secure}, // through DNAME
				{"y.tree.example.net.", dns.TypeA, Secure}, // through DNAME to nothing
				{"tree.example.net.", dns.TypeDNAME, Secure},
				{"a.wild.example.net.", dns.TypeA, Secure},    // from a wildcard
				{"a.b.wild.example.net.", dns.TypeA, Secure},  // the same, two labels
				{"*.wild.example.net.", dns.TypeA, Secure},    // the wildcard itself
				{"a.cnames.example.net.", dns.TypeA, Secure},  // an alias from a wildcard
				{"www.example.net.", dns.TypeAAAA, Secure},    // absent
				{"example.net.", dns.TypeMX, Secure},          // absent at the apex
				{"a.wild.example.net.", dns.TypeAAAA, Secure}, // absent at a wildcard
				{"below.example.net.", dns.TypeA, Secure},     // an empty non-terminal
				{"deep.below.example.net.", dns.TypeDS, Secure},
				{"wild.example.net.", dns.TypeA, Secure},
				{"nothing.example.net.", dns.TypeA, Secure}, // no such name
				{"a.b.c.nothing.example.net.", dns.TypeA, Secure},
				{"zzz.example.net.", dns.TypeA, Secure}, // behind the last name
				{"nothing.", dns.TypeA, Secure},
				{"www.open.net.", dns.TypeA, Insecure},
				{"www.open.net.", dns.TypeAAAA, Insecure},
				{"nothing.open.net.", dns.TypeA, Insecure},
				{"to.open.net.", dns.TypeA, Insecure}, // a signed end does not help
				{"open.net.", dns.TypeDS, Secure},     // the zone above says so
			} {
				s.want(test.name+" "+dns.TypeToString[test.qtype], s.ask(test.name, test.qtype), test.want, other)
			}
			n := len(s.asked)
			s.ask("www.example.net.", dns.TypeA)
			s.ask("nothing.example.net.", dns.TypeSVCB)
			s.ask("www.open.net.", dns.TypeA)
			if len(s.asked) != n {
				t.Errorf("a warm cache asks %q", s.asked[n:])
			}
		})
	}
}

// A cold chain costs a DNSKEY question for each zone and a DS question for each
// label of a delegation.
func TestChainQuestions(t *testing.T) {
	s := newExample(t)
	s.want("cold", s.ask("_mhsctp.www.example.net.", dns.TypeSVCB), Secure, 0)
	if got, want := strings.Join(s.asked, ", "), "DNSKEY ., DS net., DNSKEY net., DS example.net., DNSKEY example.net."; got != want {
		t.Errorf("asked %s; want %s", got, want)
	}
	s.now = noon.Add(301 * time.Second) // the TTLs have passed
	s.asked = nil
	s.want("expired", s.ask("www.example.net.", dns.TypeA), Secure, 0)
	if len(s.asked) == 0 {
		t.Error("what is known outlives its TTL")
	}
	s = newExample(t)
	s.tamper = func(q dns.Question, m *dns.Msg) { // a server that has had the keys for a while
		if q.Qtype == dns.TypeDNSKEY && q.Name == "example.net." {
			m.Answer[0].Header().Ttl = 20
		}
	}
	s.want("cold", s.ask("www.example.net.", dns.TypeA), Secure, 0)
	s.now, s.asked = noon.Add(21*time.Second), nil
	s.want("the keys have expired", s.ask("www.example.net.", dns.TypeA), Secure, 0)
	if got, want := strings.Join(s.asked, ", "), "DS example.net., DNSKEY example.net."; got != want {
		t.Errorf("asked %s; want %s", got, want)
	}
}

// Each algorithm, as the only one of a zone.
func TestAlgorithms(t *testing.T) {
	for algorithm, want := range map[uint8]Status{
		dns.RSASHA256: Secure, dns.RSASHA512: Secure, dns.ECDSAP256SHA256: Secure, dns.ECDSAP384SHA384: Secure, dns.ED25519: Secure,
		dns.RSASHA1: Insecure, // RFC 9905 section 2
	} {
		t.Run(dns.AlgorithmToString[algorithm], func(t *testing.T) {
			s := newExample(t, dnstest.SignedWith(dnstest.NewKey(algorithm)))
			s.want("answer", s.ask("www.example.net.", dns.TypeA), want, dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm)
			s.want("absence", s.ask("www.example.net.", dns.TypeAAAA), want, dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm)
			if want != Secure {
				return
			}
			s.want("altered", s.ask("www.example.net.", dns.TypeA, func(m *dns.Msg) { m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 66) }), Bogus, broken)
		})
	}
}

// The DS records of a zone: unknown ones do not matter beside known ones, and
// make a zone insecure when there are no others.
func TestDelegations(t *testing.T) {
	key, spare := dnstest.NewKey(dns.ECDSAP256SHA256), dnstest.NewKey(dns.ED25519)
	unknown := func(ds *dns.DS) *dns.DS { ds.Algorithm = 200; return ds }
	digest := func(ds *dns.DS, d uint8) *dns.DS { ds.DigestType = d; return ds }
	forged := func(ds *dns.DS) *dns.DS { ds.Digest = strings.Repeat("00", len(ds.Digest)/2); return ds }
	const zone = "example.net."
	for _, test := range []struct {
		what   string
		ds     []*dns.DS
		status Status
		code   uint16
	}{
		{"SHA-1", []*dns.DS{key.DS(zone, dns.SHA1)}, Secure, 0},
		{"SHA-384", []*dns.DS{key.DS(zone, dns.SHA384)}, Secure, 0},
		{"unknown algorithm beside a known one", []*dns.DS{unknown(key.DS(zone, dns.SHA256)), key.DS(zone, dns.SHA256)}, Secure, 0},
		{"unknown digest beside a known one", []*dns.DS{digest(key.DS(zone, dns.SHA256), 99), key.DS(zone, dns.SHA256)}, Secure, 0},
		{"unknown algorithm", []*dns.DS{unknown(key.DS(zone, dns.SHA256))}, Insecure, dns.ExtendedErrorCodeUnsupportedDNSKEYAlgorithm},
		{"unknown digest", []*dns.DS{digest(key.DS(zone, dns.SHA256), 99)}, Insecure, dns.ExtendedErrorCodeUnsupportedDSDigestType},
		{"another key", []*dns.DS{spare.DS(zone, dns.SHA256)}, Bogus, noKey},
		{"unknown algorithm beside another key", []*dns.DS{unknown(key.DS(zone, dns.SHA256)), spare.DS(zone, dns.SHA256)}, Bogus, noKey},
		{"another digest", []*dns.DS{forged(key.DS(zone, dns.SHA256))}, Bogus, noKey},
		{"SHA-1 beside a wrong SHA-256", []*dns.DS{key.DS(zone, dns.SHA1), forged(key.DS(zone, dns.SHA256))}, Bogus, noKey},
	} {
		s := newScene(t)
		s.tree.Add(zone, example, dnstest.SignedWith(key), dnstest.WithoutDS())
		for _, ds := range test.ds {
			s.tree.Put("net.", ds)
		}
		s.want(test.what, s.ask("www.example.net.", dns.TypeA), test.status, test.code)
	}
}

// Keys come and go.
func TestKeys(t *testing.T) {
	old, next := dnstest.NewKey(dns.ECDSAP256SHA256), dnstest.NewKey(dns.ECDSAP256SHA256)
	other := dnstest.NewKey(dns.ED25519)
	for _, test := range []struct {
		what   string
		keys   []*dnstest.Key
		status Status
		code   uint16
	}{
		{"a key signing key and a zone signing key", []*dnstest.Key{old.Silent(), next.Hidden()}, Secure, 0},
		{"the next key is published", []*dnstest.Key{old, next.Hidden().Silent()}, Secure, 0},
		{"both sign", []*dnstest.Key{old, next}, Secure, 0},
		{"both sign, the zone above knows one", []*dnstest.Key{old.Hidden(), next}, Secure, 0},
		{"an algorithm rollover", []*dnstest.Key{old, other}, Secure, 0},
		{"the zone above knows none that is there", []*dnstest.Key{old.Hidden()}, Insecure, dns.ExtendedErrorCodeOther},
		{"a revoked key", []*dnstest.Key{old.Flagged(dns.ZONE | dns.SEP | dns.REVOKE)}, Bogus, noKey},
		{"not a zone key", []*dnstest.Key{old.Flagged(dns.SEP)}, Bogus, noKey},
		{"a revoked key signs", []*dnstest.Key{old.Silent(), next.Hidden().Flagged(dns.ZONE | dns.REVOKE)}, Bogus, noKey},
	} {
		s := newExample(t, dnstest.SignedWith(test.keys...))
		s.want(test.what, s.ask("www.example.net.", dns.TypeA), test.status, test.code)
	}
}

// The signatures of a zone have their time, whose ends are serial numbers.
func TestValidity(t *testing.T) {
	const month = 30 * 24 * time.Hour
	s := newExample(t)
	s.now = noon.Add(month)
	s.want("expired", s.ask("www.example.net.", dns.TypeA), Bogus, dns.ExtendedErrorCodeSignatureExpired)
	s.trust()
	s.now = noon.Add(-month)
	s.want("not yet valid", s.ask("www.example.net.", dns.TypeA), Bogus, dns.ExtendedErrorCodeSignatureNotYetValid)

	at := func(sec uint32) time.Time { return time.Unix(int64(sec), 0) }
	for _, test := range []struct {
		inception, expiration uint32
		now                   time.Time
		early, late           bool
	}{
		{100, 200, at(100), false, false},
		{100, 200, at(200), false, false},
		{100, 200, at(99), true, false},
		{100, 200, at(201), false, true},
		{1<<32 - 100, 100, at(1<<32 - 50), false, false}, // over the turn of 2106
		{1<<32 - 100, 100, time.Unix(1<<32+50, 0), false, false},
		{1<<32 - 100, 100, time.Unix(1<<32+101, 0), false, true},
	} {
		if early, late := validAt(&dns.RRSIG{Inception: test.inception, Expiration: test.expiration}, test.now); early != test.early || late != test.late {
			t.Errorf("%d to %d at %d: early %v, late %v", test.inception, test.expiration, test.now.Unix(), early, late)
		}
	}
}

// TTLs are not signed; those of secure answers are not more than what is.
func TestTTLsAreLimited(t *testing.T) {
	s := newExample(t)
	s.now = noon.Add(15*24*time.Hour - 10*time.Second)
	m := s.tree.Answer("www.example.net.", dns.TypeA)
	for _, rr := range m.Answer {
		rr.Header().Ttl = 100000
	}
	if r := s.Validate(t.Context(), "www.example.net.", dns.TypeA, m); r.Status != Secure || m.Answer[0].Header().Ttl != 10 {
		t.Errorf("%v, TTL %d; want 10, until the signature expires", r, m.Answer[0].Header().Ttl)
	}
	s.now = noon
	m = s.tree.Answer("www.example.net.", dns.TypeA)
	for _, rr := range m.Answer {
		rr.Header().Ttl = 100000
	}
	if r := s.Validate(t.Context(), "www.example.net.", dns.TypeA, m); r.Status != Secure || m.Answer[0].Header().Ttl != 300 {
		t.Errorf("%v, TTL %d; want 300, as signed", r, m.Answer[0].Header().Ttl)
	}
}

// A secure answer holds nothing that was not verified.
func TestSecureAnswersAreStripped(t *testing.T) {
	s := newExample(t)
	m := s.tree.Answer("www.example.net.", dns.TypeA)
	extra, _ := dns.NewRR("www.example.net. A 192.0.2.66")
	extra.Header().Name = "evil.example.net."
	m.Answer = append([]dns.RR{extra}, m.Answer...)
	m.Ns, m.Extra = append(m.Ns, extra), append(m.Extra, extra)
	r := s.Validate(t.Context(), "www.example.net.", dns.TypeA, m)
	if s.want("answer", r, Secure, 0); slices.Contains(m.Answer, extra) || len(m.Answer) != 3 || len(m.Ns)+len(m.Extra) > 0 {
		t.Errorf("what is left: %v", m)
	}
}

// Zones that the configuration speaks of.
func TestAnchors(t *testing.T) {
	s := newExample(t)
	island := s.tree.Add("island.open.net.", "www A 192.0.2.7")
	s.want("an island without an anchor", s.ask("www.island.open.net.", dns.TypeA), Insecure, dns.ExtendedErrorCodeOther)
	s.Anchors = append(s.Anchors, island.Keys[0].DS("island.open.net.", dns.SHA256))
	s.want("an island with one", s.ask("www.island.open.net.", dns.TypeA), Secure, 0)
	s.want("above it", s.ask("www.open.net.", dns.TypeA), Insecure, other)

	s = newExample(t)
	s.Unsigned = []string{"example.net."}
	s.want("a negative anchor", s.ask("www.example.net.", dns.TypeA, drop(dns.TypeRRSIG)), Insecure, other)
	s.want("beside it", s.ask("www.example.org.", dns.TypeA), Secure, 0)

	// What is above an anchor does not speak for what is below.
	key := dnstest.NewKey(dns.ED25519)
	s = newScene(t)
	s.tree.Add("up.net.", "", dnstest.SignedWith(key))
	private := s.tree.Add("corp.up.net.", "www A 192.0.2.1")
	above := func(m *dns.Msg) {
		m.Answer = []dns.RR{m.Answer[0], key.Sign(m.Answer[:1], "up.net.", s.tree.Inception, s.tree.Expiration)}
	}
	s.Anchors = append(s.Anchors, private.Keys[0].DS("corp.up.net.", dns.SHA256))
	s.want("signed above an anchor", s.ask("www.corp.up.net.", dns.TypeA, above), Bogus, noSigs)
	s.trust()
	s.Unsigned = []string{"corp.up.net."}
	s.want("signed above a negative anchor", s.ask("www.corp.up.net.", dns.TypeA, above), Insecure, other)

	s = newExample(t)
	s.Anchors = nil
	s.want("no anchor at all", s.ask("www.example.net.", dns.TypeA), Insecure, dns.ExtendedErrorCodeDNSSECIndeterminate)
	s.Anchors = []*dns.DS{dnstest.NewKey(dns.ED25519).DS(".", dns.SHA256)}
	s.want("a wrong anchor", s.ask("www.example.net.", dns.TypeA), Bogus, noKey)
}

// The built-in anchors are the digests of the keys that IANA has published.
func TestRootAnchors(t *testing.T) {
	keys := map[uint16]string{
		20326: "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU=",
		38696: "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmOElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXkPIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc=",
	}
	for _, ds := range Root() {
		k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "."}, Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.RSASHA256, PublicKey: keys[ds.KeyTag]}
		if k.KeyTag() != ds.KeyTag || !strings.EqualFold(k.ToDS(dns.SHA256).Digest, ds.Digest) {
			t.Errorf("%v is not of the key %d", ds, ds.KeyTag)
		}
	}
	if n := len(New(nil, nil, nil, nil).Anchors); n != len(keys) {
		t.Errorf("%d anchors", n)
	}
	for s, ok := range map[string]bool{
		"example. IN DS 1 13 2 " + strings.Repeat("00", 32): true, "Example. DS 1 13 2 " + strings.Repeat("00", 32): true,
		"example. IN DS 1 5 2 00": false, "example. IN A 192.0.2.1": false, "": false, "x": false,
	} {
		if ds, err := ParseAnchor(s); (err == nil) != ok || ok && ds.Hdr.Name != "example." {
			t.Errorf("ParseAnchor(%q): %v, %v", s, ds, err)
		}
	}
}
