package noid

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

const signedZone = `
www              A     9.0.0.1
_mhsctp.www      SVCB  1 h1 port=9899 key65280="\001\003" mandatory=key65280
h1               A     9.0.0.11
h1               A     9.0.0.12
legacy           A     9.0.0.30
moved            A     9.0.0.31
_mhsctp.moved    SVCB  1 h1.open.net. port=9899 key65280="\001\003" mandatory=key65280
`

// newSignedWorld is a world with a root, net, example.net, which is signed, and
// open.net, which is not.
func newSignedWorld(t *testing.T, cfg Config, up Upstream, tamper func(dns.Question, *dns.Msg)) *world {
	t.Helper()
	d, err := dnstest.New("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dns: d, now: time.Unix(1e9, 0)}
	tree := dnstest.NewTree(w.now)
	root := tree.Add(".", "")
	tree.Add("net.", "")
	tree.Add("example.net.", signedZone)
	tree.Add("open.net.", signedZone, dnstest.Unsigned())
	d.SetTree(tree, tamper)
	up.Addr = netip.MustParseAddrPort(d.Addr())
	cfg.Upstreams = []Upstream{up}
	cfg.DNSSEC.Anchors = append(cfg.DNSSEC.Anchors, root.Keys[0].DS(".", dns.SHA256).String())
	cfg.Now = func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	if w.Resolver, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Resolver.Close(); d.Close() })
	return w
}

func truth(b bool) *bool { return &b }

// on changes the answers to one question.
func on(name string, qtype uint16, change func(*dns.Msg)) func(dns.Question, *dns.Msg) {
	return func(q dns.Question, m *dns.Msg) {
		if strings.EqualFold(q.Name, name) && q.Qtype == qtype {
			change(m)
		}
	}
}

// permitted are the addresses of a name's only host that may be used beside the one that the
// handshake came from.
func permitted(t *testing.T, r *Result) string {
	t.Helper()
	if len(r.MH) != 1 {
		t.Fatalf("%d hosts, %v", len(r.MH), r.Partial)
	}
	return ips(r.MH[0].Permit(netip.MustParseAddr("9.0.0.11"), PeerView{Silent: true}))
}

// N18: the AD bit is believed of servers that are trusted, of no others.
func TestN18AD(t *testing.T) {
	off := DNSSEC{Validate: truth(false)}
	for _, test := range []struct {
		what         string
		trusted, bit bool
		channel      Channel
		permitted    string
		noFallback   bool // when there is no capability record
	}{
		{"set, plain server", false, true, ChanPlain, "9.0.0.11", true},
		{"set, trusted server", true, true, ChanAD, "9.0.0.11 9.0.0.12", false},
		{"stripped, plain server", false, false, ChanPlain, "9.0.0.11", true},
		{"stripped, trusted server", true, false, ChanPlain, "9.0.0.11", false},
	} {
		w := newSignedWorld(t, Config{Trust: Strict, DNSSEC: off}, Upstream{TrustAD: test.trusted}, nil)
		for _, name := range []string{"www", "_mhsctp.www", "h1", "legacy", "_mhsctp.legacy"} {
			w.dns.SetFault(name+".example.net", dnstest.Fault{AD: test.bit})
		}
		r := w.resolve("www.example.net")
		if got := permitted(t, r); got != test.permitted || r.MH[0].Channel != test.channel {
			t.Errorf("%s: %v permits %s, want %v, %s", test.what, r.MH[0].Channel, got, test.channel, test.permitted)
		}
		if r = w.resolve("legacy.example.net"); r.NoFallback != test.noFallback || errors.Is(r.Partial, ErrDowngrade) != test.noFallback {
			t.Errorf("%s, no record: falling back is forbidden: %v, want %v; %v", test.what, r.NoFallback, test.noFallback, r.Partial)
		}
		if n := w.dns.Asked("example.net", dns.TypeDNSKEY); n > 0 {
			t.Errorf("%s: keys are asked for, though nothing is validated", test.what)
		}
	}
}

// N19: strict mode takes what a signed zone has published, or nothing.
func TestN19Validation(t *testing.T) {
	alter := func(m *dns.Msg) {
		switch rr := m.Answer[0].(type) {
		case *dns.A:
			rr.A = net.IPv4(9, 0, 0, 66)
		case *dns.SVCB:
			rr.Target = "h2.example.net."
		}
	}
	strip := func(_ dns.Question, m *dns.Msg) {
		var kept []dns.RR
		for _, rr := range m.Answer {
			if rr.Header().Rrtype != dns.TypeRRSIG {
				kept = append(kept, rr)
			}
		}
		m.Answer, m.Ns = kept, nil
	}
	deny := func(m *dns.Msg) { m.Answer, m.Ns, m.Rcode = nil, nil, dns.RcodeNameError }
	for _, test := range []struct {
		what       string
		name       string
		tamper     func(dns.Question, *dns.Msg)
		hosts      int
		noFallback bool
		kind       error // of what is missing
	}{
		{"good", "www.example.net", nil, 1, true, nil},
		{"absence is proven", "legacy.example.net", nil, 0, false, ErrNXDomain},
		{"absence is forged", "www.example.net", on("_mhsctp.www.example.net.", dns.TypeSVCB, deny), 0, true, ErrBogus},
		{"absence is not proven", "legacy.example.net", on("_mhsctp.legacy.example.net.", dns.TypeSVCB, deny), 0, true, ErrBogus},
		{"the record is altered", "www.example.net", on("_mhsctp.www.example.net.", dns.TypeSVCB, alter), 0, true, ErrBogus},
		{"the target's address is altered", "www.example.net", on("h1.example.net.", dns.TypeA, alter), 0, true, ErrBogus},
		{"the zone is unsigned", "www.open.net", nil, 1, true, nil},
		{"absence in an unsigned zone", "legacy.open.net", nil, 0, false, ErrNXDomain},
		{"the zone is made unsigned", "www.example.net", on("example.net.", dns.TypeDS, deny), 0, true, ErrBogus},
		{"the server fails on the chain", "www.example.net", on("example.net.", dns.TypeDS, func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }), 0, true, ErrServer},
		{"the server passes no signatures on", "www.example.net", strip, 0, true, ErrBogus},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			w := newSignedWorld(t, Config{Trust: Strict}, Upstream{}, test.tamper)
			r, err := w.Resolve(t.Context(), test.name, 80)
			if r == nil {
				r = &Result{Partial: err, NoFallback: true}
			}
			if len(r.MH) != test.hosts || r.NoFallback != test.noFallback || test.kind != nil && !errors.Is(r.Partial, test.kind) {
				t.Errorf("%d hosts, falling back is forbidden: %v, missing: %v; want %d, %v, %v", len(r.MH), r.NoFallback, r.Partial, test.hosts, test.noFallback, test.kind)
			}
			var bogus *BogusError
			if isBogus := errors.As(r.Partial, &bogus); isBogus != (test.kind == ErrBogus) || isBogus && bogus.EDE == 0 {
				t.Errorf("the extended error of %v is missing", r.Partial)
			}
		})
	}
}

