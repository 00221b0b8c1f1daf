package noid

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

const streamZone = `
$TTL 60
$ORIGIN example.net.
www          IN A    9.0.0.1
www          IN AAAA 2a00:a::1
_mhsctp.www  IN SVCB 1 h1 port=9899 ipv4hint=9.0.0.77 key65280="\001\003" mandatory=key65280
_mhsctp.www  IN SVCB 2 h2 port=9900 key65280="\001\003" mandatory=key65280
h1           IN A    9.0.0.11
h1           IN AAAA 2a00:a::11
h2           IN A    9.0.0.12
one          IN A    9.0.0.20
one          IN A    9.1.0.20
_mhsctp.one  IN SVCB 1 . port=9899 key65280="\001\003" mandatory=key65280
`

// told is a stream as text: what came, and when. What is replaced at the same
// instant is left out: which of two answers is read first is up to chance.
func (w *bubble) told(name string) (out []string) {
	begun := time.Now()
	for c := range w.Stream(w.t.Context(), name, 80) {
		text := fmt.Sprint(time.Since(begun).Milliseconds(), "ms ")
		switch {
		case c.Err != nil:
			text += "error"
		case c.Early:
			text += "hints of " + c.Set.Name.String() + ": " + ips(c.Set.Locators)
		case c.Set.Cap == nil:
			text += "plain: " + ips(c.Set.Locators)
		default:
			text += c.Set.Name.String() + ": " + ips(c.Set.Locators)
		}
		at, what, _ := strings.Cut(text, ": ")
		out = slices.DeleteFunc(out, func(o string) bool { return what != "" && strings.HasPrefix(o, at+": ") })
		out = append(out, text)
	}
	return out
}

func (w *bubble) wantTold(what string, want ...string) {
	w.t.Helper()
	if got := strings.Join(w.told("www.example.net"), "\n"); got != strings.Join(want, "\n") {
		w.t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
	}
}

// N01, N25: all questions are asked at once; what can be tried comes at once,
// plain TCP no later than 50 ms after the first address, and a late record is
// still told. Hints come first and are replaced.
func TestN25Schedule(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		what   string
		delays map[string]time.Duration
		want   []string
	}{
		{"N25 the record first", map[string]time.Duration{"_mhsctp.www": 10 * ms, "www": 30 * ms, "h1": 20 * ms, "h2": 70 * ms},
			[]string{"10ms hints of h1.example.net: 9.0.0.77", "30ms h1.example.net: 2a00:a::11 9.0.0.11", "30ms plain: 2a00:a::1 9.0.0.1", "80ms h2.example.net: 9.0.0.12"}},
		{"N25 the addresses first", map[string]time.Duration{"_mhsctp.www": 40 * ms, "www": 10 * ms, "h1": 5 * ms, "h2": 25 * ms},
			[]string{"40ms plain: 2a00:a::1 9.0.0.1", "40ms hints of h1.example.net: 9.0.0.77", "45ms h1.example.net: 2a00:a::11 9.0.0.11", "65ms h2.example.net: 9.0.0.12"}},
		{"N01 a late record", map[string]time.Duration{"_mhsctp.www": 500 * ms, "www": 10 * ms, "h1": 5 * ms, "h2": 25 * ms},
			[]string{"60ms plain: 2a00:a::1 9.0.0.1", "500ms hints of h1.example.net: 9.0.0.77", "505ms h1.example.net: 2a00:a::11 9.0.0.11", "525ms h2.example.net: 9.0.0.12"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			inMemory(t, Config{}, streamZone, func(w *bubble) {
				for n, d := range test.delays {
					w.fault(dnstest.Fault{Delay: d}, n+".example.net")
				}
				got := w.told("www.example.net")
				for _, line := range test.want {
					if !strings.Contains(strings.Join(got, "\n"), line) {
						t.Errorf("not told: %s", line)
					}
				}
				if len(got) != len(test.want) {
					t.Errorf("told:\n%s", strings.Join(got, "\n"))
				}
			})
		})
	}
}

// N01: one family that lags holds the other no longer than 50 ms, and comes
// later with it.
func TestN01LateFamily(t *testing.T) {
	inMemory(t, Config{}, streamZone, func(w *bubble) {
		ask := w.servers[0]
		w.servers[0] = slow(ask, question{"www.example.net.", dns.TypeAAAA}, time.Second)
		w.fault(dnstest.Fault{Rcode: dns.RcodeNameError}, "_mhsctp.www.example.net")
		w.wantTold("AAAA lags", "0ms error", "50ms plain: 9.0.0.1", "1000ms plain: 2a00:a::1 9.0.0.1")
	})
}

// N01: Resolve does not wait for what is late, but Late does; and what a host's
// addresses lack it does not wait for for ever either.
func TestN01Resolve(t *testing.T) {
	inMemory(t, Config{}, streamZone, func(w *bubble) {
		w.fault(dnstest.Fault{Delay: time.Second}, "_mhsctp.www.example.net")
		var r *Result
		if d := took(func() { r = w.resolve("www.example.net") }); d != resolutionDelay || len(r.MH) != 0 || r.Legacy == nil || !errors.Is(r.Partial, ErrTimeout) {
			t.Errorf("after %v: %+v", d, r)
		}
		if sets, err := r.Late(w.t.Context()); len(sets) != 2 || err != nil {
			t.Errorf("late: %d hosts, %v", len(sets), err)
		}
	})
	inMemory(t, Config{}, streamZone, func(w *bubble) {
		w.servers[0] = slow(w.servers[0], question{"one.example.net.", dns.TypeAAAA}, 5*time.Second)
		w.fault(dnstest.Fault{Rcode: dns.RcodeNameError}, "_mhsctp.one.example.net")
		if d := took(func() { w.resolve("one.example.net") }); d != resolutionDelay {
			t.Errorf("plain TCP waits %v for a family", d)
		}
		w.fault(dnstest.Fault{Silent: true}, "h1.example.net")
		var r *Result
		if d := took(func() { r = w.resolve("www.example.net") }); d != targetDelay || len(r.MH) != 1 || r.MH[0].Name != "h2.example.net." {
			t.Errorf("a silent target, after %v: %+v", d, r)
		}
	})
}

