package mhdial

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/noid"
)

// The kernel is asked which addresses are deprecated, and of none more is
// believed than it says.
func TestAddressStates(t *testing.T) {
	n := testnet.New()
	defer n.Close()
	h, err := n.Host("laptop")
	if errors.Is(err, testnet.ErrForbidden) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	old, young, four := netip.MustParseAddr("2001:db8:1::2"), netip.MustParseAddr("2001:db8:2::2"), netip.MustParseAddr("192.0.2.2")
	err = h.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for a, preferred := range map[netip.Addr]int{old: 0, young: 3600, four: 3600} {
			err = errors.Join(err, netlink.AddrAdd(lo, &netlink.Addr{
				IPNet:    &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
				ValidLft: 7200, PreferedLft: preferred, Scope: unix.RT_SCOPE_UNIVERSE,
			}))
		}
		if err != nil {
			return err
		}
		got := addressStates()
		for a, deprecated := range map[netip.Addr]bool{old: true, young: false, four: false} {
			if want := (noid.Local{Addr: a, Deprecated: deprecated}); got[a] != want {
				t.Errorf("%v is %+v, want %+v", a, got[a], want)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Which links carry one family within the other.
func TestTransition(t *testing.T) {
	for hardware, want := range map[uint16]bool{
		unix.ARPHRD_ETHER: false, unix.ARPHRD_NONE: false, unix.ARPHRD_PPP: false, unix.ARPHRD_TUNNEL: false,
		unix.ARPHRD_SIT: true, unix.ARPHRD_TUNNEL6: true,
	} {
		if isTransition(hardware) != want {
			t.Errorf("type %d: %v, want %v", hardware, !want, want)
		}
	}
}

// What the kernel says is joined to the addresses that packets may leave from,
// and asked for once a second.
func TestLocals(t *testing.T) {
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	r := &Resolver{Local: func() []netip.Addr { return []netip.Addr{a, b} }}
	var s states
	now := s.looked.AddDate(2000, 0, 0)
	first := s.current(now)
	s.known = map[netip.Addr]noid.Local{b: {Addr: b, Deprecated: true}}
	if again := s.current(now.Add(statesTime - 1)); !again[b].Deprecated {
		t.Error("it is asked for within its time")
	}
	if later := s.current(now.Add(statesTime)); later[b].Deprecated || len(later) != len(first) {
		t.Errorf("it is not asked for after its time: %v", later)
	}
	for _, l := range r.locals() {
		if l.Deprecated || l.Tunnel || l.Addr != a && l.Addr != b {
			t.Errorf("%+v", l)
		}
	}
}
