package noid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// referralZone has a host whose reverse records lead to it, and a name of
// somebody who lists that host's address and others' as his own.
const referralZone = `
$TTL 60
$ORIGIN example.net.
_mhsctp.ftp     IN SVCB 1 gw port=9899 key65280="\001\003" mandatory=key65280
ftp             IN A    9.0.0.1
gw              IN A    9.0.0.1
gw              IN A    9.0.0.2
_mhsctp.gw      IN SVCB 1 gw port=9900 key65280="\001\003" mandatory=key65280
_mhsctp.evil    IN SVCB 1 evil port=20000 key65280="\001\003" mandatory=key65280
evil            IN A    9.6.6.6
evil            IN A    9.0.0.1
evil            IN A    9.0.0.7
1.0.0.9.in-addr.arpa. IN PTR gw.example.net.
2.0.0.9.in-addr.arpa. IN PTR gw.example.net.
7.0.0.9.in-addr.arpa. IN PTR victim.example.net.
8.0.0.9.in-addr.arpa. IN PTR gw.example.net.
victim          IN A    9.0.0.7
6.6.6.9.in-addr.arpa. IN PTR evil.example.net.
`

func newReferralWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := memoryWorld(t, cfg)
	if err := w.dns.SetZone(referralZone); err != nil {
		t.Fatal(err)
	}
	return w
}

// wantReferral resolves an address and checks which host it is found to be, ""
// for none, and that plain TCP goes to the address and nowhere else.
func (w *world) wantReferral(a, host string, kind error) *Result {
	w.t.Helper()
	r := w.resolve(a)
	want(w.t, "plain TCP", ips(r.Legacy.Locators), a)
	got := ""
	for _, s := range r.MH {
		got += s.Name.String()
	}
	want(w.t, "host of "+a, got, host)
	if !errors.Is(r.Partial, kind) {
		w.t.Errorf("%s: %v, want %v", a, r.Partial, kind)
	}
	n, _ := w.Referral(netip.MustParseAddr(a))
	want(w.t, "Referral of "+a, n.String(), host)
	return r
}

// N29: an address that an answer had leads back to its host, with all of its
// locators and the port of its own record.
func TestN29Referral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		w.wantReferral("9.0.0.2", "", ErrNoReferral)
		if n := w.dns.Total(); n != 0 {
			t.Errorf("%d questions for an address that no answer had", n)
		}
		w.resolve("ftp.example.net")
		r := w.wantReferral("9.0.0.2", "gw.example.net", nil)
		s := r.MH[0]
		want(t, "locators", ips(s.Locators), "9.0.0.1 9.0.0.2")
		if s.Cap.UDPPort != 9900 {
			t.Errorf("%+v", s.Cap)
		}
		if n := w.resolve("gw.example.net").MH[0]; s.Name != n.Name || s.Binding != n.Binding || s.Channel != n.Channel || s.hostLevel != n.hostLevel {
			t.Errorf("%+v by the address, %+v by the name", s, n)
		}
		total := w.dns.Total()
		w.wantReferral("9.0.0.2", "gw.example.net", nil)
		if n := w.dns.Total() - total; n != 0 {
			t.Errorf("%d more questions for the same address", n)
		}
		if r := newReferralWorld(t, Config{}).ResolveAddr(t.Context(), netip.MustParseAddr("9.0.0.2")); len(r.MH) != 1 || r.MH[0].Name != "gw.example.net." {
			t.Errorf("a strange address: %+v, %v", r.MH, r.Partial)
		}
		want(t, "mapped", w.resolve("::ffff:9.0.0.1").MH[0].Name.String(), "gw.example.net")
	})
}

// N29, threats 4.1.3: a name that lists the addresses of others gets none of
// their connections, nor does it cost them their referral; and a reverse record
// that points at a name which does not have the address gets nothing either.
func TestN29PublishedAddressesAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		w.resolve("evil.example.net")
		w.wantReferral("9.0.0.7", "", ErrNoReverse)
		w.wantReferral("9.0.0.1", "gw.example.net", nil)
		w.wantReferral("9.6.6.6", "evil.example.net", nil)
		// 9.0.0.8 claims to be gw, also where any address may be asked about.
		w = newReferralWorld(t, Config{Trust: Reverse})
		w.resolve("evil.example.net")
		w.wantReferral("9.0.0.7", "", ErrNoReverse)
		w.wantReferral("9.0.0.8", "", ErrNoReverse)
		if b := w.wantReferral("9.0.0.2", "gw.example.net", nil).MH[0].Binding; b != BindingReverse {
			t.Errorf("binding %v", b)
		}
	})
}

