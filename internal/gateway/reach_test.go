package gateway

import (
	"net/netip"
	"testing"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/egress"
	"github.com/sctpmh/mh/tcpemu"
)

func testGateway(t *testing.T) *gateway {
	t.Helper()
	destination := func(s string) (d config.Destination) {
		if err := d.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	cfg := &config.Gateway{Services: []config.Service{
		{Port: 80, Target: "www.example.net:8080"},
		{Port: 21, Target: "192.168.1.5:21"},
		{Port: 22, Target: "192.168.1.6:22"},
	}}
	cfg.Name = "gw.example.net"
	return &gateway{cfg: cfg, policy: egress.Policy{
		Allow: []config.Destination{destination("192.168.1.5:40000-40099"), destination("192.168.1.0/24:50000")},
		Deny:  []config.Destination{destination("192.168.1.5:50000"), destination("*:40050")},
		Own:   func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("9.0.0.1")} },
	}}
}

// A port without a service leads where egress allows it and nowhere else.
func TestServerOfPort(t *testing.T) {
	g := testGateway(t)
	for port, want := range map[uint16]string{40000: "192.168.1.5", 40099: "192.168.1.5", 50000: "192.168.1.6", 40050: "invalid IP", 40100: "invalid IP", 22: "invalid IP", 8080: "invalid IP"} {
		if got := g.server(port).String(); got != want {
			t.Errorf("port %d is at %s, want %s", port, got, want)
		}
	}
}

// Whatever a peer calls the gateway, its services are meant.
func TestMeansUs(t *testing.T) {
	g := testGateway(t)
	addr := netip.MustParseAddr
	for _, test := range []struct {
		t    tcpemu.Target
		want bool
	}{
		{tcpemu.Target{}, true},
		{tcpemu.Target{Name: "GW.example.net"}, true},
		{tcpemu.Target{Name: "www.example.net"}, false},
		{tcpemu.Target{Addr: addr("9.0.0.1")}, true},
		{tcpemu.Target{Addr: addr("::ffff:9.0.0.1")}, true},
		{tcpemu.Target{Addr: addr("9.0.0.2")}, false},
		{tcpemu.Target{Addr: addr("127.0.0.1")}, false},
	} {
		if got := g.meansUs(test.t); got != test.want {
			t.Errorf("%v: %v", test.t, got)
		}
	}
	g.cfg.Name = ""
	if g.meansUs(tcpemu.Target{Name: "www.example.net"}) {
		t.Error("a gateway without a name is every name")
	}
}
