package tcpemu

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// site is a host's view: uplinks, which have an address of each family, and the
// destinations, in the order of preference.
type site struct {
	uplinks int
	to      []netip.AddrPort
}

func (s site) ups() (ups []sctpmh.Uplink) {
	for i := 1; i <= s.uplinks; i++ {
		for _, a := range []string{"10.0.%d.2", "2001:db8:%d::2"} {
			ups = append(ups, sctpmh.Uplink{Addr: netip.MustParseAddr(fmt.Sprintf(a, i)), Interface: i})
		}
	}
	return ups
}

// firstUplink is a kernel whose default routes go by the first uplink.
func firstUplink(to netip.AddrPort) netip.Addr {
	if to.Addr().Is4() {
		return netip.MustParseAddr("10.0.1.2")
	}
	return netip.MustParseAddr("2001:db8:1::2")
}

func destinations(list string) (to []netip.AddrPort) {
	for a := range strings.FieldsSeq(list) {
		to = append(to, netip.AddrPortFrom(netip.MustParseAddr(a), 80))
	}
	return to
}

// "+" stands behind a way that the next one hardly waits for.
func TestOrderOfWays(t *testing.T) {
	const v4, v6 = "198.51.100.1", "2001:db8:99::1"
	for _, test := range []struct {
		what   string
		s      site
		source func(netip.AddrPort) netip.Addr
		want   string
	}{
		{"one uplink: the destinations in turn, families interleaved", site{1, destinations(v6 + " 2001:db8:99::2 " + v4)}, firstUplink,
			"2001:db8:1::2>[2001:db8:99::1]:80 10.0.1.2>198.51.100.1:80 2001:db8:1::2>[2001:db8:99::2]:80"},
		{"two uplinks, one destination", site{2, destinations(v4)}, firstUplink, "10.0.1.2>198.51.100.1:80 10.0.2.2>198.51.100.1:80"},
		{"two uplinks, two destinations: the second way shares nothing with the first", site{2, destinations(v4 + " 203.0.113.1")}, firstUplink,
			"10.0.1.2>198.51.100.1:80 10.0.1.2>203.0.113.1:80+ 10.0.2.2>203.0.113.1:80 10.0.2.2>198.51.100.1:80"},
		{"the family too", site{2, destinations(v6 + " " + v4)}, firstUplink,
			"2001:db8:1::2>[2001:db8:99::1]:80 10.0.1.2>198.51.100.1:80+ 10.0.2.2>198.51.100.1:80 2001:db8:2::2>[2001:db8:99::1]:80"},
		{"the kernel's own source first", site{2, destinations(v4)}, func(netip.AddrPort) netip.Addr { return netip.MustParseAddr("10.0.2.2") },
			"10.0.2.2>198.51.100.1:80 10.0.1.2>198.51.100.1:80"},
		{"no route: the uplinks are asked all the same", site{1, destinations(v4)}, func(netip.AddrPort) netip.Addr { return netip.Addr{} }, "10.0.1.2>198.51.100.1:80"},
		{"loopback is reached by itself", site{2, destinations("127.0.0.1")}, func(netip.AddrPort) netip.Addr { return netip.MustParseAddr("127.0.0.1") }, "127.0.0.1>127.0.0.1:80"},
		{"an address of our own too", site{2, destinations("10.0.2.2")}, func(to netip.AddrPort) netip.Addr { return to.Addr() }, "10.0.2.2>10.0.2.2:80"},
		{"no uplink is known", site{0, destinations(v4)}, func(netip.AddrPort) netip.Addr { return netip.Addr{} }, ">198.51.100.1:80"},
		{"unique local addresses stay among themselves", site{2, destinations("fd00::1")}, func(netip.AddrPort) netip.Addr { return netip.MustParseAddr("fd00::2") }, "fd00::2>[fd00::1]:80"},
	} {
		var got []string
		for _, w := range ways(test.s.to, test.s.ups(), test.source, way{}) {
			if got = append(got, w.String()); w.lead == minAttemptDelay {
				got[len(got)-1] += "+"
			}
		}
		if g := strings.Join(got, " "); g != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.what, g, test.want)
		}
	}
}

