package noid

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// N21: what a demanding mode makes of a capability record that did not come is
// not what it makes of one that is not there.
func TestN21Downgrade(t *testing.T) {
	for trust, forbids := range map[Trust]bool{Opportunistic: false, Reverse: false, Strict: true, Pinned: true, Single: false} {
		t.Run(trust.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, Config{Trust: trust})
			w.dns.SetFault("_mhsctp.alias.example.net", dnstest.Fault{Rcode: dns.RcodeServerFailure})
			w.dns.SetFault("_mhsctp.old.example.net", dnstest.Fault{Delay: 4 * resolutionDelay})
			for _, test := range []struct {
				name, what string
				want       bool
			}{
				{"legacy.example.net", "no record", false},
				{"bad.example.net", "no record that is understood", false},
				{"www.example.net", "a record", forbids},
				{"tls.example.net", "a record that demands more", forbids},
				{"alias.example.net", "the server fails", forbids},
				{"9.0.0.99", "an address", false},
			} {
				r := w.resolve(test.name)
				if r.NoFallback != test.want || r.Legacy == nil {
					t.Errorf("%s: falling back is forbidden: %v, want %v; addresses %v", test.what, r.NoFallback, test.want, r.Legacy)
				}
			}
			start := time.Now()
			r := w.resolve("old.example.net")
			if late := len(r.MH) > 0; late != forbids {
				t.Errorf("a late record is waited for: %v after %v, want %v", late, time.Since(start), forbids)
			}
		})
	}
}
