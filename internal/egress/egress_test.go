package egress

import (
	"net/netip"
	"testing"

	"github.com/sctpmh/mh/internal/config"
)

func destinations(t *testing.T, s ...string) (out []config.Destination) {
	t.Helper()
	for _, x := range s {
		var d config.Destination
		if err := d.UnmarshalText([]byte(x)); err != nil {
			t.Fatal(err)
		}
		out = append(out, d)
	}
	return out
}

func TestCheck(t *testing.T) {
	p := &Policy{
		Allow: destinations(t, "*:443", "10.1.0.0/16:22", "*.example.net:80"),
		Deny:  destinations(t, "203.0.113.0/24:*"),
		Own:   func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("9.9.9.9")} },
	}
	for _, test := range []struct {
		name, addr string
		ok         bool
	}{
		{"", "9.0.0.1:443", true},
		{"", "9.0.0.1:444", false},
		{"", "203.0.113.5:443", false},
		{"www.example.net", "9.0.0.1:80", true},
		{"www.example.com", "9.0.0.1:80", false},
		{"", "10.1.2.3:22", true},
		{"", "10.2.2.3:443", false},
		// A name must not lead inside.
		{"www.example.net", "127.0.0.1:80", false},
		{"www.example.net", "10.1.2.3:80", false},
		{"", "127.0.0.1:443", false},
		{"", "169.254.169.254:443", false},
		{"", "[::1]:443", false},
		{"", "[fe80::1]:443", false},
		{"", "[::ffff:127.0.0.1]:443", false},
		{"", "100.64.0.1:443", false},
		{"", "9.9.9.9:443", false},
		{"", "0.0.0.0:443", false},
	} {
		if err := p.Check(test.name, netip.MustParseAddrPort(test.addr)); (err == nil) != test.ok {
			t.Errorf("%s at %s: %v, want allowed %v", test.name, test.addr, err, test.ok)
		}
	}
	for _, test := range []struct {
		allow, addr string
		ok          bool
	}{
		// An IPv4 host in the guise of IPv6 is judged as what it is.
		{"*:443", "[64:ff9b::9.0.0.1]:443", true},
		{"*:443", "[64:ff9b::10.0.0.1]:443", false},
		{"*:443", "[64:ff9b:1::169.254.169.254]:443", false},
		{"*:443", "[2002:7f00:1::1]:443", false},
		{"*:443", "[2002:900:1::1]:443", true},
		{"*:443", "[2001:0:900:1::f5ff:fffe]:443", false}, // Teredo of 10.0.0.1
		{"*:443", "[::10.0.0.1]:443", false},
		{"*:443", "[::ffff:10.0.0.1]:443", false},
		{"*:443", "[64:ff9b::9.9.9.9]:443", false},     // the gateway's own
		{"*:443", "[64:ff9b::203.0.113.5]:443", false}, // denied
		{"64:ff9b::/96:443", "[64:ff9b::9.0.0.1]:443", true},
		{"64:ff9b::/96:443", "[64:ff9b::10.0.0.1]:443", false},
		{"10.0.0.0/8:443", "[64:ff9b::10.0.0.1]:443", true},
		{"10.0.0.0/8:443", "[::ffff:10.0.0.1]:443", true},
		{"fd00:ec2::/64:80", "[fd00:ec2::254]:80", true}, // named
		{"*:80", "[fd00:ec2::254]:80", false},
		{"*:80", "100.100.100.200:80", false},
	} {
		p.Allow = destinations(t, test.allow)
		if err := p.Check("", netip.MustParseAddrPort(test.addr)); (err == nil) != test.ok {
			t.Errorf("%s where %s is allowed: %v, want allowed %v", test.addr, test.allow, err, test.ok)
		}
	}
	p.Allow = destinations(t, "127.0.0.1:8080")
	if err := p.Check("", netip.MustParseAddrPort("127.0.0.1:8080")); err != nil {
		t.Errorf("loopback that is named: %v", err)
	}
	if err := (&Policy{}).Check("", netip.MustParseAddrPort("9.0.0.1:443")); err == nil {
		t.Error("an empty policy allows something")
	}
}

func TestPeers(t *testing.T) {
	peer := func(s string) (p config.Peer) {
		if err := p.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := &Policy{Peers: []config.Peer{peer("laptop.example.net"), peer("192.0.2.0/24")}}
	for _, test := range []struct {
		name, from string
		ok         bool
	}{
		{"laptop.example.net", "9.0.0.1", true},
		{"other.example.net", "9.0.0.1", false},
		{"", "192.0.2.7", true},
		{"", "9.0.0.1", false},
	} {
		if err := p.AllowsPeer(test.name, netip.MustParseAddr(test.from)); (err == nil) != test.ok {
			t.Errorf("%q from %s: %v, want allowed %v", test.name, test.from, err, test.ok)
		}
	}
	if (&Policy{}).AllowsPeer("laptop.example.net", netip.MustParseAddr("9.0.0.1")) == nil {
		t.Error("egress without peers is on")
	}
}
