package noid

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

const host = `
$TTL 60
h.example.net.         IN A    9.0.0.1
h.example.net.         IN A    9.1.0.1
h.example.net.         IN AAAA 2a00:a::1
_mhsctp.h.example.net. IN SVCB 1 . port=9899 key65280="\001\003" mandatory=key65280
`

var hostNames = []string{"h.example.net", "_mhsctp.h.example.net"}

// N10: a TTL of 0 is for this transaction only, not even for bad times; very
// long and very short ones are bounded.
func TestN10TTLBounds(t *testing.T) {
	for _, test := range []struct {
		ttl      string
		holds    time.Duration // as far as is tried
		not      time.Duration
		oldServe bool
	}{
		{"0", -1, 0, false},
		{"1", minTTL - time.Millisecond, minTTL, true},
		{"31536000", maxTTL - time.Second, maxTTL, true},
		{"4294967295", -1, 0, false}, // RFC 2181 section 8
	} {
		t.Run("N10 TTL "+test.ttl, func(t *testing.T) {
			inMemory(t, Config{}, "h.example.net. "+test.ttl+" IN A 9.0.0.1\n", func(w *bubble) {
				ask := func() error {
					return w.lookup(w.t.Context(), "h.example.net.", dns.TypeA).err
				}
				_ = ask()
				if test.holds >= 0 {
					time.Sleep(test.holds)
					if n := w.asks(func() { _ = ask() }); n != 0 {
						t.Errorf("asked again after %v", test.holds)
					}
				}
				time.Sleep(test.not - max(test.holds, 0))
				if n := w.asks(func() { _ = ask() }); n != 1 {
					t.Errorf("%d questions after %v", n, test.not)
				}
				time.Sleep(min(max(test.not, minTTL), time.Hour))
				w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, "h.example.net")
				if err := w.find(w.t.Context(), question{"h.example.net.", dns.TypeA}, true).err; (err == nil) != test.oldServe {
					t.Errorf("while the server fails: %v", err)
				}
			})
		})
	}
}

// N11: that something does not exist holds as long as the SOA says, within
// bounds, and a while without one.
func TestN11NegativeTTL(t *testing.T) {
	soa := func(owner string, ttl, minimum uint32) []dns.RR {
		return []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl}, Minttl: minimum}}
	}
	for _, test := range []struct {
		what string
		ns   []dns.RR
		want time.Duration
	}{
		{"the lesser: minimum", soa("example.net.", 600, 300), 300 * time.Second},
		{"the lesser: TTL", soa("example.net.", 60, 300), time.Minute},
		{"capped", soa("example.net.", 86400, 86400), maxNegative},
		{"0", soa("example.net.", 0, 300), 0},
		{"of another zone", soa("example.org.", 300, 300), bareNegative},
		{"none", nil, bareNegative},
	} {
		m := &dns.Msg{Ns: test.ns}
		if got := negativeTTL(m, "h.example.net."); got != test.want {
			t.Errorf("N11 %s: %v, want %v", test.what, got, test.want)
		}
	}
	// Absent SVCB records, without SOA, are remembered too.
	inMemory(t, Config{}, "h.example.net. 60 IN A 9.0.0.1\n", func(w *bubble) {
		w.resolve("h.example.net")
		if n := w.asks(func() { w.resolve("h.example.net") }); n != 0 {
			t.Errorf("%d questions for what does not exist", n)
		}
	})
}

// N11, RFC 9520 section 3.2: a failure is remembered for a second, each further
// one for twice as long, up to five minutes; an answer ends that.
func TestN11FailuresAreRemembered(t *testing.T) {
	inMemory(t, Config{}, host, func(w *bubble) {
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, hostNames...)
		ask := func() { w.lookup(w.t.Context(), "h.example.net.", dns.TypeA) }
		for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300} {
			pause *= time.Second
			if n := w.asks(ask); n != 1 {
				t.Fatalf("failure %d: %d questions", i, n)
			}
			time.Sleep(pause - time.Millisecond)
			if n := w.asks(ask); n != 0 {
				t.Errorf("failure %d is forgotten before %v", i, pause)
			}
			time.Sleep(time.Millisecond)
		}
		w.fault(dnstest.Fault{}, hostNames...)
		ask()
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, hostNames...)
		time.Sleep(maxStale + time.Hour)
		ask()
		time.Sleep(failureTTL)
		if n := w.asks(ask); n != 1 {
			t.Errorf("the first failure after an answer is remembered like the last one before it")
		}
	})
}

