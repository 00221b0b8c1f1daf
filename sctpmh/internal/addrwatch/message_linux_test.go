package addrwatch

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attr and the messages below are written by the library, so that ours is not
// read by what has written it.
func attr(kind int, value ...byte) *nl.RtAttr { return nl.NewRtAttr(kind, value) }

func number32(n uint32) []byte { return native.AppendUint32(nil, n) }

// body is a message without its header.
func body(head []byte, attrs ...*nl.RtAttr) []byte {
	for _, a := range attrs {
		head = append(head, a.Serialize()...)
	}
	return head
}

func empty() snapshot { return snapshot{links: map[int]link{}, exits: map[uplink]bool{}} }

func TestLinkMessages(t *testing.T) {
	message := func(flags uint32, attrs ...*nl.RtAttr) []byte {
		m := nl.NewIfInfomsg(unix.AF_UNSPEC)
		m.Index, m.Flags = 7, flags
		return body(m.Serialize(), attrs...)
	}
	state := func(s netlink.LinkOperState) *nl.RtAttr { return attr(unix.IFLA_OPERSTATE, byte(s)) }
	for _, test := range []struct {
		name string
		body []byte
		want link
	}{
		{"up", message(unix.IFF_UP, attr(unix.IFLA_IFNAME, []byte("eth0\x00")...), state(netlink.OperUp)), link{up: true, carrier: true}},
		{"unknown", message(unix.IFF_UP|unix.IFF_LOOPBACK, state(netlink.OperUnknown)), link{up: true, carrier: true, loopback: true}},
		{"not said", message(unix.IFF_UP), link{up: true, carrier: true}},
		{"down", message(unix.IFF_UP, state(netlink.OperDown)), link{up: true}},
		{"the link below is down", message(unix.IFF_UP, state(netlink.OperLowerLayerDown)), link{up: true}},
		{"switched off", message(0, state(netlink.OperDown)), link{}},
	} {
		s := empty()
		if ok := s.addLink(test.body); !ok || s.links[7] != test.want || len(s.links) != 1 {
			t.Errorf("%s: %+v, %v, want %+v", test.name, s.links, ok, test.want)
		}
	}
}

func TestAddressMessages(t *testing.T) {
	message := func(family, bits, flags uint8, attrs ...*nl.RtAttr) []byte {
		m := nl.NewIfAddrmsg(int(family))
		m.Prefixlen, m.Flags, m.Index = bits, flags, 7
		return body(m.Serialize(), attrs...)
	}
	of := func(kind int, a string) *nl.RtAttr { return attr(kind, netip.MustParseAddr(a).AsSlice()...) }
	at := func(prefix string, held bool) []address {
		return []address{{prefix: netip.MustParsePrefix(prefix), link: 7, held: held}}
	}
	brief := func(prefix string) []address {
		return []address{{prefix: netip.MustParsePrefix(prefix), link: 7, brief: true}}
	}
	for _, test := range []struct {
		name string
		body []byte
		want []address
	}{
		{"IPv4", message(unix.AF_INET, 24, 0, of(unix.IFA_ADDRESS, "10.0.0.1"), of(unix.IFA_LOCAL, "10.0.0.1")), at("10.0.0.1/24", false)},
		{"IPv4 with a peer", message(unix.AF_INET, 24, 0, of(unix.IFA_ADDRESS, "10.0.0.2"), of(unix.IFA_LOCAL, "10.0.0.1")), at("10.0.0.1/32", false)},
		{"IPv6", message(unix.AF_INET6, 64, 0, of(unix.IFA_ADDRESS, "fd00::1")), at("fd00::1/64", false)},
		{"IPv6 with a peer", message(unix.AF_INET6, 64, 0, of(unix.IFA_LOCAL, "fd00::1"), of(unix.IFA_ADDRESS, "fd00::2")), at("fd00::1/128", false)},
		{"tentative", message(unix.AF_INET6, 64, unix.IFA_F_TENTATIVE, of(unix.IFA_ADDRESS, "fd00::1")), at("fd00::1/64", true)},
		{"duplicate", message(unix.AF_INET6, 64, 0, of(unix.IFA_ADDRESS, "fd00::1"), attr(unix.IFA_FLAGS, number32(unix.IFA_F_DADFAILED|unix.IFA_F_NOPREFIXROUTE)...)), at("fd00::1/64", true)},
		{"all flags are in the attribute", message(unix.AF_INET6, 64, unix.IFA_F_TENTATIVE, of(unix.IFA_ADDRESS, "fd00::1"), attr(unix.IFA_FLAGS, number32(0)...)), at("fd00::1/64", false)},
		{"temporary", message(unix.AF_INET6, 64, unix.IFA_F_TEMPORARY, of(unix.IFA_ADDRESS, "fd00::1")), brief("fd00::1/64")},
		{"deprecated", message(unix.AF_INET6, 64, 0, of(unix.IFA_ADDRESS, "fd00::1"), attr(unix.IFA_FLAGS, number32(unix.IFA_F_DEPRECATED)...)), brief("fd00::1/64")},
		{"secondary, which has the number of temporary", message(unix.AF_INET, 24, unix.IFA_F_SECONDARY, of(unix.IFA_LOCAL, "10.0.0.1"), of(unix.IFA_ADDRESS, "10.0.0.1")), at("10.0.0.1/24", false)},
		{"no detection in IPv4", message(unix.AF_INET, 8, unix.IFA_F_TENTATIVE, of(unix.IFA_LOCAL, "127.0.0.1"), of(unix.IFA_ADDRESS, "127.0.0.1")), at("127.0.0.1/8", false)},
		{"no IP", message(unix.AF_PHONET, 0, 0, attr(unix.IFA_LOCAL, 0x6c)), nil},
		{"nothing", message(unix.AF_INET, 24, 0), nil},
	} {
		s := empty()
		if ok := s.addAddress(test.body); !ok || !slices.Equal(s.addrs, test.want) {
			t.Errorf("%s: %v, %v, want %v", test.name, s.addrs, ok, test.want)
		}
	}
}

