package addrwatch

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestLinks(t *testing.T) {
	h := newHost(t)
	v4, v6 := h.link.Addrs[0], h.link.Addrs[1]
	// The other link's and loopback's are never reported.
	h.watch(netip.MustParseAddr("127.0.0.2"), v4, v6, h.Addrs()[2], h.Addrs()[3])

	h.want("carrier lost", func(netlink.Link) error { return h.isp.Carrier(h.Host, false) },
		Event{v4, false, noCarrier}, Event{v6, false, noCarrier})
	h.want("carrier back", func(netlink.Link) error { return h.isp.Carrier(h.Host, true) },
		Event{v4, true, "carrier back"}, Event{v6, true, "carrier back"})
	// The kernel removes IPv6 addresses from a link that is switched off.
	h.want("link down", func(netlink.Link) error { return h.isp.Device(h.Host, false) },
		Event{v4, false, linkDown}, Event{Addr: v6})
	h.want("link up, with routes", func(netlink.Link) error { return h.isp.Device(h.Host, true) },
		Event{Addr: v4, Up: true}, Event{Addr: v6, Up: true})
	h.want("link deleted", netlink.LinkDel, Event{Addr: v4}, Event{Addr: v6})
}

func TestAddresses(t *testing.T) {
	h := newHost(t)
	v4, v6 := h.more(h.link.Addrs[0]), h.more(h.link.Addrs[1])
	h.watch(v4, v6)
	for _, a := range []netip.Addr{v4, v6} {
		h.want("address deleted", func(dev netlink.Link) error { return netlink.AddrDel(dev, prefixed(a)) },
			Event{a, false, addressRemoved})
		h.want("address added", func(dev netlink.Link) error { return netlink.AddrAdd(dev, prefixed(a)) },
			Event{a, true, "address added"})
	}
}

// An address is unusable only when the last gateway route of its family over
// its link is gone.
func TestRoutes(t *testing.T) {
	h := newHost(t)
	h.watch(h.Addrs()...)
	for i, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		a := h.link.Addrs[i]
		var everywhere, provider netlink.Route
		h.want("default route removed, another left", func(dev netlink.Link) error {
			all, err := netlink.RouteList(dev, family)
			for _, r := range all {
				if ones, _ := r.Dst.Mask.Size(); ones == 0 {
					everywhere = r
				} else if r.Gw != nil {
					provider = r
				}
			}
			return errors.Join(err, netlink.RouteDel(&everywhere))
		})
		h.want("address of the other link deleted", func(netlink.Link) error {
			other, err := netlink.LinkByName("isp2")
			if err != nil {
				return err
			}
			return netlink.AddrDel(other, prefixed(h.Addrs()[2+i]))
		}, Event{h.Addrs()[2+i], false, addressRemoved})
		h.want("other gateway route removed", func(netlink.Link) error { return netlink.RouteDel(&provider) },
			Event{a, false, noRoute})
		h.want("default route added", func(netlink.Link) error { return netlink.RouteAdd(&everywhere) },
			Event{a, true, "route added"})
		h.want("default route removed", func(netlink.Link) error { return netlink.RouteDel(&everywhere) },
			Event{a, false, noRoute})
		everywhere.Table = 100
		h.want("default route added to another table", func(netlink.Link) error { return netlink.RouteAdd(&everywhere) },
			Event{a, true, "route added"})
	}
}

func TestUnusableAtFirst(t *testing.T) {
	h := newHost(t)
	nobody := netip.MustParseAddr("192.0.2.1")
	start := time.Now()
	h.watch(nobody, h.link.Addrs[0])
	h.await("at first", start, time.Second, Event{nobody, false, addressRemoved})
}

// Addresses may be watched later, and no longer.
func TestWatchedLater(t *testing.T) {
	h := newHost(t)
	nobody := netip.MustParseAddr("192.0.2.1")
	w := h.watch(h.link.Addrs[0])
	w.Add(nobody)
	h.await("when it is added", time.Now(), time.Second, Event{nobody, false, addressRemoved})
	a := h.more(h.link.Addrs[0])
	w.Add(a)
	w.Add(a) // once is enough
	h.want("address deleted", func(dev netlink.Link) error { return netlink.AddrDel(dev, prefixed(a)) },
		Event{a, false, addressRemoved})
	w.Remove(a)
	w.Remove(nobody)
	h.want("what is watched still", func(dev netlink.Link) error {
		return errors.Join(netlink.AddrAdd(dev, prefixed(a)), netlink.LinkSetDown(dev))
	}, Event{h.link.Addrs[0], false, linkDown})
}

// RFC 4862 section 5.4: an address on which Duplicate Address Detection has
// not completed is tentative and is not used.
func TestDuplicateAddressDetection(t *testing.T) {
	h := newHost(t)
	a := netip.MustParseAddr("fd00:1:1::77")
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		for _, name := range []string{h.link.Device, "all"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("1"), 0); err != nil {
				return err
			}
		}
		x := prefixed(a)
		x.Flags = 0
		return netlink.AddrAdd(dev, x)
	}))
	start := time.Now()
	h.watch(a)
	h.await("while it goes on", start, time.Second, Event{a, false, addressHeld})
	h.await("when it is through", start, 5*time.Second, Event{a, true, "address ready"}) // the kernel takes 1 to 2 s
}

// Lost notifications cost nothing: all is read again, and the next come.
func TestNotificationsAreLost(t *testing.T) {
	h := newHost(t)
	a := h.more(h.link.Addrs[0])
	var w *watcher
	var first snapshot
	var control *socket
	h.must(h.Do(func() (err error) {
		if w, err = open(); err != nil {
			return err
		}
		if control, err = openSocket(groups...); err != nil {
			return err
		}
		if first, err = read(w.queries); err != nil {
			return err
		}
		return errors.Join(cramped(w.notices), cramped(control))
	}))
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		for range 20 {
			x := prefixed(netip.MustParseAddr("10.99.0.1"))
			err = errors.Join(err, netlink.AddrAdd(dev, x), netlink.AddrDel(dev, x))
		}
		return errors.Join(err, netlink.AddrDel(dev, prefixed(a)))
	}))
	if _, err := control.Read(make([]byte, 1)); !errors.Is(err, unix.ENOBUFS) {
		t.Errorf("the flood was taken: %v, want %v", err, unix.ENOBUFS)
	}
	control.Close()
	tracker := newTracker([]netip.Addr{a})
	w.start(first, func(s snapshot) time.Duration {
		for _, e := range tracker.next(s) {
			h.events <- e
		}
		return 0
	})
	defer w.stop()
	h.await("after the flood", time.Now(), time.Second, Event{a, false, addressRemoved})
	h.want("the next change", func(dev netlink.Link) error { return netlink.AddrAdd(dev, prefixed(a)) },
		Event{a, true, "address added"})
}

// cramped makes a socket's receive buffer the least that there is, some 2 KiB.
func cramped(s *socket) error {
	conn, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = conn.Control(func(fd uintptr) { optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) })
	return errors.Join(err, optErr)
}
