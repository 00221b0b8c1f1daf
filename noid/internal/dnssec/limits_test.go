package dnssec

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// colliding returns n keys of a zone that all have the tag of a key: a tag is a sum
// of 16-bit words, whose order does not matter.
func colliding(t *testing.T, k *dns.DNSKEY, n int) (out []*dns.DNSKEY) {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; len(out) < n; i++ {
		c := append([]byte(nil), b...)
		x, y := 2*(i/16), 32+2*(i%16)
		c[x], c[x+1], c[y], c[y+1] = c[y], c[y+1], c[x], c[x+1]
		twin := *k
		twin.PublicKey = base64.StdEncoding.EncodeToString(c)
		if twin.KeyTag() != k.KeyTag() {
			t.Fatalf("the tag of %v is %d", &twin, twin.KeyTag())
		}
		out = append(out, &twin)
	}
	return out
}

// KeyTrap: many keys of one tag, many signatures of them over many RRsets. What an
// answer costs does not grow with them.
func TestKeyTrap(t *testing.T) {
	s := newExample(t)
	m := s.tree.Answer("www.example.net.", dns.TypeA)
	key := record[*dns.DNSKEY](t, s.tree.Answer("example.net.", dns.TypeDNSKEY))
	sig := record[*dns.RRSIG](t, m)
	twins := colliding(t, key, 200)
	forged := func(name string, i int) *dns.RRSIG {
		f := *sig
		b, _ := base64.StdEncoding.DecodeString(sig.Signature)
		b[10+i/250], b[40] = byte(i), byte(i/250)
		f.Signature, f.Hdr.Name = base64.StdEncoding.EncodeToString(b), name
		f.Labels = uint8(dns.CountLabel(name))
		return &f
	}
	set := &rrset{name: "www.example.net.", rtype: dns.TypeA, rrs: m.Answer[:2]}
	for i := range 1000 {
		set.sigs = append(set.sigs, forged(set.name, i))
	}
	w := newWork()
	if sig, r := s.verify(w, set, "example.net.", twins); sig != nil || r.Status != Bogus {
		t.Errorf("forged signatures: %v", r)
	}
	if n := maxVerifications - w.verifications; n != maxVerifications {
		t.Errorf("an RRset costs %d signatures tried, want %d: all that the message may", n, maxVerifications)
	}
	if _, r := s.verify(w, set, "example.net.", twins); w.verifications != 0 || !strings.Contains(r.Reason, "needs more than") {
		t.Errorf("another RRset of the message: %v, %d more tried", r, -w.verifications)
	}
	unknown := *sig
	unknown.KeyTag++
	late := &rrset{name: set.name, rtype: set.rtype, rrs: set.rrs}
	for range maxSignatures {
		late.sigs = append(late.sigs, &unknown)
	}
	late.sigs = append(late.sigs, sig)
	if sig, _ := s.verify(newWork(), late, "example.net.", []*dns.DNSKEY{key}); sig != nil {
		t.Errorf("more than %d signatures are looked at", maxSignatures)
	}
	if sig, r := s.verify(newWork(), &rrset{name: set.name, rtype: set.rtype, rrs: set.rrs, sigs: late.sigs[1:]}, "example.net.", []*dns.DNSKEY{key}); sig == nil {
		t.Errorf("signature %d is not looked at: %v", maxSignatures, r)
	}
	w = newWork()
	set.sigs = set.sigs[:1]
	s.verify(w, set, "example.net.", twins)
	if n := maxVerifications - w.verifications; n != maxSameTag {
		t.Errorf("a signature costs %d keys tried, want %d", n, maxSameTag)
	}
	// A long message of denials by keys that are there once.
	m = s.tree.Answer("nothing.example.net.", dns.TypeA)
	m.Ns = nil
	for i := range 500 {
		name := fmt.Sprintf("a%d.example.net.", i)
		m.Ns = append(m.Ns, &dns.NSEC{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeNSEC, Class: dns.ClassINET}, NextDomain: "z.example.net."})
		f := forged(name, i)
		f.TypeCovered = dns.TypeNSEC
		m.Ns = append(m.Ns, f)
	}
	a := &answer{v: s.Validator, w: newWork(), b: &budget{fetches: maxFetches}, nxdomain: true, authority: group(m.Ns)}
	r := a.follow(t.Context(), "nothing.example.net.", dns.TypeA)
	if n := maxVerifications - a.w.verifications; r.Status != Bogus || n != maxDenials {
		t.Errorf("many denials: %v; %d signatures tried, want %d", r, n, maxDenials)
	}
	// Many DS records, many keys.
	var all []*dns.DS
	for _, k := range twins {
		all = append(all, k.ToDS(dns.SHA256))
	}
	keys := &rrset{name: "example.net.", rtype: dns.TypeDNSKEY}
	for _, k := range twins {
		keys.rrs = append(keys.rrs, k)
	}
	if k := zoneKeys(keys); len(k) != maxKeys || len(entryKeys(k, all)) != maxDS {
		t.Errorf("%d keys and %d entries are looked at, want %d and %d", len(k), len(entryKeys(k, all)), maxKeys, maxDS)
	}
}

