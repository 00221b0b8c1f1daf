package explain

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/noid"
)

const situations = `
$TTL 60
$ORIGIN example.net.
two            IN A    9.0.0.21
two            IN A    9.0.0.22
_mhsctp.two    IN SVCB 1 two port=9899 key65280="\001\001"
half           IN A    9.0.0.31
half           IN A    10.0.0.31
_mhsctp.half   IN SVCB 1 half port=9899 key65280="\001\001"
www            IN CNAME two
_mhsctp.www    IN SVCB 0 _mhsctp.two
nick           IN CNAME two
lost           IN A    9.0.0.41
lost           IN A    9.0.0.42
_mhsctp.lost   IN SVCB 0 _mhsctp.nowhere
elsewhere      IN A    9.0.0.51
_mhsctp.elsewhere IN SVCB 1 nowhere port=9899 key65280="\001\001"
22.0.0.9.in-addr.arpa. IN PTR other.example.net.
21.0.0.9.in-addr.arpa. IN PTR other.example.net.
other          IN A    9.0.0.99
31.0.0.9.in-addr.arpa. IN PTR half.example.net.
`

// A situation is what keeps a second path from being used, as an operator
// meets it.
type situation struct {
	file, name string
	trust      noid.Trust
	hosts      string
	ok         bool
	before     func(*testing.T, *noid.Resolver, *dnstest.Server) // what happens before the question
}

// What an operator reads when a second path is not used: the reason and what
// to do are in the last line.
func TestSituations(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, test := range []situation{
		{file: "sit-address-filtered", name: "half.example.net"},
		{file: "sit-reverse-elsewhere", name: "two.example.net", trust: noid.Reverse},
		{file: "sit-strict-unsigned", name: "two.example.net", trust: noid.Strict},
		{file: "sit-stale", name: "two.example.net", before: func(t *testing.T, r *noid.Resolver, d *dnstest.Server) {
			if _, err := r.Explain(t.Context(), "two.example.net", 0); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Hour)
			fail(d, "two.example.net", "_mhsctp.two.example.net", "21.0.0.9.in-addr.arpa", "22.0.0.9.in-addr.arpa")
		}},
		{file: "sit-alias", name: "www.example.net", ok: true},
		{file: "sit-cname-only", name: "nick.example.net"},
		{file: "sit-alias-nowhere", name: "lost.example.net"},
		{file: "sit-target-nowhere", name: "elsewhere.example.net"},
		{file: "sit-servfail-capability", name: "two.example.net", before: func(_ *testing.T, _ *noid.Resolver, d *dnstest.Server) {
			fail(d, "_mhsctp.two.example.net")
		}},
		{file: "sit-servfail-addresses", name: "two.example.net", before: func(_ *testing.T, _ *noid.Resolver, d *dnstest.Server) {
			fail(d, "two.example.net")
		}},
		{file: "sit-servfail-all", name: "two.example.net", before: func(_ *testing.T, _ *noid.Resolver, d *dnstest.Server) {
			fail(d, "two.example.net", "_mhsctp.two.example.net")
		}},
		{file: "sit-hosts-without-mh", name: "two.example.net", hosts: "two.example.net 9.0.0.21 9.0.0.22\n"},
		{file: "sit-hosts-one-address", name: "two.example.net", hosts: "two.example.net udp=9899 9.0.0.21\n"},
		{file: "sit-pinned", name: "two.example.net", trust: noid.Pinned},
	} {
		t.Run(test.file, func(t *testing.T) {
			r, d := resolverOf(t, situations, test.trust, test.hosts, func(c *noid.Config) { c.Now = func() time.Time { return now } })
			if test.before != nil {
				test.before(t, r, d)
			}
			e, err := r.Explain(t.Context(), test.name, 0)
			if err != nil {
				t.Fatal(err)
			}
			both(t, test.file, OfName(e, nil), test.ok, d)
		})
	}
}

// fail has a server say of names that it cannot tell.
func fail(d *dnstest.Server, names ...string) {
	for _, n := range names {
		d.SetFault(n, dnstest.Fault{Rcode: dns.RcodeServerFailure})
	}
}

// Two servers tell different addresses, and what both say is one.
func TestSplitView(t *testing.T) {
	other, err := dnstest.New("127.0.0.1:0", `
$ORIGIN example.net.
two          60 IN A    9.0.0.22
two          60 IN A    9.0.0.29
_mhsctp.two  60 IN SVCB 1 two port=9899 key65280="\001\001"
`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	r, d := resolverOf(t, situations, noid.Opportunistic, "", func(c *noid.Config) {
		c.Upstreams = append(c.Upstreams, noid.Upstream{Addr: netip.MustParseAddrPort(other.Addr())})
		c.Consistency = noid.ConsistencyAll
	})
	e, err := r.Explain(t.Context(), "two.example.net", 0)
	if err != nil {
		t.Fatal(err)
	}
	report := OfName(e, nil)
	for i := range report.Questions {
		q := &report.Questions[i]
		q.Server = "127.0.0.1:55555" // whichever of them was last
		q.Error = strings.ReplaceAll(q.Error, other.Addr(), d.Addr())
	}
	report.AllServers()
	both(t, "sit-split-view", report, false, d)

	fine := Name{OK: true, Verdict: "fine"}
	if fine.AllServers(); fine.Verdict != "fine" {
		t.Errorf("where nothing is missing it says %q", fine.Verdict)
	}
}

// The other way round.
func TestAddressSituations(t *testing.T) {
	for _, test := range []struct {
		file, addr, claim string
		trust             noid.Trust
		hosts             string
		ok                bool
		fails             []string
	}{
		{file: "sit-addr-reverse-elsewhere", addr: "9.0.0.22"},
		{file: "sit-addr-filtered", addr: "10.0.0.31", claim: "half.example.net", ok: true},
		{file: "sit-addr-one", addr: "9.0.0.31", ok: true},
		{file: "sit-addr-strict", addr: "9.0.0.21", claim: "two.example.net", trust: noid.Strict, ok: true},
		{file: "sit-addr-servfail", addr: "9.0.0.31", fails: []string{"31.0.0.9.in-addr.arpa"}},
		{file: "sit-addr-static", addr: "9.0.0.61", hosts: "s.example.net udp=9899 9.0.0.61 9.0.0.62\n", ok: true},
	} {
		t.Run(test.file, func(t *testing.T) {
			r, d := resolverOf(t, situations, test.trust, test.hosts, nil)
			fail(d, test.fails...)
			report := OfAddr(r.ExplainAddr(t.Context(), netip.MustParseAddr(test.addr), test.claim))
			if report.OK != test.ok {
				t.Errorf("ok is %v, want %v", report.OK, test.ok)
			}
			var text, object bytes.Buffer
			if err := report.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if err := WriteJSON(&object, report); err != nil {
				t.Fatal(err)
			}
			golden(t, test.file+".txt", d, text.Bytes())
			golden(t, test.file+".json", d, object.Bytes())
		})
	}
}

// both compares the two forms of a report with what they were.
func both(t *testing.T, file string, r *Name, ok bool, d *dnstest.Server) {
	t.Helper()
	if r.OK != ok {
		t.Errorf("ok is %v, want %v", r.OK, ok)
	}
	var text, object bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&object, r); err != nil {
		t.Fatal(err)
	}
	golden(t, file+".txt", d, text.Bytes())
	golden(t, file+".json", d, object.Bytes())
}
