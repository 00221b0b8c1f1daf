package dnssec

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// scene is a tree of zones and a validator that begins at its root.
type scene struct {
	*Validator
	t    testing.TB
	tree *dnstest.Tree
	root *dnstest.Zone

	mu     sync.Mutex
	now    time.Time
	asked  []string                         // questions of the validator
	tamper func(q dns.Question, m *dns.Msg) // changes what it is told
}

func newScene(t testing.TB) *scene {
	s := &scene{t: t, tree: dnstest.NewTree(noon), now: noon}
	s.root = s.tree.Add(".", "")
	s.tree.Add("net.", "")
	s.trust()
	return s
}

// trust begins anew with the keys that the root has now.
func (s *scene) trust() {
	var anchors []*dns.DS
	for _, k := range s.root.Keys {
		anchors = append(anchors, k.DS(".", dns.SHA256))
	}
	s.Validator = New(anchors, nil, s.clock, s.fetch)
	s.asked = nil
}

func (s *scene) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *scene) fetch(_ context.Context, name string, qtype uint16) (*dns.Msg, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, dns.TypeToString[qtype]+" "+name)
	m := s.tree.Answer(name, qtype)
	if s.tamper != nil {
		s.tamper(m.Question[0], m)
	}
	return onWire(s.t, m), nil
}

// onWire returns what arrives of a message.
func onWire(t testing.TB, m *dns.Msg) *dns.Msg {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	out := new(dns.Msg)
	if err := out.Unpack(b); err != nil {
		t.Fatal(err)
	}
	return out
}

// ask validates what the tree answers, after change has been at it.
func (s *scene) ask(name string, qtype uint16, change ...func(*dns.Msg)) Result {
	s.t.Helper()
	m := s.tree.Answer(name, qtype)
	if s.tamper != nil {
		s.tamper(m.Question[0], m)
	}
	for _, f := range change {
		f(m)
	}
	return s.Validate(s.t.Context(), name, qtype, onWire(s.t, m))
}

func (s *scene) want(what string, got Result, status Status, code uint16) {
	s.t.Helper()
	if got.Status != status || status != Secure && got.Code != code {
		s.t.Errorf("%s: %v, code %d; want %v, code %d", what, got, got.Code, status, code)
	}
}

const (
	other   = dns.ExtendedErrorCodeOther
	broken  = dns.ExtendedErrorCodeDNSBogus
	noKey   = dns.ExtendedErrorCodeDNSKEYMissing
	noSigs  = dns.ExtendedErrorCodeRRSIGsMissing
	noProof = dns.ExtendedErrorCodeNSECMissing
)

// drop removes records of a type, and the signatures over them, from both sections.
func drop(rtype uint16) func(*dns.Msg) {
	return func(m *dns.Msg) {
		keep := func(in []dns.RR) (out []dns.RR) {
			for _, rr := range in {
				sig, isSig := rr.(*dns.RRSIG)
				if rr.Header().Rrtype != rtype && !(isSig && sig.TypeCovered == rtype) {
					out = append(out, rr)
				}
			}
			return out
		}
		m.Answer, m.Ns = keep(m.Answer), keep(m.Ns)
	}
}

// signatures calls f for each signature of a message.
func signatures(m *dns.Msg, f func(*dns.RRSIG)) {
	for _, rr := range append(m.Answer[:len(m.Answer):len(m.Answer)], m.Ns...) {
		if sig, ok := rr.(*dns.RRSIG); ok {
			f(sig)
		}
	}
}
