package noid

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

const serviceZone = `
$TTL 60
$ORIGIN example.net.
h                IN A    9.0.0.1
_mhsctp.text     IN TXT  "v=spf1 -all"
_mhsctp.text     IN TXT  "v=mh1 udp=9900 " "sctp=5001 f=5 later=x"
text             IN A    9.0.0.2
_mhsctp.bad      IN TXT  "v=mh1 udp=53"
bad              IN A    9.0.0.3
srv              IN A    9.0.0.4
_mhsctp._sctp.srv IN SRV 7 0 5002 h
_mhsctp.ports    IN SVCB 1 . port=9899 key65280="\001\003"
_443._mhsctp.ports IN SVCB 1 h port=9901 key65280="\001\003"
ports            IN A    9.0.0.5
off              IN A    9.0.0.6
_mhsctp.off      IN SVCB 0 .
equal            IN A    9.0.0.7
`

// records returns what a capability of a name says, or why there is none.
func (w *bubble) capability(name string, port uint16) string {
	c := w.service(w.t.Context(), Name(name+".example.net."), port)
	if c.err != nil {
		return c.err.Error()
	}
	var out []string
	for _, x := range c.list {
		out = append(out, fmt.Sprintf("%s %v udp=%d sctp=%d f=%d prio=%d", x.Via, x.Target, x.UDPPort, x.SCTPPort, x.Flags, x.Prio))
	}
	return strings.Join(out, ", ")
}

// Where SVCB cannot be published a text stands for it, and where there is no
// UDP a SRV record; a port may have a record of its own.
func TestServiceRecords(t *testing.T) {
	inMemory(t, Config{PortRecords: true, Native: true}, serviceZone, func(w *bubble) {
		for _, test := range []struct {
			name string
			port uint16
			want string
		}{
			{"text", 80, "TXT text.example.net udp=9900 sctp=5001 f=5 prio=1"},
			{"bad", 80, "TXT _mhsctp.bad.example.net.: the name has no address: no compatible record: UDP port 53 is not allowed"},
			{"srv", 80, "SRV h.example.net udp=0 sctp=5002 f=9 prio=7"},
			{"ports", 443, "SVCB h.example.net udp=9901 sctp=5000 f=3 prio=1"},
			{"ports", 80, "SVCB ports.example.net udp=9899 sctp=5000 f=3 prio=1"},
			{"off", 80, "SVCB _mhsctp.off.example.net.: the name has no address: the name says that it has no such service"},
		} {
			want(t, test.name, w.capability(test.name, test.port), test.want)
		}
	})
	inMemory(t, Config{}, serviceZone, func(w *bubble) {
		if n := w.asks(func() { w.resolve("srv.example.net") }); n != 3 {
			t.Errorf("%d questions for a name that does not speak mh, of who has no use for SRV and ports", n)
		}
		if r := w.resolve("ports.example.net"); len(r.MH) != 1 || r.MH[0].Name != "ports.example.net." {
			t.Errorf("%+v", r)
		}
	})
}

