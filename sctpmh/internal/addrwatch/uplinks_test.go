package addrwatch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// A global address is a way out only by an interface that leads out now, for
// its family.
func TestUplinks(t *testing.T) {
	global := func(s *snapshot) { // on top: one that leads nowhere, and one that never leaves the link
		with(address{prefix: netip.MustParsePrefix("172.17.0.1/16"), link: 3})(s)
		with(address{prefix: netip.MustParsePrefix("fe80::1/64"), link: 2})(s)
	}
	for _, test := range []struct {
		what   string
		change func(*snapshot)
		want   string
	}{
		{"as it is", func(*snapshot) {}, both},
		{"no route for IPv6", setExit(2, true, false), "10.2.0.1"},
		{"a second uplink", setExit(3, false, true), both + "10.3.0.1 172.17.0.1"},
		{"switched off", setLink(2, link{carrier: true}), ""},
		{"no carrier", setLink(2, link{up: true}), ""},
		{"address gone", without("fd02::1"), "10.2.0.1"},
		{"address held", func(s *snapshot) {
			with(address{prefix: netip.MustParsePrefix("fd02::2/64"), link: 2, held: true})(s)
		}, both},
	} {
		var got []string
		for _, u := range scene(global, test.change).uplinks() {
			if want := int(u.Addr.AsSlice()[1]); u.Addr.Is4() && want < 10 && u.Interface != want {
				t.Errorf("%s: %v is said to be on interface %d", test.what, u.Addr, u.Interface)
			}
			got = append(got, u.Addr.String())
		}
		slices.Sort(got)
		want := strings.Fields(test.want)
		slices.Sort(want)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", test.what, got, want)
		}
	}
}
