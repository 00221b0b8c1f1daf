package noid

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func FuzzHosts(f *testing.F) {
	f.Add("gw.example.net udp=9900 ver=1 flags=5 10.0.0.1 10.1.0.1,20,3\nzone private corp.example 10.0.0.0/8\ndeny 1.0.0.0/8\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := newStatic()
		if s.parse(strings.NewReader(text), "hosts") != nil {
			return
		}
		for n, h := range s.hosts {
			if _, err := ParseName(string(n)); err != nil || len(h.locators) > maxLocators {
				t.Errorf("%q has %d locators, %v", n, len(h.locators), err)
			}
		}
	})
}

// FuzzMessage feeds a whole DNS message to everything that reads one.
func FuzzMessage(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("_mhsctp.a.example.", dns.TypeSVCB)
	c := Capability{Target: "h.a.example.", UDPPort: 9899, SCTPPort: 5000, Flags: 3}
	m.Answer = append(m.Answer, c.SVCB("a.example.", 60))
	packed, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packed)
	r, err := New(Config{Upstreams: []Upstream{{}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := new(dns.Msg)
		if m.Unpack(b) != nil {
			return
		}
		for _, qtype := range []uint16{dns.TypeSVCB, dns.TypeA} {
			a := r.digest(question{"_mhsctp.a.example.", qtype}, m, Upstream{}, ChanPlain, nil)
			if len(a.records) > maxRecords {
				t.Errorf("%d records", len(a.records))
			}
			for _, rr := range a.records {
				if svcb, ok := rr.(*dns.SVCB); ok {
					if c, err := parseSVCB(svcb, "a.example."); err == nil && (!portAllowed(c.UDPPort) || len(c.SPKI) > 2*maxSPKI) {
						t.Errorf("%+v", c)
					}
				}
			}
		}
	})
}

func TestSVCBRoundTrip(t *testing.T) {
	c := Capability{Target: "h.a.example.", UDPPort: 9900, SCTPPort: 5001, Flags: FlagEmul | FlagGateway, Version: 1, Prio: 3, Via: "SVCB"}
	rr, err := dns.NewRR(c.SVCB("a.example.", 60).String())
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseSVCB(rr.(*dns.SVCB), "a.example.")
	if err != nil || got.Target != c.Target || got.UDPPort != c.UDPPort || got.SCTPPort != c.SCTPPort || got.Flags != c.Flags || !slices.Equal(got.SPKI, c.SPKI) {
		t.Errorf("%+v, %v, want %+v", got, err, c)
	}
}