// N13: with consistency "all" counts what all servers agree on, for the
// shortest of the times, and each has to answer; with "first" one is enough.
func TestN13Consistency(t *testing.T) {
	one := newServer(t, "h.example.net. 60 IN A 9.0.0.1\nh.example.net. 60 IN A 9.0.0.2\nonly.example.net. 60 IN A 9.0.0.9\n")
	two := newServer(t, "h.example.net. 30 IN A 9.0.0.2\nh.example.net. 30 IN A 9.0.0.3\n")
	a := []answer{}
	ask := func(t *testing.T, n string) *Set {
		w := newBubble(t, Config{}, one, two)
		s := w.addresses(t.Context(), Name(n), netip.Addr{})
		a = append(a[:0], w.lookup(t.Context(), n, dns.TypeA))
		return s
	}
	synctest.Test(t, func(t *testing.T) {
		want(t, "N13 agreed on", ips(ask(t, "h.example.net.").Locators), "9.0.0.2")
		if d := time.Until(a[0].expire); d != 30*time.Second {
			t.Errorf("N13 holds for %v", d)
		}
		if s := ask(t, "only.example.net."); len(s.Locators) != 0 || !errors.Is(s.err, ErrNXDomain) {
			t.Errorf("N13 known to one: %+v", s)
		}
		two.SetFault("h.example.net", dnstest.Fault{Rcode: dns.RcodeServerFailure})
		if s := ask(t, "h.example.net."); len(s.Locators) != 0 || !errors.Is(s.err, ErrServer) || !s.partial {
			t.Errorf("N13 one does not answer: %+v", s)
		}
		w := newBubble(t, Config{}, one)
		want(t, "N13 first", ips(w.addresses(t.Context(), "h.example.net.", netip.Addr{}).Locators), "9.0.0.1 9.0.0.2")
	})
}

// N13: servers are grouped as the configuration says.
func TestN13Configured(t *testing.T) {
	ups := []Upstream{{}, {}, {}}
	for c, groups := range map[Consistency]int{ConsistencyFirst: 1, ConsistencyAll: 3} {
		r, err := New(Config{Upstreams: ups, Consistency: c})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.servers) != groups {
			t.Errorf("%v: %d groups of servers, want %d", c, len(r.servers), groups)
		}
		r.Close()
	}
}

// N26: on another network nothing is believed that the first one said, and
// back there nothing that the other one did.
func TestN26Partition(t *testing.T) {
	network := "home"
	inMemory(t, Config{Network: func() string { return network }}, "h.example.net. 3600 IN A 9.0.0.1\n", func(w *bubble) {
		ask := func() string { return ips(w.resolve("h.example.net").Legacy.Locators) }
		want(t, "at home", ask(), "9.0.0.1")
		network = "café"
		w.setZone("h.example.net. 3600 IN A 9.6.6.6\n")
		time.Sleep(networkPoll)
		want(t, "in the café", ask(), "9.6.6.6")
		network = "home"
		time.Sleep(networkPoll)
		if n := w.asks(func() { want(t, "at home again", ask(), "9.0.0.1") }); n != 0 {
			t.Errorf("%d questions", n)
		}
		if n := w.asks(func() { ask() }); n != 0 {
			t.Errorf("%d questions on the same network", n)
		}
	})
	if a, b := SystemNetwork(), SystemNetwork(); a != b || len(a) != 16 {
		t.Errorf("this network is %q and %q", a, b)
	}
}

// N26: what of Linux's tables of routes counts.
func TestN26DefaultRoutes(t *testing.T) {
	const four = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t010010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t000010AC\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0\n"
	const six = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000007 00450003     eth1\n00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
	want(t, "IPv4", strings.Join(defaultRoutes(strings.NewReader(four)), ","), "eth0 010010AC")
	want(t, "IPv6", strings.Join(defaultRoutes(strings.NewReader(six)), ","), "eth1 fe800000000000000000000000000001")
}

// N27: a thousand dials to a name at once cost what one costs, and while the
// answers hold further ones cost nothing.
func TestN27SharedLookups(t *testing.T) {
	inMemory(t, Config{PortRecords: true}, streamZone, func(w *bubble) {
		w.fault(dnstest.Fault{Delay: 20 * time.Millisecond}, "one.example.net", "_mhsctp.one.example.net")
		dial := func() {
			var all sync.WaitGroup
			for range 1000 {
				all.Go(func() {
					if r := w.resolve("one.example.net"); len(r.MH) != 1 {
						t.Errorf("%d hosts, %v", len(r.MH), r.Partial)
					}
				})
			}
			all.Wait()
		}
		if n := w.asks(dial); n != 4 {
			t.Errorf("N27 the first thousand: %d questions, want 4", n)
		}
		if n := w.asks(dial); n != 0 {
			t.Errorf("N27 the second thousand: %d questions", n)
		}
	})
}

// slow has one question answered later.
func slow(ask server, q question, by time.Duration) server {
	return func(ctx context.Context, asked question) (*dns.Msg, Upstream, error) {
		if asked == q {
			time.Sleep(by)
		}
		return ask(ctx, asked)
	}
}
