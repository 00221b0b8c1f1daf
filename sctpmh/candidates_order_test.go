package sctpmh

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// Each attempt of a dial differs from those before it in as much as it can.
func TestCandidatesDiffer(t *testing.T) {
	const a4, b4, a6, b6 = "10.1.0.1", "10.2.0.1", "fd00:1::1", "fd00:2::1"
	for _, c := range []struct {
		name, locals, remotes string
		source                string // that the kernel takes, one a family
		want                  string
	}{
		{"one pair", a4, "192.0.2.1", a4, "10.1.0.1>192.0.2.1"},
		{"two uplinks", a4 + " " + b4, "192.0.2.1", b4, "10.2.0.1>192.0.2.1 10.1.0.1>192.0.2.1"},
		{"two destinations", a4, "192.0.2.1 192.0.2.2", a4, "10.1.0.1>192.0.2.1 10.1.0.1>192.0.2.2"},
		{"two of each", a4 + " " + b4, "192.0.2.1 192.0.2.2", a4,
			"10.1.0.1>192.0.2.1 10.2.0.1>192.0.2.2 10.1.0.1>192.0.2.2 10.2.0.1>192.0.2.1"},
		{"two families", strings.Join([]string{a4, a6, b4, b6}, " "), "192.0.2.1 2001:db8::1 192.0.2.2 2001:db8::2", a4 + " " + a6,
			"10.1.0.1>192.0.2.1 fd00:1::1>2001:db8::1 10.2.0.1>192.0.2.2 fd00:2::1>2001:db8::2 " +
				"10.1.0.1>192.0.2.2 fd00:1::1>2001:db8::2 10.2.0.1>192.0.2.1 fd00:2::1>2001:db8::1"},
		{"no family in common", a4, "2001:db8::1", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := func(r netip.AddrPort) netip.Addr {
				for _, s := range addrPorts(c.source) {
					if s.Addr().Is4() == r.Addr().Is4() {
						return s.Addr()
					}
				}
				return netip.Addr{}
			}
			var got []string
			for _, p := range candidates(addrPorts(c.locals), addrPorts(c.remotes), source) {
				got = append(got, p.Local.Addr().String()+">"+p.Remote.Addr().String())
			}
			if want := strings.Fields(c.want); !slices.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// addrPorts reads addresses with blanks between.
func addrPorts(s string) (all []netip.AddrPort) {
	for _, a := range strings.Fields(s) {
		all = append(all, netip.AddrPortFrom(netip.MustParseAddr(a), 9899))
	}
	return all
}
