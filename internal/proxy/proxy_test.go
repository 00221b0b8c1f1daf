package proxy

import (
	"net/netip"
	"testing"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/socks5"
)

func TestRules(t *testing.T) {
	p := &proxy{cfg: &config.Socks{Rules: []config.Rule{
		{Port: []config.PortRange{{First: 119, Last: 119}}, Action: "via"},
		{Name: []config.Pattern{"*.example.net"}, Action: "mh"},
		{CIDR: []config.Network{{Prefix: netip.MustParsePrefix("10.0.0.0/8")}}, Action: "direct"},
		{Client: []config.Network{{Prefix: netip.MustParsePrefix("192.0.2.0/24")}}, Action: "deny"},
	}}}
	for _, test := range []struct {
		r    socks5.Request
		want config.Action
	}{
		{socks5.Request{Name: "news.example.net", Port: 119}, "via"},
		{socks5.Request{Name: "www.example.net", Port: 80}, "mh"},
		{socks5.Request{Addr: netip.MustParseAddr("10.1.1.1"), Port: 80}, "direct"},
		{socks5.Request{Name: "x.example.org", Port: 80, Client: netip.MustParseAddrPort("192.0.2.9:1")}, "deny"},
		{socks5.Request{Name: "x.example.org", Port: 80}, "auto"},
	} {
		if got := p.rule(test.r); got != test.want {
			t.Errorf("%+v: %s, want %s", test.r, got, test.want)
		}
	}
}

func TestOpenProxyIsRefused(t *testing.T) {
	for listen, ok := range map[config.HostPort]bool{"127.0.0.1:1080": true, "[::1]:1080": true, "localhost:1080": true, "0.0.0.0:1080": false, ":1080": false, "192.0.2.1:1080": false} {
		if err := checkListen(&config.Socks{Listen: []config.HostPort{listen}}); (err == nil) != ok {
			t.Errorf("%s: %v", listen, err)
		}
	}
}
