package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/publish"
)

const printed = `gw.example.net. 300 IN A 9.0.0.11
gw.example.net. 300 IN AAAA 2a00:b::11
_mhsctp.gw.example.net. 300 IN SVCB 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001" key65281="\019\136"

; For each name whose servers are behind the gateway, here www:
; _mhsctp.www 300 IN SVCB 1 gw.example.net. mandatory="key65280" port="9899" key65280="\001\001" key65281="\019\136"

; Reverse records, which the providers enter:
; 11.0.0.9.in-addr.arpa. 300 IN PTR gw.example.net.
; 1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.0.0.0.0.0.a.2.ip6.arpa. 300 IN PTR gw.example.net.
`

// What is printed can be put into a zone file as it is, and has nothing that is
// of another zone or stands for something else.
func TestRecordsAreAZoneFile(t *testing.T) {
	const n = "gw.example.net."
	want := &publish.Want{Name: n, Cap: publish.Capability(n, 9899), TTL: publish.SettledTTL,
		Addrs: []netip.Addr{netip.MustParseAddr("9.0.0.11"), netip.MustParseAddr("2a00:b::11")}}
	var out bytes.Buffer
	if err := printRecords(&out, want); err != nil {
		t.Fatal(err)
	}
	if out.String() != printed {
		t.Errorf("printed:\n%s\nwant:\n%s", out.String(), printed)
	}
	z := dns.NewZoneParser(&out, "", "gw.toml")
	z.SetIncludeAllowed(false)
	var types []string
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		if !dns.IsSubDomain(n, rr.Header().Name) {
			t.Errorf("%v is of another zone", rr)
		}
		types = append(types, dns.TypeToString[rr.Header().Rrtype])
	}
	if err := z.Err(); err != nil {
		t.Error(err)
	}
	if fmt.Sprint(types) != "[A AAAA SVCB]" {
		t.Errorf("records of types %v", types)
	}
}

// What is missing for a second path is said, and only where something is.
func TestAddressesAreSaid(t *testing.T) {
	one, two := netip.MustParseAddr("9.0.0.11"), netip.MustParseAddr("9.0.0.12")
	for _, test := range []struct {
		addrs publish.Addresses
		want  string
	}{
		{publish.Addresses{Addrs: []netip.Addr{one, two}}, ""},
		{publish.Addresses{Addrs: []netip.Addr{one}}, "One address only is among them, and a second path takes one address of each uplink."},
		{publish.Addresses{Left: []publish.Left{{Addr: one, Why: "private"}}}, "9.0.0.11 is left out: private\nNo address is among them, and a second path"},
	} {
		var out strings.Builder
		printAddresses(&out, test.addrs)
		if test.want == "" && out.Len() > 0 || !strings.HasPrefix(out.String(), test.want) {
			t.Errorf("%v: %q\nwant %q", test.addrs, out.String(), test.want)
		}
	}
}