// N29: what is referred lives as long as its records, and an address is worth
// a question for a time after the last answer that had it.
func TestN29Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		w.resolve("ftp.example.net")
		w.wantReferral("9.0.0.2", "gw.example.net", nil)
		w.advance(59 * time.Second)
		if n, ok := w.Referral(netip.MustParseAddr("9.0.0.2")); !ok {
			t.Errorf("%q within the TTL", n)
		}
		w.advance(2 * time.Second)
		if n, ok := w.Referral(netip.MustParseAddr("9.0.0.2")); ok {
			t.Errorf("%q after the TTL", n)
		}
		// The session that told the address outlives the TTL: it is looked for again.
		total := w.dns.Total()
		w.wantReferral("9.0.0.2", "gw.example.net", nil)
		if w.dns.Total() == total {
			t.Error("nobody was asked after the TTL")
		}
		// The host has lost the address.
		w.advance(61 * time.Second)
		if err := w.dns.SetZone(strings.ReplaceAll(referralZone, "9.0.0.2", "9.0.0.3")); err != nil {
			t.Fatal(err)
		}
		w.wantReferral("9.0.0.2", "", ErrNoReverse)
		w.advance(referralTTL)
		total = w.dns.Total()
		w.wantReferral("9.0.0.2", "", ErrNoReferral)
		if n := w.dns.Total() - total; n != 0 {
			t.Errorf("%d questions for an address that was forgotten", n)
		}
	})
}

// N29: the trust mode holds for referrals too, and needs no question where no
// answer could be enough.
func TestN29Trust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for trust, kind := range map[Trust]error{Strict: ErrPolicy, Pinned: ErrPolicy, Single: ErrPolicy, Opportunistic: nil} {
			w := newReferralWorld(t, Config{Trust: trust})
			w.resolve("ftp.example.net")
			host := ""
			if kind == nil {
				host = "gw.example.net"
			}
			if w.wantReferral("9.0.0.2", host, kind).NoFallback {
				t.Errorf("%v: plain TCP to an address is forbidden", trust)
			}
			if asked := w.dns.Asked("2.0.0.9.in-addr.arpa", dns.TypePTR) > 0; asked != (trust == Opportunistic || trust == Strict) {
				t.Errorf("%v: asked for the reverse record: %v", trust, asked)
			}
		}
	})
}

// N29, N14: the operator's file refers without the DNS.
func TestN29Static(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{Trust: Pinned})
		file := "gw.example.net udp=9900 10.0.0.1 10.1.0.1\nalso.example.net udp=9900 10.1.0.1\nplain.example.net 10.0.0.9\n"
		known := newStatic()
		if err := known.parse(strings.NewReader(file), "hosts"); err != nil {
			t.Fatal(err)
		}
		w.files.use(known)
		for range 10 {
			w.wantReferral("10.1.0.1", "also.example.net", nil)
		}
		if !w.wantReferral("10.0.0.1", "gw.example.net", nil).NoFallback || w.wantReferral("10.0.0.9", "", ErrNoReferral).NoFallback {
			t.Error("a demanding mode falls back from what speaks mh, or not from what does not")
		}
		if n := w.dns.Total(); n != 0 {
			t.Errorf("%d questions", n)
		}
	})
}

// N29: a reverse zone that does not answer costs no more than the budget, and
// the address stays reachable.
func TestN29BrokenReverseZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		w.resolve("ftp.example.net")
		w.dns.SetFault("2.0.0.9.in-addr.arpa", dnstest.Fault{Silent: true})
		start := time.Now()
		w.wantReferral("9.0.0.2", "", ErrTimeout)
		if took := time.Since(start); took > 2*referralBudget {
			t.Errorf("took %v", took)
		}
		w = newReferralWorld(t, Config{Trust: Strict})
		w.resolve("ftp.example.net")
		w.dns.SetFault("2.0.0.9.in-addr.arpa", dnstest.Fault{Rcode: dns.RcodeServerFailure})
		if !w.wantReferral("9.0.0.2", "", ErrServer).NoFallback {
			t.Error("a demanding mode falls back where the reverse record was suppressed")
		}
	})
}

// N29: a client that connects to many addresses of a reverse zone that does not
// answer keeps no name from being found.
func TestN29SilentReverseZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		var scan sync.WaitGroup
		for i := range maxQueries {
			a := netip.AddrFrom4([4]byte{9, 1, 1, byte(i)})
			w.dns.SetFault(fmt.Sprintf("%d.1.1.9.in-addr.arpa", i), dnstest.Fault{Silent: true})
			scan.Go(func() { w.ResolveAddr(t.Context(), a) })
		}
		scan.Wait()
		start := time.Now()
		w.resolve("ftp.example.net")
		if took := time.Since(start); took > queryTimeout/2 {
			t.Errorf("took %v", took)
		}
	})
}

// N29: names with ever more addresses do not grow the memory of them.
func TestN29Bound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReferralWorld(t, Config{})
		for i := range maxReferrals {
			a := netip.MustParseAddr(fmt.Sprintf("2a00:a::%x", i))
			w.referrals.seen(&Set{Locators: []Locator{{Addr: a}}}, w.now)
		}
		w.resolve("ftp.example.net")
		if n := len(w.referrals.known); n > maxReferrals {
			t.Errorf("%d addresses are remembered", n)
		}
		w.wantReferral("9.0.0.2", "gw.example.net", nil)
	})
}