// CVE-2023-50868: NSEC3 records that cost many hashes.
func TestNSEC3Cost(t *testing.T) {
	for iterations, want := range map[uint16]Status{maxIterations: Secure, maxIterations + 1: Insecure} {
		s := newExample(t, dnstest.WithNSEC3(iterations, "aabb", false))
		s.tree.Add("child.example.net.", "www A 192.0.2.8")
		const code = dns.ExtendedErrorCodeUnsupportedNSEC3IterValue
		s.want(fmt.Sprint("no such name, iterations ", iterations), s.ask("nothing.example.net.", dns.TypeA), want, code)
		s.want(fmt.Sprint("no such type, iterations ", iterations), s.ask("www.example.net.", dns.TypeMX), want, code)
		s.want(fmt.Sprint("a wildcard, iterations ", iterations), s.ask("a.wild.example.net.", dns.TypeA), want, code)
		s.want(fmt.Sprint("records, iterations ", iterations), s.ask("www.example.net.", dns.TypeA), Secure, 0)
		s.want(fmt.Sprint("a signed child, iterations ", iterations), s.ask("www.child.example.net.", dns.TypeA), Secure, 0)
	}
	// Who forges the number gains nothing.
	s := newExample(t, dnstest.WithNSEC3(0, "", false))
	r := s.ask("www.example.net.", dns.TypeA, func(m *dns.Msg) {
		*m = *s.tree.Answer("nothing.example.net.", dns.TypeA)
		for _, rr := range m.Ns {
			if n, ok := rr.(*dns.NSEC3); ok {
				n.Iterations = 2500
			}
		}
	})
	s.want("forged iterations", r, Bogus, broken)
	r = s.ask(strings.Repeat("a.", 110)+"example.net.", dns.TypeA)
	s.want("a name of 112 labels", r, Bogus, noProof)
}

// A long name costs a bounded number of questions, and its end is not held against
// others.
func TestQuestionsAreBounded(t *testing.T) {
	s := newExample(t)
	const depth = 120
	name := strings.Repeat("a.", depth) + "example.net."
	s.tree.Put("example.net.", &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: []byte{192, 0, 2, 1}})
	s.want("a name of 122 labels", s.ask(name, dns.TypeA, drop(dns.TypeRRSIG)), Bogus, other)
	if len(s.asked) != maxFetches {
		t.Errorf("%d questions, want %d", len(s.asked), maxFetches)
	}
	if r := s.ask(name, dns.TypeA, drop(dns.TypeRRSIG)); r.Status != Bogus || r.Code != noSigs {
		t.Errorf("the second time, when half of it is known: %v", r)
	}
}

// Below a name that does not exist nothing is asked for.
func TestNothingBelowNothing(t *testing.T) {
	s := newExample(t)
	s.want("unsigned", s.ask("a.b.c.d.e.nothing.example.net.", dns.TypeA, drop(dns.TypeRRSIG)), Bogus, noSigs)
	if last := s.asked[len(s.asked)-1]; last != "DS nothing.example.net." {
		t.Errorf("asked %q", s.asked)
	}
}

// Whoever has names looked up does not fill the memory.
func TestMemoryIsBounded(t *testing.T) {
	var z zones
	for i := range 2*maxZones + 10 {
		z.find(fmt.Sprint(i), func() time.Time { return noon }, func() found { return found{expire: noon.Add(time.Hour)} })
	}
	if len(z.names) > maxZones {
		t.Errorf("%d names are remembered, at most %d", len(z.names), maxZones)
	}
}

// Many who ask at once about one zone have it looked at once.
func TestOneLookForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newExample(t)
		fetch := s.Fetch
		s.Fetch = func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
			<-time.After(time.Second)
			return fetch(ctx, name, qtype)
		}
		var all sync.WaitGroup
		for range 100 {
			m := s.tree.Answer("www.example.net.", dns.TypeA)
			all.Go(func() {
				if r := s.Validate(t.Context(), "www.example.net.", dns.TypeA, m); r.Status != Secure {
					t.Error(r)
				}
			})
		}
		all.Wait()
		if len(s.asked) != 5 {
			t.Errorf("asked %q, want 5 questions", s.asked)
		}
	})
}

// What cannot be had is not proven, and is asked for again after a pause.
func TestUnreachable(t *testing.T) {
	s := newExample(t)
	fault := errors.New("no answer")
	fetch := s.Fetch
	s.Fetch = func(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
		if name == "example.net." {
			s.asked = append(s.asked, name)
			return nil, fault
		}
		return fetch(ctx, name, qtype)
	}
	unreachable := dns.ExtendedErrorCodeNoReachableAuthority
	r := s.ask("www.example.net.", dns.TypeA)
	if s.want("DS lost", r, Bogus, unreachable); !errors.Is(r.Err, fault) {
		t.Errorf("the error is %v", r.Err)
	}
	n := len(s.asked)
	s.want("at once", s.ask("www.example.net.", dns.TypeA), Bogus, unreachable)
	if len(s.asked) != n {
		t.Error("it is asked for again at once")
	}
	s.Fetch = fetch
	s.now = s.now.Add(failedTTL)
	s.want("after a pause", s.ask("www.example.net.", dns.TypeA), Secure, 0)

	s = newExample(t)
	s.tamper = func(q dns.Question, m *dns.Msg) {
		if q.Qtype == dns.TypeDNSKEY && q.Name == "example.net." {
			m.Rcode = dns.RcodeServerFailure
		}
	}
	s.want("SERVFAIL", s.ask("www.example.net.", dns.TypeA), Bogus, unreachable)
	s.tamper = func(q dns.Question, m *dns.Msg) {
		if q.Qtype == dns.TypeDNSKEY && q.Name == "example.org." {
			m.Answer[0].(*dns.DNSKEY).Flags ^= dns.SEP
		}
	}
	s.want("an altered key", s.ask("www.example.org.", dns.TypeA), Bogus, noKey)
	s.tamper = nil
	s.now = s.now.Add(bogusTTL - time.Second)
	s.want("an altered key, soon after", s.ask("www.example.org.", dns.TypeA), Bogus, noKey)
	s.now = s.now.Add(time.Second)
	s.want("an altered key, later", s.ask("www.example.org.", dns.TypeA), Secure, 0)
}
