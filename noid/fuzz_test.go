package noid

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func FuzzHosts(f *testing.F) {
	f.Add("gw.example.net udp=9900 ver=1 flags=5 10.0.0.1 10.1.0.1,20,3\nzone private corp.example 10.0.0.0/8\ndeny 1.0.0.0/8\n")
	f.Add("127.0.0.1 localhost\n10.0.0.1 h.example.net h # one\n0.0.0.0 ads.example.net\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := newStatic()
		s.parseSystem(strings.NewReader(text))
		for n, h := range s.hosts {
			if again, err := ParseName(string(n)); err != nil || again != n || len(h.locators) > maxLocators || h.cap != nil {
				t.Errorf("%q of the system has %d locators, %v", n, len(h.locators), err)
			}
		}
		if s = newStatic(); s.parse(strings.NewReader(text), "hosts") != nil {
			return
		}
		for n, h := range s.hosts {
			if _, err := ParseName(string(n)); err != nil || len(h.locators) > maxLocators {
				t.Errorf("%q has %d locators, %v", n, len(h.locators), err)
			}
		}
	})
}

// FuzzText reads what stands for a capability record in a TXT.
func FuzzText(f *testing.F) {
	f.Add("v=mh1 udp=9899 sctp=5000 f=3")
	f.Add("v=mh1 udp=9899 udp=53 f=256 x")
	f.Fuzz(func(t *testing.T, text string) {
		c, ours, err := parseTXT(text, "a.example.")
		if ours != (len(strings.Fields(text)) > 0 && strings.Fields(text)[0] == "v=mh1") {
			t.Errorf("%q is ours: %v", text, ours)
		}
		if ours && err == nil && (!portAllowed(c.UDPPort) || c.Target != "a.example." || c.Version != capabilityVersion) {
			t.Errorf("%+v", c)
		}
	})
}

// FuzzSVCB reads the data of a capability record as it comes off the wire.
func FuzzSVCB(f *testing.F) {
	c := Capability{Target: "h.a.example.", UDPPort: 9899, SCTPPort: 5000, Flags: 3}
	packed := make([]byte, 512)
	n, err := dns.PackRR(c.SVCB("a.example.", 60), packed, 0, nil, false)
	if err != nil {
		f.Fatal(err)
	}
	const header = len("\x07_mhsctp\x01a\x07example\x00") + 10
	f.Add(packed[header:n])
	f.Add([]byte("\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16-1 {
			return
		}
		wire := append(append([]byte(nil), packed[:header]...), data...)
		binary.BigEndian.PutUint16(wire[header-2:], uint16(len(data)))
		rr, _, err := dns.UnpackRR(wire, 0)
		if svcb, ok := rr.(*dns.SVCB); err == nil && ok && svcb.Priority > 0 {
			checkSVCB(t, svcb)
		}
	})
}

// checkSVCB reads a record and checks what may come of it.
func checkSVCB(t *testing.T, rr *dns.SVCB) {
	c, err := parseSVCB(rr, "a.example.")
	if err != nil {
		return
	}
	if _, err := ParseName(string(c.Target)); err != nil || !portAllowed(c.UDPPort) || c.Version != capabilityVersion || len(c.SPKI) > 2*maxSPKI || len(c.Hints) > maxLocators {
		t.Errorf("%+v, %v", c, err)
	}
	if len(c.SPKI) > 0 && c.Flags&FlagTLSRequired == 0 {
		t.Errorf("keys that nobody demands: %+v", c)
	}
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
		for _, qtype := range []uint16{dns.TypeSVCB, dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT, dns.TypeSRV} {
			a := r.digest(question{"_mhsctp.a.example.", qtype}, m, Upstream{}, ChanPlain, nil)
			hold := time.Until(a.expire)
			if len(a.records) > maxRecords || (len(a.records) == 0) != (a.err != nil) || hold > maxTTL {
				t.Errorf("%d records for %v, %v", len(a.records), hold, a.err)
			}
			s := r.assemble("_mhsctp.a.example.", origin{}, a)
			for _, l := range s.Locators {
				if len(s.Locators) > maxLocators || s.filters.reject(l.Addr, origin{names: []Name{s.Name}}) != "" {
					t.Errorf("%v of %d", l, len(s.Locators))
				}
			}
			for _, rr := range a.records {
				switch rr := rr.(type) {
				case *dns.SVCB:
					if rr.Priority > 0 {
						checkSVCB(t, rr)
					}
				case *dns.SRV:
					if c, err := parseSRV(rr); err == nil && (c.UDPPort != 0 || c.SCTPPort == 0) {
						t.Errorf("%+v", c)
					}
				}
			}
		}
	})
}

