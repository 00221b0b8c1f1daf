package noid

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// begin asks for what a dial can begin with, and how long that took.
func (w *bubble) begin(name string) (r *Result, d time.Duration) {
	w.t.Helper()
	d = took(func() {
		var err error
		if r, err = w.Begin(w.t.Context(), name, 80); err != nil {
			w.t.Fatalf("Begin(%s): %v", name, err)
		}
	})
	return r, d
}

// more returns what comes after the addresses that a dial began with.
func (w *bubble) more(r *Result) string {
	w.t.Helper()
	if r.More == nil {
		return "nothing"
	}
	s, err := r.More(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if s == nil {
		return "nothing"
	}
	return ips(s.Locators)
}

// N25, RFC 8305 section 3: IPv6 does not wait for IPv4, which joins when it
// comes; IPv4 waits for IPv6, and not for long.
func TestN25OneFamily(t *testing.T) {
	for _, test := range []struct {
		what        string
		lags        uint16
		by          time.Duration
		took        time.Duration
		first, more string
		all         time.Duration // until that is there
	}{
		{"A lags", dns.TypeA, 2 * time.Second, 0, "2a00:a::1", "2a00:a::1 9.0.0.1", 2 * time.Second},
		{"AAAA lags", dns.TypeAAAA, 2 * time.Second, resolutionDelay, "9.0.0.1", "2a00:a::1 9.0.0.1", 2 * time.Second},
		{"AAAA lags a little", dns.TypeAAAA, 30 * time.Millisecond, 30 * time.Millisecond, "2a00:a::1 9.0.0.1", "nothing", 30 * time.Millisecond},
	} {
		t.Run(test.what, func(t *testing.T) {
			inMemory(t, Config{}, streamZone, func(w *bubble) {
				w.servers[0] = slow(w.servers[0], question{"www.example.net.", test.lags}, test.by)
				w.fault(dnstest.Fault{Rcode: dns.RcodeNameError}, "_mhsctp.www.example.net")
				begun := time.Now()
				w.capabilities(w.t.Context(), "www.example.net.") // known from before
				r, d := w.begin("www.example.net")
				if d != test.took || len(r.MH) > 0 || r.Legacy == nil {
					t.Fatalf("N25 after %v, want %v: %+v", d, test.took, r)
				}
				want(t, "N25 first", ips(r.Legacy.Locators), test.first)
				want(t, "N25 more", w.more(r), test.more)
				if d := time.Since(begun); d != test.all {
					t.Errorf("N25 all after %v, want %v", d, test.all)
				}
				want(t, "N25 at last", w.more(r), "nothing")
			})
		})
	}
}

// N01: the record is waited for a little; one that comes later joins. Hints are
// enough to begin with, and give way to addresses.
func TestN01Begin(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		what, name   string
		record, host time.Duration // how late they are
		took         time.Duration
		hints, hosts int // there are
		plain        bool
		late         int // hosts that come late
	}{
		{"the record after 40 ms", "one", 40 * ms, 0, 40 * ms, 0, 1, false, 0},
		{"the record after 60 ms", "one", 60 * ms, 0, 50 * ms, 0, 0, true, 1},
		{"hints", "www", 10 * ms, time.Second, 10 * ms, 1, 0, false, 2},
		{"hints after the addresses", "www", 40 * ms, time.Second, 40 * ms, 1, 0, false, 2},
	} {
		t.Run(test.what, func(t *testing.T) {
			inMemory(t, Config{}, streamZone, func(w *bubble) {
				w.fault(dnstest.Fault{Delay: test.record}, "_mhsctp."+test.name+".example.net")
				w.fault(dnstest.Fault{Delay: test.host}, "h1.example.net", "h2.example.net")
				r, d := w.begin(test.name + ".example.net")
				if d != test.took || len(r.Hints) != test.hints || len(r.MH) != test.hosts || test.plain && r.Legacy == nil {
					t.Errorf("N01 after %v, want %v: hints of %d hosts, %d hosts, plain %v", d, test.took, len(r.Hints), len(r.MH), r.Legacy)
				}
				if test.hints > 0 {
					want(t, "N01 hints", ips(r.Hints[0].Locators), "9.0.0.77")
				}
				if (r.Late != nil) != (test.late > 0) {
					t.Fatalf("N01 hosts come late: %v", r.Late != nil)
				}
				if r.Late != nil {
					all, err := r.Late(w.t.Context())
					if err != nil || len(all) != test.late {
						t.Fatalf("N01 late: %d hosts, %v", len(all), err)
					}
					for _, s := range all {
						if s.Binding != BindingClaim || s.Contains(addr("9.0.0.77")) {
							t.Errorf("N01 a hint has stayed: %v", ips(s.Locators))
						}
					}
				}
			})
		})
	}
}

// N21: a mode that demands an answer begins with nothing that is not mh before
// the record is known, and with nothing else afterwards.
func TestN21Begin(t *testing.T) {
	for trust, forbids := range map[Trust]bool{Opportunistic: false, Strict: true, Pinned: true} {
		t.Run(trust.String(), func(t *testing.T) {
			inMemory(t, Config{Trust: trust, DNSSEC: DNSSEC{Validate: new(bool)}}, streamZone, func(w *bubble) {
				w.fault(dnstest.Fault{Delay: time.Second}, "_mhsctp.www.example.net")
				w.fault(dnstest.Fault{Delay: 2 * time.Second}, "h1.example.net", "h2.example.net")
				r, d := w.begin("www.example.net")
				wait := resolutionDelay
				if forbids {
					wait = time.Second
				}
				if d != wait || r.NoFallback != forbids || len(r.Hints) > 0 != forbids {
					t.Errorf("N21 after %v, want %v: hints of %d hosts, falling back is forbidden: %v", d, wait, len(r.Hints), r.NoFallback)
				}
				time.Sleep(time.Minute) // in virtual time: the server's answers are out
			})
		})
	}
}
