package noid

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// What was asked of solutions to multihoming, here and in RFC 4219, as far as
// names answer it and no other test does. docs/self-assessment.md has all of the
// questions, each with its test.

// syncBuilder is a log that goroutines of the resolver write and a test reads.
type syncBuilder struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuilder) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuilder) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// No better, but no worse, than today or in the future: where signatures are
// checked, one that is broken takes all further addresses from a name. Mode strict
// goes nowhere then; mode opportunistic goes where it would without mh, over one
// path, and the log warns.
func TestMulti6NoWorseThanSignedDNS(t *testing.T) {
	breakSignature := on("h1.example.net.", dns.TypeA, func(m *dns.Msg) {
		for _, rr := range m.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok {
				b, err := base64.StdEncoding.DecodeString(sig.Signature)
				if err != nil {
					t.Errorf("signature %q: %v", sig.Signature, err)
					return
				}
				b[len(b)/2] ^= 1
				sig.Signature = base64.StdEncoding.EncodeToString(b)
			}
		}
	})
	for _, trust := range []Trust{Strict, Opportunistic} {
		var log syncBuilder
		cfg := Config{Trust: trust, DNSSEC: DNSSEC{Validate: truth(true)}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if r := newSignedWorld(t, cfg, Upstream{}, nil).resolve("www.example.net"); len(r.MH) != 1 || log.String() != "" {
			t.Errorf("%v, the signature is good: %d hosts, log %q", trust, len(r.MH), log.String())
		}
		r := newSignedWorld(t, cfg, Upstream{}, breakSignature).resolve("www.example.net")
		if len(r.MH) != 0 || !errors.Is(r.Partial, ErrBogus) || r.NoFallback != (trust == Strict) {
			t.Errorf("%v: %d hosts, falling back is forbidden: %v, missing: %v", trust, len(r.MH), r.NoFallback, r.Partial)
		}
		h := addr("9.0.0.1")
		want(t, trust.String()+": beside the one address", ips(r.Legacy.Permit(h, PeerView{Listed: addrs("9.0.0.1", "9.0.0.11", "9.0.0.12")})), "9.0.0.1")
		if s := log.String(); !strings.Contains(s, `level=WARN msg="an answer is bogus" question="A h1.example.net."`) {
			t.Errorf("%v: the log does not warn of the question: %q", trust, s)
		}
	}
}

// The DNS may be used and trusted as it is, and who does so is told: the
// channel says that nobody has vouched for the records, and modes that want more
// use no second address.
func TestMulti6TrustInTheDNSIsReported(t *testing.T) {
	for trust, second := range map[Trust]string{Opportunistic: "9.0.0.1 9.1.0.1 2a00:a::1", Reverse: "9.0.0.1", Strict: "9.0.0.1", Pinned: "9.0.0.1", Single: "9.0.0.1"} {
		inMemory(t, Config{Trust: trust, DNSSEC: DNSSEC{Unsigned: []Name{"."}}}, host, func(w *bubble) {
			s := w.resolve("h.example.net").MH[0]
			if s.Channel != ChanPlain || s.Channel.String() != "plain" || s.Binding != BindingClaim {
				t.Errorf("%v: channel %v, binding %v", trust, s.Channel, s.Binding)
			}
			want(t, trust.String(), ips(s.Permit(addr("9.0.0.1"), PeerView{Silent: true})), ips(locators(strings.Fields(second)...)))
		})
	}
}

// RFC 4219 section 5.2: a DNS with two faces. Where both hosts see the same
// face they use the addresses that it has, whatever else the peer names. Where
// they see different ones there is one path, and that works.
func TestMulti6TwoFacedDNS(t *testing.T) {
	const capable = "_mhsctp.h.example.net. 60 IN SVCB 1 h.example.net. port=9899 key65280=\"\\001\\001\"\n"
	inside := newServer(t, capable+"h.example.net. 60 IN A 10.0.0.1\nh.example.net. 60 IN A 10.0.0.2\n")
	outside := newServer(t, capable+"h.example.net. 60 IN A 9.0.0.1\nh.example.net. 60 IN A 9.0.0.2\n")
	zone, err := NewZone("example.net", mustPrefixes("10.0.0.0/8"))
	if err != nil {
		t.Fatal(err)
	}
	all := PeerView{Listed: addrs("10.0.0.1", "10.0.0.2", "9.0.0.1", "9.0.0.2")}
	for _, test := range []struct {
		what, from string
		view       *dnstest.Server
		zones      []Zone
		want       string
		verified   bool
	}{
		{"both inside", "10.0.0.1", inside, []Zone{zone}, "10.0.0.1 10.0.0.2", true},
		{"both outside", "9.0.0.1", outside, nil, "9.0.0.1 9.0.0.2", true},
		{"the peer comes from inside, we see the outside", "10.0.0.1", outside, nil, "10.0.0.1", false},
		{"the peer comes from outside, we see the inside", "9.0.0.1", inside, []Zone{zone}, "9.0.0.1", false},
		{"both inside, as the path shows", "10.0.0.1", inside, nil, "10.0.0.1 10.0.0.2", true},
	} {
		t.Run(test.what, func(t *testing.T) {
			w := world{t: t, dns: test.view}
			w.Resolver, err = New(Config{Zones: test.zones, Upstreams: []Upstream{{Addr: netip.MustParseAddrPort(test.view.Addr())}}})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			s, err := w.Verify(t.Context(), addr(test.from), "h.example.net")
			want(t, "permitted", ips(s.Permit(addr(test.from), all)), test.want)
			if verified := err == nil && s.Name == "h.example.net."; verified != test.verified {
				t.Errorf("verified: %v, want %v: %v", verified, test.verified, err)
			}
		})
	}
}