// N03: so many aliases are followed, and no more; a loop ends.
func TestN03Limits(t *testing.T) {
	var z strings.Builder
	z.WriteString("$ORIGIN example.net.\n$TTL 60\n")
	for i := range 20 {
		fmt.Fprintf(&z, "_mhsctp.a%d IN SVCB 0 _mhsctp.a%d\nc%d IN CNAME c%d\n", i, i+1, i, i+1)
	}
	z.WriteString("_mhsctp.a20 IN SVCB 1 h key65280=\"\\001\\003\"\nc20 IN A 9.0.0.1\nround IN CNAME trip\ntrip IN CNAME round\n_mhsctp.round IN SVCB 0 _mhsctp.trip\n_mhsctp.trip IN SVCB 0 _mhsctp.round\n")
	inMemory(t, Config{}, z.String(), func(w *bubble) {
		for i, ok := range map[int]bool{20: true, 16: true, 15: false, 0: false} {
			c := w.capabilities(w.t.Context(), Name(fmt.Sprintf("a%d.example.net.", i)))
			if (c.err == nil) != ok || !ok && !errors.Is(c.err, ErrLimit) {
				t.Errorf("N03 %d aliases: %v", 20-i, c.err)
			}
		}
		for i, ok := range map[int]bool{20: true, 13: true, 12: false, 5: false} {
			a := w.lookup(w.t.Context(), fmt.Sprintf("c%d.example.net.", i), dns.TypeA)
			if (a.err == nil) != ok {
				t.Errorf("N03 %d CNAMEs: %v", 20-i, a.err)
			}
		}
		if c := w.capabilities(w.t.Context(), "round.example.net."); !errors.Is(c.err, ErrLimit) {
			t.Errorf("N03 alias loop: %v", c.err)
		}
		if a := w.lookup(w.t.Context(), "round.example.net.", dns.TypeA); !errors.Is(a.err, ErrNoData) {
			t.Errorf("N03 CNAME loop: %v", a.err)
		}
	})
}

// An owner that becomes an alias has nothing else of what it had before.
func TestAliasReplaces(t *testing.T) {
	inMemory(t, Config{}, "h.example.net. 60 IN A 9.0.0.1\nh.example.net. 3600 IN AAAA 2a00:a::1\n", func(w *bubble) {
		w.resolve("h.example.net")
		w.setZone("h.example.net. 60 IN CNAME g.example.net.\ng.example.net. 60 IN A 9.0.0.2\n")
		time.Sleep(time.Minute)
		w.lookup(w.t.Context(), "h.example.net.", dns.TypeA)
		want(t, "addresses", ips(w.resolve("h.example.net").Legacy.Locators), "9.0.0.2")
	})
}

// N02: of two hosts under one name neither gets an address of the other; equal
// ones take turns.
func TestN02Shuffle(t *testing.T) {
	inMemory(t, Config{}, serviceZone+`
_mhsctp.equal IN SVCB 1 x1 key65280="\001\003"
_mhsctp.equal IN SVCB 1 x2 key65280="\001\003"
x1 IN A 9.0.1.1
x2 IN A 9.0.1.2
`, func(w *bubble) {
		first := make(map[Name]int)
		for range 200 {
			r := w.resolve("equal.example.net")
			if len(r.MH) != 2 {
				t.Fatalf("%d hosts", len(r.MH))
			}
			first[r.MH[0].Name]++
			for _, s := range r.MH {
				want(t, "N02 "+s.Name.String(), ips(s.Locators), map[Name]string{"x1.example.net.": "9.0.1.1", "x2.example.net.": "9.0.1.2"}[s.Name])
			}
		}
		if len(first) != 2 {
			t.Errorf("N02 always the same is first: %v", first)
		}
	})
}

// N21, threat N6: that a name which spoke mh does not say so is loud, once the
// old record is too old to stand for it; that it says no is not.
func TestN21Seen(t *testing.T) {
	var log strings.Builder
	inMemory(t, Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, host, func(w *bubble) {
		w.resolve("h.example.net")
		time.Sleep(48 * time.Hour)
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, "_mhsctp.h.example.net")
		r := w.resolve("h.example.net")
		if len(r.MH) != 0 || !r.Capable || !strings.Contains(log.String(), "h.example.net") || !strings.Contains(log.String(), "level=WARN") {
			t.Errorf("%+v, log %q", r, log.String())
		}
		log.Reset()
		time.Sleep(seenTTL)
		if r = w.resolve("h.example.net"); r.Capable || log.Len() > 0 {
			t.Errorf("remembered too long: %+v, log %q", r, log.String())
		}
		w.fault(dnstest.Fault{}, "_mhsctp.h.example.net")
		time.Sleep(maxFailureTTL)
		w.resolve("h.example.net")
		w.setZone("h.example.net. 60 IN A 9.0.0.1\n")
		time.Sleep(time.Hour)
		if r = w.resolve("h.example.net"); r.Capable || log.Len() > 0 {
			t.Errorf("the name says no: %+v, log %q", r, log.String())
		}
	})
}