func TestRouteMessages(t *testing.T) {
	message := func(family, bits, kind uint8, flags uint32, attrs ...*nl.RtAttr) []byte {
		m := nl.RtMsg{RtMsg: unix.RtMsg{Family: family, Dst_len: bits, Type: kind, Flags: flags}}
		return body(m.Serialize(), attrs...)
	}
	v4 := func(bits uint8, attrs ...*nl.RtAttr) []byte {
		return message(unix.AF_INET, bits, unix.RTN_UNICAST, 0, attrs...)
	}
	over := func(link uint32) *nl.RtAttr { return attr(unix.RTA_OIF, number32(link)...) }
	gw, via := attr(unix.RTA_GATEWAY, 10, 0, 0, 1), attr(unix.RTA_VIA, append(native.AppendUint16(nil, unix.AF_INET6), make([]byte, 16)...)...)
	hop := func(link int32, attrs ...nl.NetlinkRequestData) []byte {
		return (&nl.RtNexthop{RtNexthop: unix.RtNexthop{Ifindex: link}, Children: attrs}).Serialize()
	}
	hops := func(all ...[]byte) *nl.RtAttr { return attr(unix.RTA_MULTIPATH, slices.Concat(all...)...) }
	for _, test := range []struct {
		name string
		body []byte
		want []uplink
	}{
		{"subnet", v4(8, over(2)), nil},
		{"by a gateway", v4(8, over(2), gw), []uplink{{2, false}}},
		{"by a gateway of the other family", v4(8, via, over(2)), []uplink{{2, false}}},
		{"everywhere over a tunnel", v4(0, over(2)), []uplink{{2, false}}},
		{"everywhere, IPv6", message(unix.AF_INET6, 0, unix.RTN_UNICAST, 0, over(2)), []uplink{{2, true}}},
		{"everywhere is unreachable", message(unix.AF_INET6, 0, unix.RTN_UNREACHABLE, 0, over(1)), nil},
		{"several hops", v4(8, hops(hop(2, gw), hop(3), hop(4, via))), []uplink{{2, false}, {4, false}}},
		{"several hops to everywhere", v4(0, hops(hop(2, gw), hop(3))), []uplink{{2, false}, {3, false}}},
		{"remembered of one destination", message(unix.AF_INET, 32, unix.RTN_UNICAST, unix.RTM_F_CLONED, over(2), gw), nil},
		{"multicast routing", message(128 /* RTNL_FAMILY_IPMR */, 8, unix.RTN_UNICAST, 0, over(2), gw), nil},
	} {
		s, want := empty(), map[uplink]bool{}
		for _, up := range test.want {
			want[up] = true
		}
		if ok := s.addRoute(test.body); !ok || !equal(s.exits, want) {
			t.Errorf("%s: %v, %v, want %v", test.name, s.exits, ok, test.want)
		}
	}
}

func equal(a, b map[uplink]bool) bool {
	for up := range b {
		if !a[up] {
			return false
		}
	}
	return len(a) == len(b)
}

// What is cut short is malformed, wherever it is cut, but between attributes.
func TestTruncatedMessages(t *testing.T) {
	m := nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Type: unix.RTN_UNICAST}}
	hop := nl.RtNexthop{RtNexthop: unix.RtNexthop{Ifindex: 2}, Children: []nl.NetlinkRequestData{attr(unix.RTA_GATEWAY, 10, 0, 0, 1)}}
	b := body(m.Serialize(), attr(unix.RTA_DST, 10, 0, 0, 0), attr(unix.RTA_MULTIPATH, hop.Serialize()...))
	whole := []int{unix.SizeofRtMsg, unix.SizeofRtMsg + 8, len(b)}
	for n := range len(b) + 1 {
		s := empty()
		if ok := s.addRoute(b[:n:n]); ok != slices.Contains(whole, n) {
			t.Errorf("the first %d of %d octets: %v", n, len(b), ok)
		}
	}
	for _, attrs := range [][]byte{{3, 0, 1, 0}, {0, 0, 1, 0}, {5, 0, 1, 0}, {0xFF, 0xFF, 1, 0}, {4, 0, 1}} {
		if attributes(attrs, func(uint16, []byte) {}) {
			t.Errorf("%x: attributes whose length is wrong are taken", attrs)
		}
	}
	for _, n := range []uint32{0, 15, 21, 1 << 31, 1<<32 - 1} {
		if _, _, ok := nextMessage(append(number32(n), make([]byte, 16)...)); ok {
			t.Errorf("a message of %d octets in 20 is taken", n)
		}
	}
}

