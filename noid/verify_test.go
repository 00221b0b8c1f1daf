package noid

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// N04: a claim holds when the name's addresses contain the peer's.
func TestN04Claim(t *testing.T) {
	inMemory(t, Config{}, zone, func(w *bubble) {
		s, err := w.Verify(w.t.Context(), addr("9.0.1.1"), "laptop.example.net")
		if err != nil || s.Binding != BindingClaim || s.Name != "laptop.example.net." {
			t.Errorf("N04 %+v, %v", s, err)
		}
		// The host that a capability record names is the identity.
		s, err = w.Verify(w.t.Context(), addr("2a00:b::11"), "www.example.net")
		if err != nil || s.Name != "h1.example.net." || !s.hostLevel {
			t.Errorf("N04 %+v, %v", s, err)
		}
	})
}

// N04: a claim to a name that does not have the address is worth nothing, also
// if a reverse record would give another name.
func TestN04SpoofedClaim(t *testing.T) {
	inMemory(t, Config{}, zone, func(w *bubble) {
		for src, claim := range map[string]string{"9.0.1.9": "laptop.example.net", "9.0.1.1": "www.example.net", "2a00:a::11": "legacy.example.net"} {
			s, err := w.Verify(w.t.Context(), addr(src), claim)
			if !errors.Is(err, ErrNotContained) || s.Binding != BindingNone || s.Name != "" || len(s.Permit(addr(src), PeerView{Silent: true})) != 1 {
				t.Errorf("N04 %s as %s: %+v, %v", src, claim, s, err)
			}
		}
		for _, claim := range []string{"..", "localhost", "1.1.0.9.in-addr.arpa", strings.Repeat("a", 300)} {
			if s, err := w.Verify(w.t.Context(), addr("9.0.1.1"), claim); err == nil {
				t.Errorf("N04 a claim to be %q: %+v", claim, s)
			}
		}
	})
}

// N04: the operator's file stands for the DNS: a peer at an address that only the
// DNS gives to a name of the file is not tied to it, neither by a claim, nor by a
// capability record of another name, nor by a reverse record.
func TestN04StaticName(t *testing.T) {
	inMemory(t, Config{}, zone+`_mhsctp.evil.example.net. IN SVCB 1 laptop.example.net. key65280="\001\003"`+"\n", func(w *bubble) {
		s := newStatic()
		if err := s.parse(strings.NewReader("laptop.example.net udp=9899 9.7.7.7\n"), "hosts"); err != nil {
			t.Fatal(err)
		}
		w.files.use(s)
		for _, claim := range []string{"laptop.example.net", "evil.example.net", ""} {
			if s, err := w.Verify(w.t.Context(), addr("9.0.1.1"), claim); s.Binding != BindingNone || !errors.Is(err, ErrNotContained) {
				t.Errorf("N04 claim %q: %v %v, %v", claim, s.Name, s.Binding, err)
			}
		}
	})
}

// N05: a reverse record that leads to a name which leads back; names like the
// claimed one are tried first.
func TestN05Reverse(t *testing.T) {
	for _, claim := range []string{"", "laptop.example.net"} {
		inMemory(t, Config{Trust: Reverse}, zone, func(w *bubble) {
			s, err := w.Verify(w.t.Context(), addr("9.0.1.1"), claim)
			if err != nil || s.Name != "laptop.example.net." || s.Binding != BindingReverse {
				t.Errorf("N05 %+v, %v", s, err)
			}
			if n := w.dns.Asked("evil.example.org", dns.TypeA); (n == 0) != (claim != "") {
				t.Errorf("N05 claim %q: the other name was asked for %d times", claim, n)
			}
		})
	}
}

// N06: a reverse record alone is worth nothing.
func TestN06ReverseMismatch(t *testing.T) {
	inMemory(t, Config{Trust: Reverse}, zone, func(w *bubble) {
		s, err := w.Verify(w.t.Context(), addr("9.0.0.30"), "")
		if !errors.Is(err, ErrNoReverse) || s.Binding != BindingNone {
			t.Errorf("N06 %+v, %v", s, err)
		}
	})
}

// N07: without reverse record the peer has one path, and that works.
func TestN07NoReverse(t *testing.T) {
	inMemory(t, Config{Trust: Reverse}, zone, func(w *bubble) {
		s, err := w.Verify(w.t.Context(), addr("9.9.9.9"), "laptop.example.net")
		if !errors.Is(err, ErrNXDomain) || s.Binding != BindingNone {
			t.Errorf("N07 %+v, %v", s, err)
		}
		want(t, "N07 permitted", ips(s.Permit(addr("9.9.9.9"), PeerView{Listed: []netip.Addr{addr("9.0.1.2")}})), "9.9.9.9")
	})
}