// The memories of names are bounded.
func TestMemoriesAreBounded(t *testing.T) {
	inMemory(t, Config{}, "", func(w *bubble) {
		for i := range 2 * maxSeen {
			n := Name(fmt.Sprintf("h%d.example.net.", i))
			w.seen.add(n, time.Now())
			w.Reached(n, netip.MustParseAddr("9.0.0.1"), 0)
			w.cache.mu.Lock()
			w.cache.store(key{question: question{string(n), dns.TypeA}}, answer{expire: time.Now().Add(time.Hour)}, time.Now())
			w.cache.mu.Unlock()
		}
		for i := range 100 {
			w.Reached("one.example.net.", netip.AddrFrom4([4]byte{9, 0, 0, byte(i)}), 0)
		}
		if a, b, c, d := len(w.seen.names), len(w.reached.hosts), len(w.cache.entries), len(w.reached.of("one.example.net.")); a > maxSeen || b > maxReached || c > maxCache || d > 2*maxLocators {
			t.Errorf("seen %d, reached %d of %d addresses, cache %d", a, b, d, c)
		}
		if !w.seen.has(Name(fmt.Sprintf("h%d.example.net.", 2*maxSeen-1)), time.Now()) {
			t.Error("the latest is forgotten")
		}
	})
}

// N28: names that people type are completed, those that anybody else says are
// not; the name that answers is the one the answer is about.
func TestN28Search(t *testing.T) {
	const z = "www.corp.example. 60 IN A 9.0.0.1\nwww. 60 IN A 9.6.6.6\na.b.corp.example. 60 IN A 9.0.0.2\na.b. 60 IN A 9.0.0.3\n"
	cfg := Config{Search: []string{"eng.corp.example", "corp.example."}}
	inMemory(t, cfg, z, func(w *bubble) {
		for name, addr := range map[string]string{"www": "9.0.0.1", "www.": "9.6.6.6", "a.b": "9.0.0.3", "9.9.9.9": "9.9.9.9"} {
			r, err := w.ResolveRelative(w.t.Context(), name, 80)
			if err != nil {
				t.Errorf("N28 %s: %v", name, err)
				continue
			}
			want(t, "N28 "+name, ips(r.Legacy.Locators), addr)
		}
		if r, err := w.ResolveRelative(w.t.Context(), "www", 80); err != nil || r.Legacy.Name != "www.corp.example." {
			t.Errorf("N28 identity: %+v, %v", r, err)
		}
		want(t, "N28 of others", ips(w.resolve("www").Legacy.Locators), "9.6.6.6")
		if _, err := w.ResolveRelative(w.t.Context(), "nowhere", 80); !errors.Is(err, ErrNXDomain) {
			t.Errorf("N28 nowhere: %v", err)
		}
		if _, err := w.ResolveRelative(w.t.Context(), "localhost", 80); !errors.Is(err, ErrSpecialUse) {
			t.Errorf("N28 localhost: %v", err)
		}
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, "www.eng.corp.example")
		time.Sleep(time.Minute)
		if r, err := w.ResolveRelative(w.t.Context(), "www", 80); err == nil {
			t.Errorf("N28 a name whose question was suppressed is another's: %+v", r)
		}
	})
	cfg.Dots = 2
	inMemory(t, cfg, z, func(w *bubble) {
		r, err := w.ResolveRelative(w.t.Context(), "a.b", 80)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "N28 with two dots", ips(r.Legacy.Locators), "9.0.0.2")
	})
	if _, err := New(Config{Upstreams: []Upstream{{}}, Search: make([]string, maxSearch+1)}); err == nil {
		t.Error("N28 a search list without end")
	}
}
