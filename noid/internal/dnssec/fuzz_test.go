package dnssec

import (
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// questions of the fuzzer: every kind of answer.
var questions = []dns.Question{
	{Name: "www.example.net.", Qtype: dns.TypeA}, {Name: "_mhsctp.www.example.net.", Qtype: dns.TypeSVCB},
	{Name: "www.example.net.", Qtype: dns.TypeSVCB}, {Name: "nothing.example.net.", Qtype: dns.TypeA},
	{Name: "a.wild.example.net.", Qtype: dns.TypeA}, {Name: "a.wild.example.net.", Qtype: dns.TypeAAAA},
	{Name: "far.example.net.", Qtype: dns.TypeA}, {Name: "x.tree.example.net.", Qtype: dns.TypeA},
	{Name: "deep.below.example.net.", Qtype: dns.TypeA}, {Name: "www.open.net.", Qtype: dns.TypeA},
	{Name: "www.hashed.net.", Qtype: dns.TypeA}, {Name: "www.hashed.net.", Qtype: dns.TypeAAAA},
	{Name: "nothing.hashed.net.", Qtype: dns.TypeA}, {Name: "a.wild.hashed.net.", Qtype: dns.TypeA},
	{Name: "nothing.out.net.", Qtype: dns.TypeA}, {Name: "www.out.net.", Qtype: dns.TypeA},
	{Name: "www.open.out.net.", Qtype: dns.TypeA}, {Name: "open.net.", Qtype: dns.TypeDS},
}

// fuzzScene is the scene of the fuzzer, and how honest answers are judged.
var fuzzScene = sync.OnceValues(func() (*dnstest.Tree, []*dns.DS) {
	tree := dnstest.NewTree(noon)
	root := tree.Add(".", "")
	tree.Add("net.", "")
	tree.Add("org.", "")
	tree.Add("example.org.", "www A 198.51.100.1\nx A 198.51.100.2")
	tree.Add("example.net.", example)
	tree.Add("hashed.net.", example, dnstest.WithNSEC3(2, "aabb", false))
	tree.Add("out.net.", example, dnstest.WithNSEC3(0, "", true))
	tree.Add("open.out.net.", "www A 203.0.113.1", dnstest.Unsigned())
	tree.Add("open.net.", "www A 203.0.113.1", dnstest.Unsigned())
	return tree, []*dns.DS{root.Keys[0].DS(".", dns.SHA256)}
})

// patch changes octets of a message: each three of the patch are an offset and what
// to xor there. What cannot be read any more is dropped, as on the way.
func patch(m *dns.Msg, p []byte) *dns.Msg {
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	for ; len(p) >= 3; p = p[3:] {
		b[(int(p[0])<<8|int(p[1]))%len(b)] ^= p[2]
	}
	out := new(dns.Msg)
	if out.Unpack(b) != nil {
		return nil
	}
	return out
}

// Whatever is done to an answer and to the records of its chain, it is judged as
// the honest one or bogus, and what is left of a secure one is what the zone signed.
func FuzzValidate(f *testing.F) {
	for i := range questions {
		f.Add(uint8(i), []byte{}, uint8(0), []byte{})
		f.Add(uint8(i), []byte{0, 40, 1, 0, 90, 128}, uint8(3), []byte{0, 3, 3})
		f.Add(uint8(i), []byte{0, 3, 3}, uint8(2), []byte{0, 60, 4})
		f.Add(uint8(i), []byte{0, 7, 1}, uint8(4), []byte{0, 9, 255})
	}
	f.Fuzz(func(t *testing.T, question uint8, change []byte, step uint8, stepChange []byte) {
		tree, anchors := fuzzScene()
		q := questions[int(question)%len(questions)]
		if len(change) > 90 || len(stepChange) > 90 {
			return
		}
		honest := &scene{t: t, tree: tree, now: noon}
		honest.Validator = New(anchors, nil, honest.clock, honest.fetch)
		want := honest.ask(q.Name, q.Qtype)

		s := &scene{t: t, tree: tree, now: noon}
		s.Validator = New(anchors, nil, s.clock, s.fetch)
		s.tamper = func(_ dns.Question, m *dns.Msg) {
			if len(s.asked) == int(step) {
				if p := patch(m, stepChange); p != nil {
					*m = *p
				} else {
					m.Rcode = dns.RcodeServerFailure
				}
			}
		}
		original := tree.Answer(q.Name, q.Qtype)
		m := patch(original, change)
		if m == nil {
			return
		}
		got := s.Validate(t.Context(), q.Name, q.Qtype, m)
		if got.Status != want.Status && got.Status != Bogus {
			t.Fatalf("%v, want %v or bogus:\n%v", got, want, m)
		}
		if got.Status != Secure {
			return
		}
		if m.Rcode != original.Rcode || (len(m.Answer) == 0) != (len(original.Answer) == 0) {
			t.Fatalf("secure, and not what the zone says:\n%v\nin place of\n%v", m, original)
		}
		signed := slices.Concat(original.Answer, original.Ns)
		for _, rr := range slices.Concat(m.Answer, m.Ns) {
			same := func(o dns.RR) bool { return dns.IsDuplicate(o, rr) && rr.Header().Ttl <= o.Header().Ttl }
			if _, isSig := rr.(*dns.RRSIG); !isSig && !slices.ContainsFunc(signed, same) {
				t.Fatalf("secure, and not signed by anybody: %v\n%v", rr, m)
			}
		}
	})
}
