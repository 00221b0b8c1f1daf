package addrwatch

import (
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestParseLink(t *testing.T) {
	for _, test := range []struct {
		state   netlink.LinkOperState
		carrier bool
	}{
		{netlink.OperUp, true}, {netlink.OperUnknown, true}, {netlink.OperDown, false}, {netlink.OperLowerLayerDown, false},
	} {
		l := &netlink.LinkAttrs{Flags: net.FlagUp | net.FlagLoopback, OperState: test.state}
		if got, want := parseLink(l), (link{up: true, carrier: test.carrier, loopback: true}); got != want {
			t.Errorf("%v: %+v, want %+v", test.state, got, want)
		}
	}
	if got := parseLink(&netlink.LinkAttrs{OperState: netlink.OperUp}); got.up || got.loopback {
		t.Errorf("without flags: %+v", got)
	}
}

func TestExits(t *testing.T) {
	subnet := &net.IPNet{IP: net.IPv4(10, 0, 0, 0), Mask: net.CIDRMask(8, 32)}
	all6 := &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	gw := net.IPv4(10, 0, 0, 1)
	for _, test := range []struct {
		name  string
		route netlink.Route
		want  []uplink
	}{
		{"subnet", netlink.Route{LinkIndex: 2, Dst: subnet}, nil},
		{"by a gateway", netlink.Route{LinkIndex: 2, Dst: subnet, Gw: gw}, []uplink{{2, false}}},
		{"by a gateway of the other family", netlink.Route{LinkIndex: 2, Dst: subnet, Via: &netlink.Via{}}, []uplink{{2, false}}},
		{"everywhere over a tunnel", netlink.Route{LinkIndex: 2}, []uplink{{2, false}}},
		{"everywhere, IPv6", netlink.Route{LinkIndex: 2, Family: unix.AF_INET6, Dst: all6}, []uplink{{2, true}}},
		{"everywhere is unreachable", netlink.Route{LinkIndex: 1, Family: unix.AF_INET6, Dst: all6, Type: unix.RTN_UNREACHABLE}, nil},
		{"several hops", netlink.Route{Dst: subnet, MultiPath: []*netlink.NexthopInfo{{LinkIndex: 2, Gw: gw}, {LinkIndex: 3}, {LinkIndex: 4, Via: &netlink.Via{}}}}, []uplink{{2, false}, {4, false}}},
		{"several hops to everywhere", netlink.Route{MultiPath: []*netlink.NexthopInfo{{LinkIndex: 2, Gw: gw}, {LinkIndex: 3}}}, []uplink{{2, false}, {3, false}}},
		{"multicast routing", netlink.Route{LinkIndex: 2, Gw: gw, Family: 128 /* RTNL_FAMILY_IPMR */}, nil},
	} {
		if test.route.Family == 0 {
			test.route.Family = unix.AF_INET
		}
		if test.route.Type == 0 {
			test.route.Type = unix.RTN_UNICAST
		}
		if got := exits(test.route); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