// N30: what is wrong in the ways that people and attackers get things wrong is
// refused, by each reader.
func TestN30Malformed(t *testing.T) {
	for text, wrong := range map[string]bool{
		"v=mh1 udp=9899": false, "v=mh1": false, "v=mh1 new=1": false, "v=mh1 udp=x": true, "v=mh1 udp=65536": true, "v=mh1 udp=53": true, "v=mh1 f=256": true, "v=mh1 udp": true, "v=mh1 udp=-1": true,
	} {
		if _, ours, err := parseTXT(text, "a.example."); !ours || (err != nil) != wrong {
			t.Errorf("N30 TXT %q: %v", text, err)
		}
	}
	for text, wrong := range map[string]bool{
		`1 h port=9899 key65280="\001\003"`: false, `1 . key65280="\001\003"`: false, `1 h key65280="\001\003" key65281="\019\136"`: false,
		`1 h port=9899`: true, `1 h key65280="\002\003"`: true, `1 h key65280="\001"`: true, `1 h port=0 key65280="\001\003"`: true, `1 h port=1900 key65280="\001\003"`: true,
		`1 h key65280="\001\003" key65281="\019"`: true, `1 h key65280="\001\003" key65282="short"`: true, `1 h key65280="\001\003" key9="x" mandatory=key9`: true,
		`1 localhost. key65280="\001\003"`: true, `1 -. key65280="\001\003"`: true, `1 h alpn=h2 mandatory=alpn key65280="\001\003"`: true,
	} {
		rr, err := dns.NewRR("$ORIGIN example.\n_mhsctp.a 60 IN SVCB " + text)
		if err != nil {
			t.Fatalf("N30 SVCB %s: %v", text, err)
		}
		if _, err := parseSVCB(rr.(*dns.SVCB), "a.example."); (err != nil) != wrong {
			t.Errorf("N30 SVCB %s: %v", text, err)
		}
	}
	for text, wrong := range map[string]bool{"0 0 5000 h.example.": false, "0 0 5000 .": true, "0 0 0 h.example.": true} {
		rr, err := dns.NewRR("_mhsctp._sctp.a.example. 60 IN SRV " + text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseSRV(rr.(*dns.SRV)); (err != nil) != wrong {
			t.Errorf("N30 SRV %s: %v", text, err)
		}
	}
	for text, wrong := range map[string]bool{
		"h.example 9.0.0.1": false, "h.example udp=9900 9.0.0.1,1,2 # why": false, "h.example merge": false, "deny 9.0.0.0/8 2a00::/16": false,
		"h.example": true, "h.example 9.0.0.1,x": true, "h.example 9.0.0.1,1,2,3": true, "h.example fe80::1%eth0": true, "h.example ver=256 9.0.0.1": true, "h.example spki=AAAA 9.0.0.1": true,
		"h.example color=red 9.0.0.1": true, "localhost 9.0.0.1": true, "deny": true, "deny 9.0.0.1": true, "zone public h.example 10.0.0.0/8": true, "zone private h.example": true,
		"h.example" + strings.Repeat(" 9.0.0.1", maxLocators+1): true,
	} {
		if err := newStatic().parse(strings.NewReader(text), "hosts"); (err != nil) != wrong {
			t.Errorf("N30 hosts %q: %v", text, err)
		}
	}
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
