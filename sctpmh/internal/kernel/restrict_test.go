package kernel

import (
	"net/netip"
	"reflect"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	a, b, c := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	permitted := func(a netip.Addr, s PathState) Path { return Path{Addr: a, State: s, Permitted: true} }
	other := func(a netip.Addr, s PathState) Path { return Path{Addr: a, State: s} }
	first := func(p Path) Path { p.Primary = true; return p }
	strict, lax, undecided := restriction{strict: true}, restriction{}, restriction{undecided: true}
	for _, test := range []struct {
		name  string
		paths []Path
		rule  restriction
		want  verdict
	}{
		{"all are permitted", []Path{first(permitted(a, Active)), permitted(b, Unconfirmed)}, strict, verdict{}},
		{"another one is listed", []Path{first(permitted(a, Active)), other(b, Unconfirmed)}, lax, verdict{}},
		{"another one is listed, strictly", []Path{first(permitted(a, Active)), other(b, Unconfirmed)}, strict, verdict{abort: []netip.Addr{b}}},
		{"another one is preferred", []Path{first(other(a, Active)), permitted(b, Active)}, lax, verdict{primary: b}},
		{"the path that works is preferred", []Path{first(other(a, Unconfirmed)), permitted(b, PotentiallyFailed), permitted(c, Active)}, lax, verdict{primary: c}},
		{"one in doubt is better than another", []Path{first(other(a, Unconfirmed)), permitted(b, Inactive)}, lax, verdict{primary: b}},
		{"data would move to another", []Path{first(permitted(a, PotentiallyFailed)), other(b, Active)}, lax, verdict{abort: []netip.Addr{b}}},
		{"data would move to one that is yet to be permitted", []Path{first(permitted(a, PotentiallyFailed)), other(b, Active)}, undecided, verdict{}},
		{"one that is yet to be permitted is preferred", []Path{first(other(a, Active)), permitted(b, Inactive)}, undecided, verdict{primary: b}},
		{"data cannot move", []Path{first(permitted(a, Inactive)), other(b, Unconfirmed)}, lax, verdict{}},
		{"data moves to a permitted one", []Path{first(permitted(a, Inactive)), permitted(c, Active), other(b, Active)}, lax, verdict{}},
		{"it has ended", nil, strict, verdict{}},
	} {
		if got := judge(test.paths, test.rule); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

// An address is not asked again before it can have answered, whatever happens.
func TestAskedOnceASecond(t *testing.T) {
	a, b, now := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), time.Now()
	all := make(asked)
	for _, test := range []struct {
		addr  netip.Addr
		after time.Duration
		want  bool
	}{{a, 0, true}, {a, 1, false}, {b, 1, true}, {a, askAgain - 1, false}, {a, askAgain, true}, {a, askAgain + 1, false}} {
		if got := all.due(test.addr, now.Add(test.after)); got != test.want {
			t.Errorf("%v after %v: %v", test.addr, test.after, got)
		}
	}
}