// N16, RFC 8767 section 5: who asks waits 1.8 seconds for a new answer and then
// gets the old one, for 30 seconds; servers are asked every 30 seconds; after a
// day the old answer is none.
func TestN16Stale(t *testing.T) {
	inMemory(t, Config{}, host, func(w *bubble) {
		w.resolve("h.example.net")
		time.Sleep(61 * time.Second)
		w.fault(dnstest.Fault{Silent: true}, hostNames...)
		var a answer
		ask := func() { a = w.lookup(w.t.Context(), "h.example.net.", dns.TypeA) }
		if d := took(ask); d != clientTimer || a.err != nil || !a.stale || time.Until(a.expire) != staleTTL {
			t.Errorf("after %v: %+v", d, a)
		}
		time.Sleep(queryTimeout * queryTries) // the question has failed meanwhile
		if n := w.asks(func() {
			if d := took(ask); d != 0 || !a.stale {
				t.Errorf("while it is not worth a question: %v, %+v", d, a)
			}
		}); n != 0 {
			t.Errorf("%d questions within %v", n, staleRetry)
		}
		time.Sleep(staleRetry)
		if n := w.asks(ask); n != 1 || !a.stale {
			t.Errorf("%d questions after %v: %+v", n, staleRetry, a)
		}
		w.fault(dnstest.Fault{Rcode: dns.RcodeRefused}, hostNames...)
		time.Sleep(maxStale - 3*time.Minute)
		if ask(); !a.stale {
			t.Errorf("before its time: %+v", a)
		}
		time.Sleep(4 * time.Minute)
		if ask(); a.err == nil {
			t.Errorf("after its time: %+v", a)
		}
	})
}

// N16: the end of a name is an answer, for which nothing old is served; other
// codes than success and that are none.
func TestN16NegativeEndsStale(t *testing.T) {
	inMemory(t, Config{}, host, func(w *bubble) {
		w.resolve("h.example.net")
		time.Sleep(61 * time.Second)
		w.setZone("other.example.net. 60 IN A 9.0.0.1\n")
		if a := w.lookup(w.t.Context(), "h.example.net.", dns.TypeA); !errors.Is(a.err, ErrNXDomain) || a.stale {
			t.Errorf("%+v", a)
		}
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, hostNames...)
		time.Sleep(2 * bareNegative)
		if a := w.lookup(w.t.Context(), "h.example.net.", dns.TypeA); a.err == nil {
			t.Errorf("an old answer came back to life: %+v", a)
		}
	})
}

// N16, N12: of an old set only members are used that were confirmed before, and
// nobody is tied to a name by it who was not before (threat N9).
func TestN16StaleMembers(t *testing.T) {
	inMemory(t, Config{}, host, func(w *bubble) {
		a, b := netip.MustParseAddr("9.0.0.1"), netip.MustParseAddr("9.1.0.1")
		w.resolve("h.example.net")
		w.Reached("h.example.net.", a, 0)
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, hostNames...)
		time.Sleep(61 * time.Second)
		s := w.resolve("h.example.net").MH[0]
		if s.StaleUntil.IsZero() || !s.Locators[0].Stale {
			t.Errorf("%+v", s)
		}
		want(t, "reached before: a", ips(s.Permit(b, PeerView{Silent: true})), "9.0.0.1 9.1.0.1")
		want(t, "listed, but not reached", ips(s.Permit(a, PeerView{Listed: []netip.Addr{a, b}})), "9.0.0.1")
		if _, err := w.Verify(w.t.Context(), a, "h.example.net"); err != nil {
			t.Errorf("a peer that was there before: %v", err)
		}
		if s, err := w.Verify(w.t.Context(), b, "h.example.net"); err == nil {
			t.Errorf("a new peer at an old address is %v", s.Name)
		}
	})
}

// N15, of this package: whoever has a name does not need the servers again
// while its answers hold, and a watch asks for nothing when paths change.
func TestN15NoQuestionsInFailover(t *testing.T) {
	inMemory(t, Config{}, host, func(w *bubble) {
		s := w.resolve("h.example.net").MH[0]
		changes, end := w.Watch(s.Name, netip.Addr{})
		defer end()
		<-changes
		w.fault(dnstest.Fault{Silent: true}, hostNames...)
		if n := w.asks(func() {
			w.Reached(s.Name, s.Locators[0].Addr, time.Millisecond)
			s.Permit(s.Locators[0].Addr, PeerView{Silent: true})
			w.resolve("h.example.net")
			time.Sleep(30 * time.Second)
		}); n != 0 {
			t.Errorf("%d questions", n)
		}
	})
}