// Whatever one thing is dead, an uplink, a destination or a family, a way that
// works is tried after one delay if there is any; and it is by the first uplink
// unless that is what is dead.
func TestOneDeadThingCostsOneDelay(t *testing.T) {
	all := destinations("198.51.100.1 203.0.113.1 192.0.2.1 2001:db8:91::1 2001:db8:92::1")
	count := 0
	for uplinks := 1; uplinks <= 3; uplinks++ {
		for mask := 1; mask < 1<<len(all); mask++ {
			s := site{uplinks: uplinks}
			for i, d := range all {
				if mask>>i&1 != 0 {
					s.to = append(s.to, d)
				}
			}
			order := ways(s.to, s.ups(), firstUplink, way{})
			if len(order) > maxWays || len(order) != min(maxWays, uplinks*len(s.to)) {
				t.Errorf("%d uplinks, %v: %d ways", uplinks, s.to, len(order))
			}
			dead := map[string]func(turn) bool{
				"IPv4": func(w turn) bool { return w.to.Addr().Is4() },
				"IPv6": func(w turn) bool { return w.to.Addr().Is6() },
			}
			for i := 1; i <= uplinks; i++ {
				dead[fmt.Sprint("uplink ", i)] = func(w turn) bool { return w.from.Interface == i }
			}
			for _, d := range s.to {
				dead[d.String()] = func(w turn) bool { return w.to == d }
			}
			for what, isDead := range dead {
				if w, after := firstAlive(order, isDead); after > attemptDelay+minAttemptDelay || after >= 0 && w.from.Interface != 1 && what != "uplink 1" {
					t.Errorf("%d uplinks, %v, %s dead: %v is the first that works, after %v: %v", uplinks, s.to, what, w, after, order)
				}
				for _, first := range order { // it has won before
					again := ways(s.to, s.ups(), firstUplink, first.way)
					if w, after := firstAlive(again, isDead); after > attemptDelay+minAttemptDelay || again[0].way != first.way {
						t.Errorf("%d uplinks, %v, %v won before, %s dead: %v is the first that works, after %v: %v", uplinks, s.to, first, what, w, after, again)
					}
					count++
				}
			}
		}
	}
	t.Logf("%d cases", count)
}

// firstAlive returns the first way that is not dead and when it is tried; -1 if
// there is none.
func firstAlive(order []turn, isDead func(turn) bool) (w turn, after time.Duration) {
	for _, w := range order {
		if !isDead(w) {
			return w, after
		}
		after += w.lead
	}
	return w, -1
}

// The kernel chooses the source of its own way itself; another is bound.
func TestOnlyOtherUplinksAreBound(t *testing.T) {
	for _, w := range ways(destinations("198.51.100.1"), site{uplinks: 3}.ups(), firstUplink, way{}) {
		if w.free != (w.from.Interface == 1) {
			t.Errorf("%v: free is %v", w, w.free)
		}
	}
}

func TestMemory(t *testing.T) {
	var m memory
	now := time.Unix(1000, 0)
	w := ways(destinations("198.51.100.1"), site{uplinks: 2}.ups(), firstUplink, way{})
	here := place{"home", "www.example.net:80"}
	want := func(what string, p place, ok bool) {
		t.Helper()
		r, got := m.recall(p, now)
		if got != ok || ok && (r.way != w[1].way || !r.plain) {
			t.Errorf("%s: %v %v, want %v", what, r, got, ok)
		}
	}
	want("at first", here, false)
	m.remember(here, w[1].way, true, now)
	want("remembered", here, true)
	want("another network", place{"office", here.target}, false)
	want("another target", place{here.network, "ftp.example.net:21"}, false)
	now = now.Add(memoryTime - time.Second)
	m.remember(here, w[1].way, true, now)
	want("used again", here, true)
	now = now.Add(time.Second)
	want("use does not prolong it", here, false)
	m.remember(here, w[1].way, true, now)
	m.forget(here)
	want("forgotten", here, false)
	for i := range 3 * maxMemories {
		m.remember(place{"home", fmt.Sprint(i)}, w[1].way, true, now)
	}
	if len(m.ways) > maxMemories {
		t.Errorf("%d are remembered, at most %d may be", len(m.ways), maxMemories)
	}
	want("the latest has room", place{"home", fmt.Sprint(3*maxMemories - 1)}, true)
}
