package addrwatch

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// What the kernel says of a host that gets an address.
func TestFollowTheKernel(t *testing.T) {
	h := newHost(t)
	come := make(chan netip.Addr, 10)
	var stop func()
	h.must(h.Do(func() (err error) {
		stop, err = Follow(h.Addrs(), nil, func(a netip.Addr, there bool) {
			if !there {
				t.Errorf("%v is gone", a)
			}
			come <- a
		})
		return err
	}))
	defer stop()
	a := h.more(h.link.Addrs[0])
	// One that is gone again before it has settled.
	brief := a.Next()
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(dev, prefixed(brief)), netlink.AddrDel(dev, prefixed(brief)))
	}))
	select {
	case got := <-come:
		if got != a {
			t.Errorf("%v comes, want %v", got, a)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%v does not come", a)
	}
	stop()
	stop() // harmless
	if len(come) > 0 {
		t.Errorf("and then comes %v", <-come)
	}
}
