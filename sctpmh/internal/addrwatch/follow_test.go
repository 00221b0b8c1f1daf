package addrwatch

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// play hands snapshots to a follower, each after the time before it, and looks
// again when it is asked to. It returns what is reported, with the time since the
// start.
func play(f *follower, steps ...step) string {
	var out []string
	start := time.Unix(1000, 0)
	now := start
	for _, st := range steps {
		for end := now.Add(st.lasts); ; {
			changes, again := f.next(now, st.snapshot)
			for _, c := range changes {
				out = append(out, fmt.Sprintf("%v %v %v", now.Sub(start), c.addr, map[bool]string{true: "comes", false: "goes"}[c.there]))
			}
			if again == 0 || now.Add(again).After(end) {
				now = end
				break
			}
			now = now.Add(again)
		}
	}
	return strings.Join(out, ", ")
}

type step struct {
	snapshot
	lasts time.Duration
}

func TestFollower(t *testing.T) {
	const forever = time.Hour
	one := addrs("10.2.0.1")
	brief := with(address{prefix: netip.MustParsePrefix("fd02::bbbb/64"), link: 2, brief: true})
	held := with(address{prefix: netip.MustParsePrefix("fd02::2/64"), link: 2, held: true})
	for _, test := range []struct {
		what       string
		have, only []netip.Addr
		steps      []step
		want       string
	}{
		{"all is known", addrs(both), nil, []step{{scene(), forever}}, ""},
		{"one more", one, nil, []step{{scene(), forever}}, "1s fd02::1 comes"},
		{"nothing is known", nil, nil, []step{{scene(without("fd02::1")), forever}}, "1s 10.2.0.1 comes"},
		{"it has to stay", one, nil, []step{{scene(), 900 * time.Millisecond}, {scene(without("fd02::1")), time.Second}, {scene(), forever}}, "2.9s fd02::1 comes"},
		{"a link without a way out", addrs(both), nil, []step{{scene(), time.Second}, {scene(setExit(3, false, true)), forever}}, "2s 10.3.0.1 comes"},
		{"temporary, deprecated, tentative", addrs(both), nil, []step{{scene(brief, held), forever}}, ""},
		{"gone for a moment", addrs(both), nil, []step{{scene(without("fd02::1")), 59 * time.Second}, {scene(), forever}}, ""},
		{"gone for good", addrs(both), nil, []step{{scene(without("fd02::1")), 2 * time.Minute}, {scene(), forever}}, "1m0s fd02::1 goes, 2m1s fd02::1 comes"},
		{"no way out is no reason to go", addrs(both), nil, []step{{scene(setExit(2, false, false), setLink(2, link{})), forever}}, ""},
		{"one that never led out stays", addrs(both + "10.3.0.1"), nil, []step{{scene(), forever}}, ""},
		{"listed", one, addrs("10.2.0.1 10.3.0.1 10.9.9.9"), []step{{scene(without("10.3.0.1")), time.Second}, {scene(), forever}}, "2s 10.3.0.1 comes"},
	} {
		if got := play(newFollower(test.have, test.only), test.steps...); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

// Announced prefixes without end make no addresses without end; when some have
// gone there is room.
func TestFollowerIsBounded(t *testing.T) {
	f := newFollower(addrs(both), nil)
	flood := func(net int) snapshot {
		var all []func(*snapshot)
		for i := range 100 {
			p := netip.MustParsePrefix(fmt.Sprintf("fd02:%d:%d::1/64", net, i))
			all = append(all, with(address{prefix: p, link: 2}))
		}
		return scene(all...)
	}
	if got := strings.Count(play(f, step{flood(1), time.Hour}), "comes"); got != maxFollowed {
		t.Errorf("%d addresses come, want %d", got, maxFollowed)
	}
	for net := 2; net < 50; net++ {
		play(f, step{flood(net), time.Second / 2}) // none of them stays
		if f.others() > maxFollowed {
			t.Fatalf("%d addresses are followed, at most %d", f.others(), maxFollowed)
		}
	}
	if got := play(f, step{flood(50), time.Hour}); strings.Count(got, "goes") != maxFollowed || !strings.Contains(got, "comes") {
		t.Errorf("after the flood: %s", got)
	}
}

// What was there from the beginning takes no room from what comes, and an address
// that the user named has room in any case.
func TestFollowBesideManyAddresses(t *testing.T) {
	have := addrs("10.1.0.1")
	for i := range 2 * maxFollowed {
		have = append(have, netip.AddrFrom4([4]byte{10, 8, 0, byte(i)}))
	}
	for _, only := range []string{"", "10.2.0.1"} {
		got := play(newFollower(have, addrs(only)), step{scene(), 10 * time.Second})
		if !strings.Contains(got, "10.2.0.1 comes") {
			t.Errorf("named %q: %q", only, got)
		}
	}
}
