package addrwatch

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// scene is a host with loopback (link 1) and two uplinks: 2 with a route out
// for both families, 3 with none. Each change makes something else of it.
func scene(changes ...func(*snapshot)) snapshot {
	s := snapshot{
		links: map[int]link{1: {up: true, carrier: true, loopback: true}, 2: {up: true, carrier: true}, 3: {up: true, carrier: true}},
		exits: map[uplink]bool{{2, false}: true, {2, true}: true},
	}
	for i, p := range map[string]int{"127.0.0.1/8": 1, "::1/128": 1, "10.2.0.1/24": 2, "fd02::1/64": 2, "10.3.0.1/24": 3, "fd03::1/64": 3} {
		s.addrs = append(s.addrs, address{prefix: netip.MustParsePrefix(i), link: p})
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func setLink(i int, l link) func(*snapshot) { return func(s *snapshot) { s.links[i] = l } }

func without(addr string) func(*snapshot) {
	return func(s *snapshot) {
		s.addrs = slices.DeleteFunc(s.addrs, func(x address) bool { return x.prefix.Addr().String() == addr })
	}
}

func with(x address) func(*snapshot) { return func(s *snapshot) { s.addrs = append(s.addrs, x) } }

func setExit(link int, is6, leads bool) func(*snapshot) {
	return func(s *snapshot) {
		s.exits[uplink{link, is6}] = leads
		maps.DeleteFunc(s.exits, func(_ uplink, leads bool) bool { return !leads })
	}
}

func addrs(list string) (out []netip.Addr) {
	for a := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

const both = "10.2.0.1 fd02::1 "

func TestEvents(t *testing.T) {
	down2, off2 := setLink(2, link{up: false, carrier: true}), setLink(2, link{up: true})
	held := func(a string) func(*snapshot) {
		return func(s *snapshot) {
			without(a)(s)
			with(address{prefix: netip.PrefixFrom(netip.MustParseAddr(a), 64), link: 2, held: true})(s)
		}
	}
	const down4, down6 = "10.2.0.1 is unusable: ", "fd02::1 is unusable: "
	const up4, up6 = "10.2.0.1 is usable: ", "fd02::1 is usable: "
	for _, test := range []struct {
		name  string
		addrs string
		steps []snapshot
		want  string // events joined by commas, steps by bars
	}{
		{"all is well", "127.0.0.1 127.0.0.2 ::1 10.2.0.1 fd02::1 10.3.0.1 fd03::1", []snapshot{scene()}, ""},
		{"unusable at first", both + "192.0.2.1", []snapshot{scene(off2)},
			down4 + "no carrier," + down6 + "no carrier,192.0.2.1 is unusable: address removed"},
		{"nothing twice", both, []snapshot{scene(down2), scene(down2)}, down4 + "link down," + down6 + "link down|"},
		{"link down and up", both, []snapshot{scene(), scene(down2), scene()},
			"|" + down4 + "link down," + down6 + "link down|" + up4 + "link up," + up6 + "link up"},
		{"link gone", both, []snapshot{scene(), scene(func(s *snapshot) { delete(s.links, 2) })},
			"|" + down4 + "link down," + down6 + "link down"},
		{"carrier lost and back", both, []snapshot{scene(), scene(off2), scene()},
			"|" + down4 + "no carrier," + down6 + "no carrier|" + up4 + "carrier back," + up6 + "carrier back"},
		{"another link down", both, []snapshot{scene(), scene(setLink(3, link{}))}, "|"},
		{"address removed and added", both, []snapshot{scene(), scene(without("10.2.0.1")), scene()},
			"|" + down4 + "address removed|" + up4 + "address added"},
		{"address moves", both, []snapshot{scene(), scene(without("10.2.0.1"), with(address{prefix: netip.MustParsePrefix("10.2.0.1/32"), link: 3}))}, "|"},
		{"on two links, one down", both, []snapshot{scene(with(address{prefix: netip.MustParsePrefix("10.2.0.1/32"), link: 3}), down2)}, down6 + "link down"},
		{"no neighbour in the subnet is ours", "10.2.0.9", []snapshot{scene()}, "10.2.0.9 is unusable: address removed"},
		{"held from the start", both, []snapshot{scene(held("fd02::1")), scene()},
			down6 + "address held by duplicate address detection|" + up6 + "address ready"},
		{"held when it comes back", both, []snapshot{scene(), scene(without("fd02::1")), scene(held("fd02::1")), scene()},
			"|" + down6 + "address removed||" + up6 + "address ready"},
		{"route lost and back, one family", both, []snapshot{scene(), scene(setExit(2, true, false)), scene()},
			"|" + down6 + "no route|" + up6 + "route added"},
		{"never a route", "10.3.0.1", []snapshot{scene(), scene()}, "|"},
		{"a route comes later and goes", "10.3.0.1", []snapshot{scene(), scene(setExit(3, false, true)), scene()},
			"||10.3.0.1 is unusable: no route"},
		{"route comes with another's loss", both + "10.3.0.1", []snapshot{scene(), scene(setExit(2, false, false), setExit(3, false, true))},
			"|" + down4 + "no route"},
		{"routes come back after the link", both, []snapshot{scene(), scene(down2, setExit(2, false, false), setExit(2, true, false)), scene(setExit(2, false, false)), scene()},
			"|" + down4 + "link down," + down6 + "link down|" + up6 + "link up|" + up4 + "route added"},
		{"a new link of the same number", both, []snapshot{scene(), scene(func(s *snapshot) { delete(s.links, 2); clear(s.exits) }), scene(func(s *snapshot) { clear(s.exits) })},
			"|" + down4 + "link down," + down6 + "link down|" + up4 + "link up," + up6 + "link up"},
		{"as it was given", "::ffff:10.2.0.1 fd02::1%eth9", []snapshot{scene(off2)},
			"::ffff:10.2.0.1 is unusable: no carrier,fd02::1%eth9 is unusable: no carrier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			tracker := newTracker(addrs(test.addrs))
			var steps []string
			for _, s := range test.steps {
				var events []string
				for _, e := range tracker.next(s) {
					events = append(events, e.String())
				}
				steps = append(steps, strings.Join(events, ","))
			}
			if got := strings.Join(steps, "|"); got != test.want {
				t.Errorf("events\n%s\nwant\n%s", strings.ReplaceAll(got, "|", "\n"), strings.ReplaceAll(test.want, "|", "\n"))
			}
		})
	}
}

func TestNoConcreteAddressIsRefused(t *testing.T) {
	for _, a := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if _, err := Watch([]netip.Addr{a}, func(Event) {}); err == nil {
			t.Errorf("%v: no error", a)
		}
	}
}
