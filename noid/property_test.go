package noid

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// N12, the property: for every unsealed association V lies within {h} and F.
func TestN12PermittedIsWithinForwardSet(t *testing.T) {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte{9, 0, 0, rapid.Byte().Draw(t, "octet") % 12})
	})
	rapid.Check(t, func(t *rapid.T) {
		s := &Set{
			Binding: Binding(rapid.IntRange(0, int(BindingStatic)).Draw(t, "binding")), Channel: Channel(rapid.IntRange(0, int(ChanLocal)).Draw(t, "channel")),
			trust: Trust(rapid.IntRange(0, int(Single)).Draw(t, "trust")), hostLevel: rapid.Bool().Draw(t, "host"),
		}
		for _, a := range rapid.SliceOfN(addr, 0, 10).Draw(t, "forward") {
			s.Locators = append(s.Locators, Locator{Addr: a})
		}
		h := addr.Draw(t, "h")
		v := s.Permit(h, PeerView{Listed: rapid.SliceOfN(addr, 0, 10).Draw(t, "listed"), Silent: rapid.Bool().Draw(t, "silent")})
		if v[0].Addr != h {
			t.Fatalf("h is not the first of %v", v)
		}
		for _, l := range v[1:] {
			if !s.Contains(l.Addr) || !s.Contains(h) || s.Binding < BindingClaim {
				t.Fatalf("%v is permitted by %+v", l.Addr, s)
			}
		}
	})
}

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