// N05, who dials: in mode reverse a host is reached over more than one path
// only from an address whose reverse record has its name; with ReverseAll the
// other addresses are dropped.
func TestN05ReverseOfHosts(t *testing.T) {
	const z = "1.0.0.9.in-addr.arpa. 60 IN PTR h.example.net.\n1.0.1.9.in-addr.arpa. 60 IN PTR other.example.net.\n"
	inMemory(t, Config{Trust: Reverse}, host+z, func(w *bubble) {
		s := w.resolve("h.example.net").MH[0]
		want(t, "N05 from the address with a record", ips(s.Permit(addr("9.0.0.1"), PeerView{Silent: true})), "2a00:a::1 9.0.0.1 9.1.0.1")
		want(t, "N05 from another", ips(s.Permit(addr("9.1.0.1"), PeerView{Silent: true})), "9.1.0.1")
	})
	inMemory(t, Config{ReverseAll: true}, host+z, func(w *bubble) {
		s := w.resolve("h.example.net").MH[0]
		want(t, "N05 all", ips(s.Locators), "9.0.0.1")
		if s.Binding != BindingReverseAll || len(s.Dropped) != 2 {
			t.Errorf("N05 %v, dropped %v", s.Binding, s.Dropped)
		}
		if s, err := w.Verify(w.t.Context(), addr("9.0.0.1"), "h.example.net"); err != nil || s.Binding != BindingReverseAll {
			t.Errorf("N05 %+v, %v", s, err)
		}
		if _, err := w.Verify(w.t.Context(), addr("9.1.0.1"), "h.example.net"); !errors.Is(err, ErrNoReverse) {
			t.Errorf("N05 an address without reverse record: %v", err)
		}
	})
}

// Threat N4: a hostile reverse zone costs so many questions and so much time.
func TestHostileReverseZone(t *testing.T) {
	var z strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&z, "9.9.9.9.in-addr.arpa. 60 IN PTR n%d.example.org.\nn%d.example.org. 60 IN CNAME n%d.example.org.\n", i, i, i+1)
	}
	inMemory(t, Config{}, z.String(), func(w *bubble) {
		if n := w.asks(func() { _, _ = w.Verify(w.t.Context(), addr("9.9.9.9"), "") }); n > 1+2*maxPTRNames {
			t.Errorf("%d questions", n)
		}
		for i := range 1000 {
			w.fault(dnstest.Fault{Silent: true}, fmt.Sprintf("n%d.example.org", i))
		}
		time.Sleep(time.Hour)
		if d := took(func() { _, _ = w.Verify(w.t.Context(), addr("9.9.9.9"), "") }); d > verifyBudget {
			t.Errorf("took %v", d)
		}
	})
}

// N27: ten thousand peers at once cause no flood of questions, and those of
// one network do not take the turns of the others.
func TestN27Turns(t *testing.T) {
	inMemory(t, Config{}, "*.example.net. 3600 IN A 9.0.0.1\n", func(w *bubble) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
		defer cancel()
		var all sync.WaitGroup
		var refused atomic.Int32
		for i := range 10000 {
			all.Go(func() {
				src := netip.AddrFrom4([4]byte{9, byte(i), byte(i >> 8), 1})
				if _, err := w.Verify(ctx, src, fmt.Sprintf("h%d.example.net", i)); errors.Is(err, ErrLimit) {
					refused.Add(1)
				}
			})
		}
		all.Wait()
		// Each asks for the capability and both families.
		if n := w.dns.Total() / 3; n > verifyBurst+2*verifyQueue || n < verifyBurst+verifyRate*2 {
			t.Errorf("N27 %d of 10,000 peers were looked for", n)
		}
		if n := int(refused.Load()); n < 10000-verifyBurst-2*verifyQueue {
			t.Errorf("N27 %d were refused", n)
		}
		time.Sleep(time.Minute)
		for i := range verifyQueue {
			all.Go(func() {
				_, _ = w.Verify(ctx, netip.AddrFrom4([4]byte{9, 9, 9, byte(i)}), fmt.Sprintf("x%d.example.net", i))
			})
		}
		if d := took(func() { _, _ = w.Verify(w.t.Context(), addr("9.8.8.8"), "y.example.net") }); d != 0 {
			t.Errorf("N27 a peer of another network waits %v", d)
		}
		all.Wait()
	})
}

// N27: the rates, exactly.
func TestN27Rates(t *testing.T) {
	now := time.Unix(1e9, 0)
	for _, test := range []struct {
		what  string
		src   func(i int) netip.Addr
		burst int
		rate  int
	}{
		{"one /24", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{9, 0, 0, byte(i)}) }, prefixBurst, prefixRate},
		{"one /48", func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x2a, 0, 0, 1, 0, 2, byte(i)})
		}, prefixBurst, prefixRate},
		{"everywhere", func(i int) netip.Addr { return netip.AddrFrom4([4]byte{9, byte(i), byte(i >> 8), 1}) }, verifyBurst, verifyRate},
	} {
		tt := newTurns(now)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // nobody waits
		at, n := now, 0
		for i := range 4 * test.burst {
			if tt.wait(ctx, test.src(i), func() time.Time { return at }) {
				n++
			}
		}
		if n != test.burst {
			t.Errorf("N27 %s: %d at once, want %d", test.what, n, test.burst)
		}
		at, n = now.Add(time.Second), 0
		for i := range 4 * test.burst {
			if tt.wait(ctx, test.src(i), func() time.Time { return at }) {
				n++
			}
		}
		if n != test.rate {
			t.Errorf("N27 %s: %d in the next second, want %d", test.what, n, test.rate)
		}
	}
	tt := newTurns(now)
	for i := range 3 * maxPrefixes {
		tt.prefix(netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 1}), now)
	}
	if n := len(tt.prefixes); n > maxPrefixes {
		t.Errorf("N27 %d networks are counted", n)
	}
}
