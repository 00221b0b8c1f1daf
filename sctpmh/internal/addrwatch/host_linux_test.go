package addrwatch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
)

// denied says why this process may make no network namespaces.
var denied error

func TestMain(m *testing.M) {
	if testnet.Inside() {
		denied = testnet.Allowed()
	} else if code, err := testnet.Reexec(); err == nil {
		os.Exit(code)
	} else {
		denied = err // the pure tests run anyway
	}
	goleak.VerifyTestMain(m)
}

// A host is attached to two providers; the addresses of the first are watched.
type host struct {
	*testing.T
	*testnet.Host
	isp    *testnet.ISP
	link   *testnet.Link
	events chan Event
}

func newHost(t *testing.T) *host {
	t.Helper()
	if errors.Is(denied, testnet.ErrForbidden) && os.Getenv("CI") != "true" {
		t.Skipf("%v: run this test as root", denied)
	}
	n := testnet.New()
	t.Cleanup(n.Close)
	h := &host{T: t, events: make(chan Event, 100)}
	h.must(denied)
	var err error
	h.Host, err = n.Host("host")
	h.must(err)
	for i := range 2 {
		isp, err := n.ISP(fmt.Sprint("isp", i+1), i+1, 0)
		h.must(err)
		link, err := isp.Attach(h.Host)
		h.must(err)
		if i == 0 {
			h.isp, h.link = isp, link
		}
	}
	h.settle()
	return h
}

// settle waits until every address is usable: a new link gets its carrier a
// little later.
func (h *host) settle() {
	h.Helper()
	events, nobody := make(chan Event, 100), netip.MustParseAddr("192.0.2.1")
	var w *Watcher
	h.must(h.Do(func() (err error) {
		w, err = Watch(append(h.Addrs(), nobody), func(e Event) { events <- e })
		return err
	}))
	defer w.Stop()
	first := false // nobody is reported last of all that are unusable at first
	for down := 0; !first || down > 0; {
		switch e := <-events; {
		case e.Addr == nobody:
			first = true
		case e.Up:
			down--
		default:
			down++
		}
	}
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// watch watches until the test ends; what is left then was not wanted.
func (h *host) watch(addrs ...netip.Addr) (w *Watcher) {
	h.Helper()
	h.must(h.Do(func() (err error) {
		w, err = Watch(addrs, func(e Event) { h.events <- e })
		return err
	}))
	h.Cleanup(func() {
		w.Stop()
		w.Stop() // harmless
		close(h.events)
		for e := range h.events {
			h.Errorf("and then: %v", e)
		}
	})
	return w
}

// want does something inside the host and wants these events and no other
// within a second. Addresses are those of the watched link; an event without a
// cause may have any.
func (h *host) want(what string, do func(dev netlink.Link) error, want ...Event) {
	h.Helper()
	var start time.Time
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		start = time.Now()
		return do(dev)
	}))
	h.await(what, start, time.Second, want...)
}

func (h *host) await(what string, start time.Time, patience time.Duration, want ...Event) {
	h.Helper()
	late := time.After(patience)
	for len(want) > 0 {
		select {
		case e := <-h.events:
			i := slices.IndexFunc(want, func(w Event) bool {
				return w.Addr == e.Addr && w.Up == e.Up && (w.Cause == "" || w.Cause == e.Cause)
			})
			if i < 0 {
				h.Fatalf("%s: %v; want %v", what, e, want)
			}
			want = slices.Delete(want, i, i+1)
			h.Logf("%s: after %v: %v", what, time.Since(start).Round(time.Microsecond), e)
		case <-late:
			h.Fatalf("%s: not reported within %v: %v", what, patience, want)
		}
	}
}

// prefixed is an address as testnet gives it to a link.
func prefixed(a netip.Addr) *netlink.Addr {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	return &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}, Flags: unix.IFA_F_NODAD}
}

// more gives the watched link an address of the same subnet as one it has:
// with its last IPv4 address a link loses its routes.
func (h *host) more(like netip.Addr) netip.Addr {
	h.Helper()
	a := like.Next()
	h.must(h.Do(func() error {
		dev, err := netlink.LinkByName(h.link.Device)
		if err != nil {
			return err
		}
		return netlink.AddrAdd(dev, prefixed(a))
	}))
	return a
}