// RFC 4219 section 3.6: a host may have several names. Each is an identity of
// its own with the locators that it has itself: of those of the other name none
// is lent to it.
func TestMulti6SeveralIdentifiers(t *testing.T) {
	inMemory(t, Config{}, `
$TTL 60
work.example.net. IN A 9.0.0.1
work.example.net. IN A 9.0.0.2
home.example.org. IN A 9.0.0.1
home.example.org. IN A 9.0.0.3
`, func(w *bubble) {
		peer := PeerView{Listed: addrs("9.0.0.1", "9.0.0.2", "9.0.0.3")}
		for claim, second := range map[string]string{"work.example.net": "9.0.0.1 9.0.0.2", "home.example.org": "9.0.0.1 9.0.0.3"} {
			s, err := w.Verify(w.t.Context(), addr("9.0.0.1"), claim)
			if err != nil {
				t.Fatal(err)
			}
			want(t, "the host is", s.Name.String(), claim)
			want(t, claim, ips(s.Permit(addr("9.0.0.1"), peer)), second)
		}
		if s, _ := w.Verify(w.t.Context(), addr("9.0.0.1"), ""); s.Name != "" {
			t.Errorf("a host that claims no name is taken for %v", s.Name)
		}
	})
}

// RFC 4219 section 5.6: what names cost the DNS, question by question.
func TestMulti6QuestionsPerName(t *testing.T) {
	inMemory(t, Config{}, host+zone, func(w *bubble) {
		for _, test := range []struct {
			what string
			ask  func()
			want int
		}{
			{"a host without mh", func() { w.resolve("legacy.example.net") }, 3},
			{"the same again", func() { w.resolve("legacy.example.net") }, 0},
			{"a host with mh under its own name", func() { w.resolve("h.example.net") }, 3},
			{"a service at two hosts", func() { w.resolve("www.example.net") }, 3 + 2*2},
			{"a peer that claims a name", func() { _, _ = w.Verify(w.t.Context(), addr("9.0.1.1"), "laptop.example.net") }, 3},
			{"the same peer again", func() { _, _ = w.Verify(w.t.Context(), addr("9.0.1.2"), "laptop.example.net") }, 0},
		} {
			if n := w.asks(test.ask); n != test.want {
				t.Errorf("%s: %d questions, want %d", test.what, n, test.want)
			}
		}
		// While there are associations both families are asked for, before the
		// TTL of 60 seconds is over by a fifth.
		changes, end := w.Watch("h.example.net.", netip.Addr{})
		defer end()
		<-changes
		const minutes, most = 60, 2*60*60/(60*72/100) + 2
		if n := w.asks(func() { time.Sleep(minutes * time.Minute) }); n < 2*minutes || n > most {
			t.Errorf("%d questions in an hour, want %d to %d", n, 2*minutes, most)
		}
	})
}

// RFC 4219 section 5.4: no name has to be known before names can be asked for.
// A server is an address, whatever it is asked over.
func TestMulti6ServersAreAddresses(t *testing.T) {
	for _, s := range []string{"udp://%s", "tcp://%s", "tls://%s#dns.example.net", "https://dns.example.net/dns-query@%s"} {
		if _, err := ParseUpstream(fmt.Sprintf(s, "9.0.0.53")); err != nil {
			t.Error(err)
		}
		if up, err := ParseUpstream(fmt.Sprintf(s, "dns.example.net")); err == nil {
			t.Errorf("%s is looked for by its name", up)
		}
	}
	if up, err := ParseUpstream("https://dns.example.net/dns-query"); err == nil {
		t.Errorf("%s is looked for by its name", up)
	}
}
