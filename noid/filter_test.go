package noid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// N22: what no locator may be, whoever says it, and what some names and some
// paths allow.
func TestN22FilterTable(t *testing.T) {
	zone, err := NewZone("corp.example", mustPrefixes("10.0.0.0/8", "fd00::/8", "169.254.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	f := &filters{zones: []Zone{zone}, deny: mustPrefixes("9.66.0.0/16")}
	lab := &filters{lab: true}
	in, out := []Name{"h.corp.example."}, []Name{"h.example.net."}
	for _, test := range []struct {
		addr                string
		plain, zone, labels bool // taken of a public name, of one in the zone, in a lab
	}{
		{"9.0.0.1", true, true, true},
		{"2a00:a::1", true, true, true},
		{"0.0.0.0", false, false, false},
		{"::", false, false, false},
		{"0.1.2.3", false, false, false},
		{"127.0.0.1", false, false, true},
		{"::1", false, false, true},
		{"224.0.0.1", false, false, false},
		{"ff02::1", false, false, false},
		{"255.255.255.255", false, false, false},
		{"240.0.0.1", false, false, false},
		{"192.0.2.1", false, false, true},
		{"198.51.100.1", false, false, true},
		{"203.0.113.1", false, false, true},
		{"2001:db8::1", false, false, true},
		{"3fff::1", false, false, true},
		{"::9.0.0.1", false, false, false},
		{"::ffff:127.0.0.1", false, false, true},
		{"::ffff:224.0.0.1", false, false, false},
		{"::ffff:10.0.0.1", false, true, true},
		{"10.0.0.1", false, true, true},
		{"172.16.0.1", false, false, true},
		{"192.168.0.1", false, false, true},
		{"100.64.0.1", false, false, true},
		{"169.254.169.254", false, true, true},
		{"fd00::1", false, true, true},
		{"fc00::1", false, false, true},
		{"fe80::1", false, false, true},
		{"fec0::1", false, false, false},
		{"2002:0a00:0001::1", false, false, true},
		{"2002:7f00:0001::1", false, false, true},
		{"2002:0900:0001::1", true, true, true},
		{"2001:0:0900:0001:0:0:f5ff:fffe", false, false, true}, // Teredo of 10.0.0.1
		{"64:ff9b::10.0.0.1", false, false, true},
		{"64:ff9b:1::127.0.0.1", false, false, true},
		{"64:ff9b::9.0.0.1", true, true, true},
		{"64:ff9b::192.0.2.1", false, false, true},
		{"64:ff9b::240.0.0.1", false, false, false},
		{"64:ff9b::9.66.0.1", false, false, true},
		{"64:ff9b::100.100.100.200", false, false, true},
		{"2002:c633:6401::1", false, false, true},
		{"2002:0942:0001::1", false, false, true}, // 9.66.0.1
		{"2002:e000:0001::1", false, false, false},
		{"2001:0:0a00:0001:0:0:f6ff:fffe", true, true, true}, // Teredo of 9.0.0.1, whoever serves it
		{"fd00:ec2::254", false, true, true},
		{"100.100.100.200", false, false, true},
		{"100::1", false, false, false},
		{"9.66.0.1", false, false, true},
	} {
		a := addr(test.addr).Unmap()
		if got := f.reject(a, origin{names: out}); (got == "") != test.plain {
			t.Errorf("N22 %v of a public name: %q", a, got)
		}
		if got := f.reject(a, origin{names: in}); (got == "") != test.zone {
			t.Errorf("N22 %v of a name in a private zone: %q", a, got)
		}
		if got := lab.reject(a, origin{names: out}); (got == "") != test.labels {
			t.Errorf("N22 %v in a lab: %q", a, got)
		}
	}
	for _, test := range []struct {
		path, addr string
		want       bool
	}{
		{"10.0.0.1", "10.9.9.9", true},
		{"10.0.0.1", "192.168.0.1", false},
		{"9.0.0.1", "10.0.0.1", false},
		{"fd00::1", "fd01::1", true},
		{"169.254.0.1", "169.254.0.2", true},
		{"169.254.0.1", "169.254.169.254", false},
		{"fd00::1", "fd00:ec2::254", false},
		{"fd00::1", "fd00:ec2::253", true},
		{"100.64.0.1", "100.100.100.200", false},
		{"100.64.0.1", "100.100.100.201", true},
		{"10.0.0.1", "64:ff9b::10.0.0.2", false},
		{"10.0.0.1", "2002:a00:2::1", false},
		{"fe80::1%eth0", "fe80::2%eth0", true},
		{"fe80::1%eth0", "fe80::2%eth1", false},
		{"fe80::1%eth0", "fe80::2", false},
		{"2a00::1", "fe80::2", false},
	} {
		if got := f.reject(addr(test.addr), origin{names: out, path: addr(test.path)}); (got == "") != test.want {
			t.Errorf("N22 %s of a peer at %s: %q", test.addr, test.path, got)
		}
	}
	for port, want := range map[uint16]bool{9899: true, 1024: true, 65535: true, 0: false, 53: false, 123: false, 161: false, 1023: false, 1900: false, 5353: false, 11211: false} {
		if portAllowed(port) != want {
			t.Errorf("N22 UDP port %d is allowed: %v", port, !want)
		}
	}
}

// N22: which IPv4 host an address leads to.
func TestN22Carried(t *testing.T) {
	for a, want := range map[string]string{
		"10.0.0.1": "", "2a00::10.0.0.1": "", "fd00::1": "", "::1": "", "::": "", "fe80::1%eth0": "",
		"::ffff:10.0.0.1": "10.0.0.1", "::10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1%eth0": "10.0.0.1",
		"64:ff9b::10.0.0.1": "10.0.0.1", "64:ff9b:1::10.0.0.1": "10.0.0.1", "64:ff9b:2::10.0.0.1": "",
		"2002:a00:1::1": "10.0.0.1", "2003:a00:1::1": "",
		"2001:0:900:1::f5ff:fffe": "10.0.0.1", "2001:1:900:1::f5ff:fffe": "",
	} {
		got := ""
		if v4, ok := Carried(addr(a)); ok {
			got = v4.String()
		}
		if got != want {
			t.Errorf("N22 %s leads to %q, want %q", a, got, want)
		}
	}
	if _, ok := Carried(netip.Addr{}); ok {
		t.Error("N22 no address leads somewhere")
	}
}

// N22: an alias leads neither into a private zone nor out of it, and a peer on
// the same private network is found by a public name.
func TestN22Aliases(t *testing.T) {
	z, err := NewZone("corp.example", mustPrefixes("10.0.0.0/8"))
	if err != nil {
		t.Fatal(err)
	}
	const records = "evil.example.net. 60 IN CNAME db.corp.example.\ndb.corp.example. 60 IN A 10.0.0.1\nout.corp.example. 60 IN CNAME far.example.net.\nfar.example.net. 60 IN A 10.0.0.2\nin.corp.example. 60 IN CNAME db.corp.example.\nlan.example.net. 60 IN A 10.0.0.3\nlan.example.net. 60 IN A 192.168.0.3\n"
	inMemory(t, Config{Zones: []Zone{z}}, records, func(w *bubble) {
		for _, n := range []string{"evil.example.net", "out.corp.example"} {
			if _, err := w.Resolve(w.t.Context(), n, 80); !errors.Is(err, ErrPolicy) {
				t.Errorf("N22 %s: %v", n, err)
			}
		}
		want(t, "N22 within", ips(w.resolve("in.corp.example").Legacy.Locators), "10.0.0.1")
		s, err := w.Verify(w.t.Context(), addr("10.0.0.3"), "lan.example.net")
		if err != nil {
			t.Fatal(err)
		}
		want(t, "N22 a peer on our network", ips(s.Locators), "10.0.0.3")
	})
}

// N22: no record of a public name leads to a host in a private zone, whatever
// kind of record.
func TestN22Hosts(t *testing.T) {
	z, err := NewZone("corp.example", mustPrefixes("10.0.0.0/8"))
	if err != nil {
		t.Fatal(err)
	}
	const inside = `
evil.example.net. 60 IN A 9.0.0.1
h.corp.example. 60 IN A 10.0.0.1
_mhsctp.h.corp.example. 60 IN SVCB 1 h.corp.example. port=9899 ipv4hint=10.0.0.1 key65280="\001\003"
`
	for _, record := range []string{
		`_mhsctp.evil.example.net. 60 IN SVCB 1 h.corp.example. port=9899 ipv4hint=10.0.0.1 key65280="\001\003"`,
		`_mhsctp.evil.example.net. 60 IN SVCB 0 _mhsctp.h.corp.example.`,
		`_mhsctp.evil.example.net. 60 IN CNAME _mhsctp.h.corp.example.`,
		`_mhsctp._sctp.evil.example.net. 60 IN SRV 0 0 5000 h.corp.example.`,
	} {
		inMemory(t, Config{Zones: []Zone{z}, Native: true}, inside+record+"\n", func(w *bubble) {
			for c := range w.Stream(w.t.Context(), "evil.example.net", 80) {
				if c.Set != nil && c.Set.Cap != nil {
					t.Errorf("N22 %s: leads to %s", record, ips(c.Set.Locators))
				}
			}
			if r := w.resolve("h.corp.example"); len(r.MH) != 1 {
				t.Errorf("N22 within: %v", r.Partial)
			}
			if s, err := w.Verify(w.t.Context(), addr("9.0.0.2"), "evil.example.net"); err == nil {
				t.Errorf("N22 %s: ties a peer to %s", record, s.Name)
			}
		})
	}
}

// N22: we are no peer of ours.
func TestN22Own(t *testing.T) {
	own := func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("9.0.0.1:9899"), netip.MustParseAddrPort("9.1.0.1:9900")}
	}
	inMemory(t, Config{Own: own}, host, func(w *bubble) {
		r := w.resolve("h.example.net")
		want(t, "N22 without our own", ips(r.MH[0].Locators), "2a00:a::1 9.1.0.1")
		want(t, "N22 plain TCP to ourselves", ips(r.Legacy.Locators), "2a00:a::1 9.0.0.1 9.1.0.1")
	})
}

// N23: of very many addresses few are taken, of all families and networks.
func TestN23Cap(t *testing.T) {
	var z strings.Builder
	for i := range 200 {
		fmt.Fprintf(&z, "h.example.net. 60 IN AAAA 2a00:a::%x\n", i+1)
	}
	z.WriteString("h.example.net. 60 IN A 9.0.0.1\nh.example.net. 60 IN A 9.1.0.1\n")
	inMemory(t, Config{}, z.String(), func(w *bubble) {
		s := w.resolve("h.example.net").Legacy
		if len(s.Locators) != maxLocators || len(s.Dropped) > maxDropped || !s.Contains(addr("9.0.0.1")) || !s.Contains(addr("9.1.0.1")) {
			t.Errorf("N23 %v, %d dropped", ips(s.Locators), len(s.Dropped))
		}
	})
}
