package noid

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// N21: what a demanding mode makes of a capability record that did not come is
// not what it makes of one that is not there.
func TestN21Downgrade(t *testing.T) {
	for trust, forbids := range map[Trust]bool{Opportunistic: false, Reverse: false, Strict: true, Pinned: true, Single: false} {
		t.Run(trust.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := memoryWorld(t, Config{Trust: trust})
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
				time.Sleep(4 * resolutionDelay) // until the server has answered
			})
		})
	}
}

// N21: where nothing is validated, strict mode believes nobody that a name has no
// such service, by whatever records he says so. Where a record names hosts that
// are not found, no mode that demands more does without them.
func TestN21ForgedRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			compatible = ` key65280="\001\003"`
			later      = ` key65280="\007\003"`
		)
		for _, test := range []struct {
			record              string
			unvalidated, pinned bool // falling back is forbidden in strict mode without validation, and in pinned
		}{
			{"_mhsctp.www.example.net. 60 IN SVCB 0 .", true, false},
			{"_mhsctp.www.example.net. 60 IN SVCB 1 h1.example.net." + later, true, false},
			{"_mhsctp.www.example.net. 60 IN CNAME x.example.net.", true, false},
			{"_mhsctp.www.example.net. 60 IN SVCB 0 _mhsctp.x.example.net.", true, false},
			{"_mhsctp.www.example.net. 60 IN SVCB 1 x.example.net." + compatible, true, true},
			{"_mhsctp.www.example.net. 60 IN SVCB 1 ." + compatible, true, true},
		} {
			for trust, forbids := range map[Trust]bool{Opportunistic: false, Pinned: test.pinned, Strict: test.unvalidated} {
				w := memoryWorld(t, Config{Trust: trust, DNSSEC: DNSSEC{Validate: truth(false)}})
				if err := w.dns.SetZone("www.example.net. 60 IN A 9.0.0.1\n" + test.record + "\n"); err != nil {
					t.Fatal(err)
				}
				if r := w.resolve("www.example.net"); r.NoFallback != forbids || r.Legacy == nil {
					t.Errorf("%v, %s: falling back is forbidden: %v, want %v; %v", trust, test.record, r.NoFallback, forbids, r.Partial)
				}
			}
		}
	})
}

// N21: that one host of a name is not found does not hide that what would say
// where another is was kept away.
func TestN21OneOfTwoHosts(t *testing.T) {
	inMemory(t, Config{Trust: Strict, DNSSEC: DNSSEC{Unsigned: []Name{"."}}}, zone, func(w *bubble) {
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, "h1.example.net")
		w.fault(dnstest.Fault{Rcode: dns.RcodeNameError, Delay: time.Second}, "h2.example.net")
		r := w.resolve("www.example.net")
		if !r.NoFallback || len(r.MH) != 0 || !errors.Is(r.Partial, ErrServer) {
			t.Errorf("falling back is forbidden: %v; %v, %v", r.NoFallback, r.MH, r.Partial)
		}
	})
}

// N21: the same of an address: none of the records that lead from it to a host
// may be kept away, by whatever means.
func TestN21Address(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, missing := range []string{"1.0.0.9.in-addr.arpa.", "_mhsctp.gw.example.net."} {
			for _, how := range []error{ErrTimeout, ErrServer, ErrBogus, ErrDowngrade, ErrLimit} {
				w := newReferralWorld(t, Config{Trust: Strict})
				w.resolve("ftp.example.net")
				whole := w.servers[0]
				w.servers[0] = func(ctx context.Context, q question) (*dns.Msg, Upstream, error) {
					if strings.EqualFold(q.name, missing) {
						return nil, Upstream{}, &Error{Step: q.String(), Kind: how}
					}
					return whole(ctx, q)
				}
				if r := w.resolve("9.0.0.1"); !r.NoFallback || !errors.Is(r.Partial, how) {
					t.Errorf("%s, %v: falling back is forbidden: %v; %v", missing, how, r.NoFallback, r.Partial)
				}
			}
		}
	})
}