// The whole chain from a name over its record to the addresses has to be
// validated for a second address to be used.
func TestN19Channels(t *testing.T) {
	w := newSignedWorld(t, Config{Trust: Strict}, Upstream{}, nil)
	for name, want := range map[string]struct {
		channel   Channel
		permitted string
	}{
		"www.example.net":   {ChanValidated, "9.0.0.11 9.0.0.12"},
		"moved.example.net": {ChanPlain, "9.0.0.11"}, // its target is in an unsigned zone
		"www.open.net":      {ChanPlain, "9.0.0.11"},
	} {
		r := w.resolve(name)
		if got := permitted(t, r); got != want.permitted || r.MH[0].Channel != want.channel {
			t.Errorf("%s: %v permits %s, want %v, %s", name, r.MH[0].Channel, got, want.channel, want.permitted)
		}
	}
}

// N19: what was valid is not for ever.
func TestN19Expired(t *testing.T) {
	w := newSignedWorld(t, Config{Trust: Strict}, Upstream{}, nil)
	if r := w.resolve("www.example.net"); len(r.MH) != 1 {
		t.Fatalf("%+v", r)
	}
	w.advance(31 * 24 * time.Hour)
	_, err := w.Resolve(t.Context(), "www.example.net", 80)
	var bogus *BogusError
	if !errors.As(err, &bogus) || bogus.EDE != dns.ExtendedErrorCodeSignatureExpired || !strings.Contains(err.Error(), "clock") {
		t.Errorf("a month later: %v, want an expired signature and what to do", err)
	}
}

// Other modes validate when they are told to; what is bogus is no answer for
// them either, but they go on with what there is.
func TestValidateInOtherModes(t *testing.T) {
	forge := on("_mhsctp.www.example.net.", dns.TypeSVCB, func(m *dns.Msg) { m.Answer[0].(*dns.SVCB).Target = "legacy.example.net." })
	w := newSignedWorld(t, Config{DNSSEC: DNSSEC{Validate: truth(true)}}, Upstream{}, forge)
	if r := w.resolve("www.example.net"); len(r.MH) != 0 || !errors.Is(r.Partial, ErrBogus) || r.Legacy == nil || r.Legacy.Channel != ChanValidated || r.NoFallback {
		t.Errorf("validated: %+v", r)
	}
	w = newSignedWorld(t, Config{}, Upstream{}, forge)
	if r := w.resolve("www.example.net"); len(r.MH) != 1 || r.MH[0].Channel != ChanPlain {
		t.Errorf("not validated: %+v", r)
	}
	w = newSignedWorld(t, Config{Trust: Strict, DNSSEC: DNSSEC{Unsigned: []Name{"example.net."}}}, Upstream{}, forge)
	if r := w.resolve("www.example.net"); len(r.MH) != 1 || r.MH[0].Channel != ChanPlain {
		t.Errorf("unsigned by configuration: %+v", r)
	}
	if _, err := New(Config{Trust: Strict, DNSSEC: DNSSEC{Anchors: []string{"example. A 9.0.0.1"}}}); err == nil || !strings.Contains(err.Error(), "want a DS record") {
		t.Errorf("a wrong anchor: %v", err)
	}
}

// Validation costs a chain once: a name of a zone that is known costs its own
// questions, and one that is known none.
func TestValidationIsCached(t *testing.T) {
	w := newSignedWorld(t, Config{Trust: Strict}, Upstream{}, nil)
	count := func(name string) int {
		n := w.dns.Total()
		w.resolve(name)
		return w.dns.Total() - n
	}
	plain := newSignedWorld(t, Config{}, Upstream{}, nil)
	plain.resolve("www.example.net")
	cold, warm, again, own := count("www.example.net"), count("moved.example.net"), count("www.example.net"), plain.dns.Total()
	const chain, other = 5, 1 // DNSKEY ., DS and DNSKEY of net. and example.net.; DS open.net.
	if cold != own+chain {
		t.Errorf("a cold cache costs %d questions, want %d", cold, own+chain)
	}
	if warm != own+other || again != 0 {
		t.Errorf("a warm one costs %d for another name and %d for the same, want %d and 0", warm, again, own+other)
	}
}
