package noid

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/dnstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
$TTL 60
$ORIGIN example.net.
www              IN A    9.0.0.1
www              IN AAAA 2a00:a::1
_mhsctp.www      IN SVCB 1 h1 port=9899 key65280="\001\003" mandatory=key65280
_mhsctp.www      IN SVCB 2 h2 port=9900 key65280="\001\003" mandatory=key65280
h1               IN A    9.0.0.11
h1               IN AAAA 2a00:a::11
h1               IN AAAA 2a00:b::11
h2               IN A    9.0.0.12
old              IN A    9.0.0.20
_mhsctp.old      IN SVCB 0 _mhsctp.www
loop             IN A    9.0.0.21
_mhsctp.loop     IN SVCB 0 _mhsctp.loop
bad              IN A    9.0.0.22
_mhsctp.bad      IN SVCB 1 h1 port=53 key65280="\001\003"
_mhsctp.bad      IN SVCB 1 h1 port=9899 key65280="\007\003"
_mhsctp.bad      IN SVCB 1 h1 port=9899 key65280="\001\003" key7777="x" mandatory=key65280,key7777
legacy           IN A    9.0.0.30
legacy           IN AAAA 2a00:a::30
alias            IN CNAME legacy
inside           IN A    10.0.0.1
inside           IN A    9.0.0.40
tricky           IN AAAA ::ffff:127.0.0.1
tricky           IN AAAA 2002:0a00:0001::1
tricky           IN A    127.0.0.1
tricky           IN A    224.0.0.1
tricky           IN A    0.0.0.0
laptop           IN A    9.0.1.1
laptop           IN A    9.0.1.2
tls              IN A    9.0.0.50
_mhsctp.tls      IN SVCB 1 tls port=9899 key65280="\001\020"
1.1.0.9.in-addr.arpa. IN PTR evil.example.org.
1.1.0.9.in-addr.arpa. IN PTR laptop.example.net.
30.0.0.9.in-addr.arpa. IN PTR www.example.net.
`

// world is a resolver and its server.
type world struct {
	*Resolver
	t   *testing.T
	dns *dnstest.Server
	now time.Time
	mu  sync.Mutex
}

// memoryWorld asks the server without sockets. It belongs into a bubble: which
// answers a lookup still waits for is a matter of time.
func memoryWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := worldAt(t, cfg, "")
	w.servers = []server{memory(w.dns)}
	return w
}

// newWorld asks it over loopback.
func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	return worldAt(t, cfg, "127.0.0.1:0")
}

func worldAt(t *testing.T, cfg Config, at string) *world {
	t.Helper()
	d, err := dnstest.New(at, zone)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dns: d, now: time.Unix(1e9, 0)}
	u := netip.MustParseAddrPort("127.0.0.1:1")
	if at != "" {
		u = netip.MustParseAddrPort(d.Addr())
	}
	cfg.Upstreams = append(cfg.Upstreams, Upstream{Addr: u})
	if cfg.DNSSEC.Anchors == nil {
		cfg.DNSSEC.Unsigned = []Name{"."} // none of this is signed, and no zone above says so
	}
	cfg.Now = func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	if w.Resolver, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Resolver.Close(); d.Close() })
	return w
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) resolve(name string) *Result {
	w.t.Helper()
	r, err := w.Resolve(w.t.Context(), name, 80)
	if err != nil {
		w.t.Fatalf("Resolve(%s): %v", name, err)
	}
	return r
}

func ips(l []Locator) string {
	var s []string
	for _, x := range l {
		s = append(s, x.Addr.String())
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// N01: capability and addresses are asked for at once.
func TestN01ParallelQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t, Config{})
		r := w.resolve("WWW.example.net")
		want(t, "legacy", ips(r.Legacy.Locators), "2a00:a::1 9.0.0.1")
		for _, q := range []uint16{dns.TypeA, dns.TypeAAAA} {
			if n := w.dns.Asked("www.example.net", q); n != 1 {
				t.Errorf("%s asked %d times", dns.TypeToString[q], n)
			}
		}
		// A capability that comes much later than the addresses is not waited for.
		w.dns.SetFault("_mhsctp.legacy.example.net", dnstest.Fault{Silent: true})
		start := time.Now()
		r = w.resolve("legacy.example.net")
		if took := time.Since(start); took > time.Second || len(r.MH) != 0 || !errors.Is(r.Partial, ErrTimeout) {
			t.Errorf("took %v: %+v", took, r)
		}
	})
}

// N02: each target is a host of its own.
func TestN02TargetsAreNeverMerged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := memoryWorld(t, Config{}).resolve("www.example.net")
		if len(r.MH) != 2 {
			t.Fatalf("%d hosts", len(r.MH))
		}
		want(t, "first", ips(r.MH[0].Locators), "2a00:a::11 2a00:b::11 9.0.0.11")
		want(t, "second", ips(r.MH[1].Locators), "9.0.0.12")
		if c := r.MH[1].Cap; c.UDPPort != 9900 || c.Target != "h2.example.net." || c.Flags != 3 {
			t.Errorf("%+v", c)
		}
	})
}

// N03: aliases are followed so far.
func TestN03Aliases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t, Config{})
		if r := w.resolve("old.example.net"); len(r.MH) != 2 {
			t.Errorf("alias: %+v, %v", r.MH, r.Partial)
		}
		if r := w.resolve("loop.example.net"); len(r.MH) != 0 || !errors.Is(r.Partial, ErrLimit) {
			t.Errorf("loop: %v", r.Partial)
		}
		want(t, "CNAME", ips(w.resolve("alias.example.net").Legacy.Locators), "2a00:a::30 9.0.0.30")
		r := w.resolve("bad.example.net")
		if len(r.MH) != 0 {
			t.Errorf("incompatible records are used: %+v", r.MH[0].Cap)
		}
		for _, reason := range []string{"port 53", "version 7", "key 7777"} {
			if !strings.Contains(r.Partial.Error(), reason) {
				t.Errorf("%q is not said: %v", reason, r.Partial)
			}
		}
	})
}

// N08, N10, N11: answers live as long as their TTL, within bounds.
func TestN08TTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t, Config{})
		w.resolve("legacy.example.net")
		total := w.dns.Total()
		w.advance(59 * time.Second)
		w.resolve("legacy.example.net")
		// Negative answers without SOA hold for the floor only.
		if n := w.dns.Total() - total; n > 1 {
			t.Errorf("%d questions within the TTL", n)
		}
		if err := w.dns.SetZone("legacy.example.net. 60 IN A 9.0.0.31\n"); err != nil {
			t.Fatal(err)
		}
		w.advance(2 * time.Second)
		want(t, "after the TTL", ips(w.resolve("legacy.example.net").Legacy.Locators), "9.0.0.31")
	})
}

// N14: the static file works without the DNS.
func TestN14Static(t *testing.T) {
	s := newStatic()
	err := s.parse(strings.NewReader("gw.example.net udp=9900 ver=1 flags=5 10.0.0.1 10.1.0.1,20 # comment\nplain.example.net 10.0.0.9\n"), "hosts")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Upstreams: []Upstream{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.files.use(s)
	res, err := r.Resolve(t.Context(), "gw.example.net", 80)
	if err != nil || len(res.MH) != 1 || res.MH[0].Binding != BindingStatic || res.MH[0].Cap.UDPPort != 9900 {
		t.Fatalf("%+v, %v", res, err)
	}
	want(t, "static", ips(res.MH[0].Locators), "10.0.0.1 10.1.0.1")
	if res, err = r.Resolve(t.Context(), "plain.example.net", 80); err != nil || len(res.MH) != 0 || res.Legacy == nil {
		t.Errorf("%+v, %v", res, err)
	}
	set, err := r.Verify(t.Context(), netip.MustParseAddr("10.1.0.1"), "gw.example.net")
	if err != nil || set.Binding != BindingStatic {
		t.Errorf("%+v, %v", set, err)
	}
	for _, bad := range []string{"gw.example.net udp=x 10.0.0.1", "gw.example.net", "zone private", "deny 10.0.0.0/99", "gw.example.net nonsense", "g_w!.example 10.0.0.1"} {
		if err := newStatic().parse(strings.NewReader("\n"+bad), "hosts"); err == nil || !strings.HasPrefix(err.Error(), "hosts:2:") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// N17: an address is its own answer.
func TestN17Literal(t *testing.T) {
	w := newWorld(t, Config{})
	r := w.resolve("192.0.2.7")
	if len(r.MH) != 0 || ips(r.Legacy.Locators) != "192.0.2.7" || w.dns.Total() != 0 {
		t.Errorf("%+v after %d questions", r, w.dns.Total())
	}
}

// N21: failures say which question failed where.
func TestN21Failures(t *testing.T) {
	w := newWorld(t, Config{})
	w.dns.SetFault("_mhsctp.www.example.net", dnstest.Fault{Rcode: dns.RcodeServerFailure})
	r := w.resolve("www.example.net")
	if len(r.MH) != 0 || r.Legacy == nil || !errors.Is(r.Partial, ErrServer) {
		t.Errorf("%+v", r)
	}
	if s := r.Partial.Error(); !strings.Contains(s, "SVCB _mhsctp.www.example.net.: server failure: SERVFAIL from "+w.dns.Addr()) {
		t.Errorf("error %q", s)
	}
	_, err := w.Resolve(t.Context(), "nowhere.example.net", 80)
	if !errors.Is(err, ErrNXDomain) || !strings.Contains(err.Error(), "nowhere.example.net") {
		t.Errorf("NXDOMAIN: %v", err)
	}
	if r := w.resolve("tls.example.net"); len(r.MH) != 0 || !errors.Is(r.Partial, ErrPolicy) {
		t.Errorf("a host that demands sealing: %+v", r)
	}
}

// N22: addresses that no locator may have.
func TestN22Filters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t, Config{})
		want(t, "private beside public", ips(w.resolve("inside.example.net").Legacy.Locators), "9.0.0.40")
		_, err := w.Resolve(t.Context(), "tricky.example.net", 80)
		if !errors.Is(err, ErrPolicy) {
			t.Errorf("tricky: %v", err)
		}
		z, err := NewZone("example.net", mustPrefixes("10.0.0.0/8"))
		if err != nil {
			t.Fatal(err)
		}
		w = memoryWorld(t, Config{Zones: []Zone{z}})
		want(t, "in a private zone", ips(w.resolve("inside.example.net").Legacy.Locators), "10.0.0.1 9.0.0.40")
	})
}

// N23: very long answers come over TCP and are capped.
func TestN23ManyAddresses(t *testing.T) {
	w := newWorld(t, Config{})
	var z strings.Builder
	for i := range 200 {
		z.WriteString("many.example.net. 60 IN AAAA 2a00:a::" + string("0123456789abcdef"[i%16]) + string("0123456789abcdef"[i/16]) + "\n")
	}
	if err := w.dns.SetZone(z.String()); err != nil {
		t.Fatal(err)
	}
	r := w.resolve("many.example.net")
	if len(r.Legacy.Locators) != maxLocators || len(r.Legacy.Dropped) == 0 {
		t.Errorf("%d locators, %d dropped", len(r.Legacy.Locators), len(r.Legacy.Dropped))
	}
}

// N27: everybody who asks at one time shares one lookup.
func TestN27SharedByAll(t *testing.T) {
	inMemory(t, Config{}, zone, func(w *bubble) {
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() { _, _ = w.Resolve(w.t.Context(), "www.example.net", 80) })
		}
		wg.Wait()
		if n := w.dns.Asked("www.example.net", dns.TypeA) + w.dns.Asked("_mhsctp.www.example.net", dns.TypeSVCB); n != 2 {
			t.Errorf("200 dials asked %d questions for the name", n)
		}
	})
}

// N28 and section 5: what is a name.
func TestN28Names(t *testing.T) {
	for in, out := range map[string]string{"Example.NET": "example.net.", "example.net.": "example.net.", "bücher.example": "xn--bcher-kva.example.", "h-1.home.arpa": "h-1.home.arpa."} {
		if n, err := ParseName(in); string(n) != out || err != nil {
			t.Errorf("%s: %q, %v", in, n, err)
		}
	}
	for _, in := range []string{"", ".", "a..b", "-a.b", "127.0.0.1", "::1", strings.Repeat("a", 64) + ".b", strings.Repeat("a.", 130) + "b", "a b", "a/b"} {
		if _, err := ParseName(in); !errors.Is(err, ErrNoName) {
			t.Errorf("%q: %v", in, err)
		}
	}
	for _, in := range []string{"localhost", "x.localhost", "printer.local", "x.onion", "1.0.0.127.in-addr.arpa"} {
		if _, err := ParseName(in); !errors.Is(err, ErrSpecialUse) {
			t.Errorf("%q: %v", in, err)
		}
	}
}