// What is read of the kernel is what an independent library reads of it.
func TestSnapshotIsTheLibrarys(t *testing.T) {
	h := newHost(t)
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		other, err := netlink.LinkByName("isp2")
		if err != nil {
			return err
		}
		subnet := &net.IPNet{IP: net.IPv4(203, 0, 113, 0), Mask: net.CIDRMask(24, 32)}
		peer := &net.IPNet{IP: net.IPv4(192, 0, 2, 2), Mask: net.CIDRMask(24, 32)}
		via := &netlink.Via{AddrFamily: unix.AF_INET6, Addr: net.ParseIP("fe80::1")}
		err = errors.Join(
			netlink.AddrAdd(dev, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 1), Mask: net.CIDRMask(32, 32)}, Peer: peer}),
			netlink.RouteAdd(&netlink.Route{Dst: subnet, MultiPath: []*netlink.NexthopInfo{{LinkIndex: dev.Attrs().Index, Via: via, Flags: unix.RTNH_F_ONLINK}, {LinkIndex: other.Attrs().Index}}}),
		)
		if err != nil {
			return err
		}
		q, err := openSocket()
		if err != nil {
			return err
		}
		defer q.Close()
		got, err := read(q)
		if err != nil {
			return err
		}
		return errors.Join(err, compareAddrs(t, got), compareLinks(t, got), compareRoutes(t, got))
	}))
}

func compareAddrs(t *testing.T, s snapshot) error {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	var want []address
	for _, a := range addrs {
		ip, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		set := func(flags int) bool { return ip.Is6() && a.Flags&flags != 0 }
		want = append(want, address{
			prefix: netip.PrefixFrom(ip, ones), link: a.LinkIndex,
			held: set(unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED), brief: set(unix.IFA_F_TEMPORARY | unix.IFA_F_DEPRECATED),
		})
	}
	if !slices.Equal(s.addrs, want) || len(want) < 9 {
		t.Errorf("addresses\n%v, want\n%v", s.addrs, want)
	}
	return err
}

func compareLinks(t *testing.T, s snapshot) error {
	links, err := netlink.LinkList()
	for _, l := range links {
		a := l.Attrs()
		want := link{
			up:       a.Flags&net.FlagUp != 0,
			carrier:  a.OperState != netlink.OperDown && a.OperState != netlink.OperLowerLayerDown,
			loopback: a.Flags&net.FlagLoopback != 0,
		}
		if s.links[a.Index] != want {
			t.Errorf("%s: %+v, want %+v", a.Name, s.links[a.Index], want)
		}
	}
	if len(s.links) != len(links) || len(links) < 3 {
		t.Errorf("%d links, want %d", len(s.links), len(links))
	}
	return err
}

func compareRoutes(t *testing.T, s snapshot) error {
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	want := map[uplink]bool{}
	for _, r := range routes {
		everywhere := r.Dst == nil
		if !everywhere {
			ones, _ := r.Dst.Mask.Size()
			everywhere = ones == 0
		}
		for _, hop := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via}) {
			if r.Type == unix.RTN_UNICAST && hop.LinkIndex != 0 && (everywhere || hop.Gw != nil || hop.Via != nil) {
				want[uplink{hop.LinkIndex, r.Family == unix.AF_INET6}] = true
			}
		}
	}
	if !equal(s.exits, want) || len(want) != 4 {
		t.Errorf("exits %v, want %v", s.exits, want)
	}
	return err
}

// FuzzMessages: no octets make the parser panic, read beyond a message or take
// what it should not. The seeds are what a kernel has answered.
func FuzzMessages(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		s := empty()
		for len(b) > 0 {
			m, rest, ok := nextMessage(b)
			if !ok {
				break
			}
			if len(m.body)+unix.SizeofNlMsghdr+len(rest) > len(b) {
				t.Fatalf("%x: more than there is", b)
			}
			s.add(m)
			b = rest
		}
		for up := range s.exits {
			if up.link == 0 {
				t.Error("an exit without a link")
			}
		}
		for _, a := range s.addrs {
			if !a.prefix.Addr().IsValid() || a.held && a.prefix.Addr().Is4() {
				t.Errorf("address %+v", a)
			}
			s.why(a.prefix.Addr(), s.exits)
		}
	})
}
