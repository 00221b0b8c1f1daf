package publish

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sctpmh/mh/internal/testnet"
)

// An address of either family that an operator has deprecated, because it will
// go, is not published, and the host keeps it.
func TestDeprecatedAddresses(t *testing.T) {
	denied := testnet.Allowed()
	if errors.Is(denied, testnet.ErrForbidden) && os.Getenv("CI") != "true" {
		t.Skipf("%v: run this test as root", denied)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(denied)
	n := testnet.New()
	t.Cleanup(n.Close)
	host, err := n.Host("host")
	must(err)
	isp, err := n.ISP("isp", 1, 0)
	must(err)
	link, err := isp.Attach(host)
	must(err)
	must(host.Do(func() error {
		before, err := passing()
		if err != nil {
			return err
		}
		if err := deprecate(link); err != nil {
			return err
		}
		after, err := passing()
		if err != nil {
			return err
		}
		for _, a := range link.Addrs {
			if slices.Contains(before, a) || !slices.Contains(after, a) {
				t.Errorf("%v: passing are %v, and when it is deprecated %v", a, before, after)
			}
		}
		still, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
		if err != nil || len(still) < len(link.Addrs) {
			t.Errorf("the host has %v, %v", still, err)
		}
		return nil
	}))
}

// deprecate does what "ip address change ... preferred_lft 0" does.
func deprecate(l *testnet.Link) error {
	device, err := netlink.LinkByName(l.Device)
	if err != nil {
		return err
	}
	all, err := netlink.AddrList(device, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range all {
		const day = 86400
		a.PreferedLft, a.ValidLft = 0, day
		if err := netlink.AddrReplace(device, &a); err != nil {
			return err
		}
	}
	return nil
}
