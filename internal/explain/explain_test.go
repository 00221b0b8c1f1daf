package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/noid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$TTL 60
$ORIGIN example.net.
gw             IN A    9.0.0.11
gw             IN AAAA 2a00:b::11
gw             IN A    10.0.0.11
_mhsctp.gw     IN SVCB 1 gw port=9899 key65280="\001\001" mandatory=key65280
_mhsctp.gw     IN SVCB 1 gw port=53 key65280="\001\001"
_mhsctp.gw     IN SVCB 2 tls port=9899 key65280="\001\020"
one            IN A    9.0.0.12
_mhsctp.one    IN SVCB 1 one port=9899 key65280="\001\001"
www            IN A    9.0.0.20
inside         IN A    10.0.0.5
inside         IN A    10.0.0.6
_mhsctp.inside IN TXT  "v=mh1 udp=9900 f=1"
other          IN A    9.0.0.12
11.0.0.9.in-addr.arpa. IN PTR gw.example.net.
12.0.0.9.in-addr.arpa. IN PTR other.example.net.
13.0.0.9.in-addr.arpa. IN PTR www.example.net.
`

// resolver is one that asks a server with the zone, at a time that stands
// still.
func resolver(t *testing.T, mode noid.Trust, hosts string) (*noid.Resolver, *dnstest.Server) {
	t.Helper()
	return resolverOf(t, zone, mode, hosts, nil)
}

// resolverOf is one that asks a server with records, and with a configuration
// that is otherwise what configure, which may be nil, makes of it.
func resolverOf(t *testing.T, records string, mode noid.Trust, hosts string, configure func(*noid.Config)) (*noid.Resolver, *dnstest.Server) {
	t.Helper()
	d, err := dnstest.New("127.0.0.1:0", records)
	if err != nil {
		t.Fatal(err)
	}
	off := false
	c := noid.Config{
		Upstreams: []noid.Upstream{{Addr: netip.MustParseAddrPort(d.Addr())}}, Trust: mode,
		DNSSEC: noid.DNSSEC{Validate: &off},
		Now:    func() time.Time { return time.Unix(1e9, 0) },
	}
	if hosts != "" {
		c.HostsFile = filepath.Join(t.TempDir(), "hosts")
		if err := os.WriteFile(c.HostsFile, []byte(hosts), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if configure != nil {
		configure(&c)
	}
	r, err := noid.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); d.Close() })
	return r, d
}

// golden compares what was written with a file. The server's port differs from
// run to run; it is an ephemeral one, of five digits.
func golden(t *testing.T, file string, d *dnstest.Server, got []byte) {
	t.Helper()
	got = bytes.ReplaceAll(got, []byte(d.Addr()), []byte("127.0.0.1:55555"))
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", file, got, want)
	}
}

// What is said of names, under trust modes.
func TestNames(t *testing.T) {
	for _, test := range []struct {
		file, name string
		mode       noid.Trust
		hosts      string
		ok         bool
	}{
		{"two-addresses", "gw.example.net", noid.Opportunistic, "", true},
		{"reverse", "gw.example.net", noid.Reverse, "", true},
		{"strict", "gw.example.net", noid.Strict, "", false},
		{"single", "gw.example.net", noid.Single, "", false},
		{"one-address", "one.example.net", noid.Opportunistic, "", false},
		{"no-capability", "www.example.net", noid.Opportunistic, "", false},
		{"private", "inside.example.net", noid.Opportunistic, "", false},
		{"no-name", "nobody.example.net", noid.Opportunistic, "", false},
		{"static", "site.example.net", noid.Pinned, "site.example.net udp=9899 9.0.0.1 9.0.0.2\n", true},
	} {
		t.Run(test.file, func(t *testing.T) {
			r, d := resolver(t, test.mode, test.hosts)
			e, err := r.Explain(t.Context(), test.name, 0)
			if err != nil {
				t.Fatal(err)
			}
			report := OfName(e, nil)
			if report.OK != test.ok {
				t.Errorf("ok is %v, want %v", report.OK, test.ok)
			}
			var b bytes.Buffer
			if err := report.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, test.file+".txt", d, b.Bytes())
			if test.file == "two-addresses" {
				b.Reset()
				if err := WriteJSON(&b, report); err != nil {
					t.Fatal(err)
				}
				golden(t, test.file+".json", d, b.Bytes())
			}
		})
	}
}

// What cannot be had is said too, and which server did not give it.
func TestFailures(t *testing.T) {
	r, d := resolver(t, noid.Opportunistic, "")
	d.SetFault("_mhsctp.gw.example.net", dnstest.Fault{Rcode: 2})
	e, err := r.Explain(t.Context(), "gw.example.net", 0)
	if err != nil {
		t.Fatal(err)
	}
	report := OfName(e, nil)
	if want := "the capability record of gw.example.net was not to be had"; report.OK || !strings.Contains(report.Verdict, want) {
		t.Errorf("%s\nwant %s", report.Verdict, want)
	}
	if q := report.Questions[0]; q.Server != d.Addr() || !strings.Contains(q.Error, "SERVFAIL") {
		t.Errorf("%+v", q)
	}
	if _, err := r.Explain(t.Context(), "a b", 0); err == nil {
		t.Error("a name with a space is explained")
	}
}

// The mode "strict" is judged by what a resolver of that mode sees.
func TestStrictBeside(t *testing.T) {
	r, _ := resolver(t, noid.Opportunistic, "")
	static, _ := resolver(t, noid.Strict, "gw.example.net udp=9899 9.0.0.11 9.0.0.99\n")
	e, err := r.Explain(t.Context(), "gw.example.net", 0)
	if err != nil {
		t.Fatal(err)
	}
	strict, err := static.Explain(t.Context(), "gw.example.net", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range OfName(e, strict).Hosts[0].Modes {
		want := map[string][]string{
			"opportunistic": {"2a00:b::11", "9.0.0.11"}, "reverse": {"2a00:b::11"}, "strict": {"9.0.0.11", "9.0.0.99"},
		}[m.Trust]
		if strings.Join(sorted(m.Second), " ") != strings.Join(sorted(want), " ") {
			t.Errorf("%s: %v (%s), want %v", m.Trust, m.Second, m.Why, want)
		}
	}
}

// What is said of addresses, without a claim and with one.
func TestAddresses(t *testing.T) {
	for _, test := range []struct {
		file, addr, claim string
		ok                bool
	}{
		{"addr-host", "9.0.0.11", "", true},
		{"addr-no-capability", "9.0.0.12", "", true},
		{"addr-claim", "9.0.0.12", "one.example.net", true},
		{"addr-not-contained", "9.0.0.13", "", false},
		{"addr-false-claim", "9.0.0.13", "gw.example.net", false},
		{"addr-nobody", "9.0.0.14", "", false},
	} {
		t.Run(test.file, func(t *testing.T) {
			r, d := resolver(t, noid.Opportunistic, "")
			report := OfAddr(r.ExplainAddr(t.Context(), netip.MustParseAddr(test.addr), test.claim))
			if report.OK != test.ok {
				t.Errorf("ok is %v, want %v", report.OK, test.ok)
			}
			var b bytes.Buffer
			if err := report.WriteText(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, test.file+".txt", d, b.Bytes())
		})
	}
}

// Programs read what is written.
func TestJSON(t *testing.T) {
	r, _ := resolver(t, noid.Opportunistic, "")
	report := OfAddr(r.ExplainAddr(t.Context(), netip.MustParseAddr("9.0.0.11"), ""))
	var b bytes.Buffer
	if err := WriteJSON(&b, report); err != nil {
		t.Fatal(err)
	}
	var again Addr
	if err := json.Unmarshal(b.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(report, &again) {
		t.Errorf("read back:\n%+v\nwant\n%+v", again, *report)
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
