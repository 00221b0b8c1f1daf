package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
)

// denied says why this process may make no network namespaces.
var denied error

func TestMain(m *testing.M) {
	if testnet.Inside() {
		if err := address("lo"); err != nil { // the namespace's own
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		denied = testnet.Allowed()
	} else if code, err := testnet.Reexec(); err == nil {
		os.Exit(code)
	} else {
		denied = err // the tests over loopback run anyway
	}
	goleak.VerifyTestMain(m)
}

// A way leads from one host to another over a router. Device names are the
// hosts' names on the router and "up" on the hosts.
//
//	left -- (1500) -- router -- (narrow) -- right
type way struct {
	*testing.T
	left, router, right *testnet.Host
}

const narrow = 1300 // octets of an IP packet, on the link to the right

// The addresses of either side, IPv4 and IPv6.
var (
	lefts  = []netip.Addr{netip.MustParseAddr("10.1.0.2"), netip.MustParseAddr("fd01::2")}
	rights = []netip.Addr{netip.MustParseAddr("10.2.0.2"), netip.MustParseAddr("fd02::2")}
)

func newWay(t *testing.T) *way {
	t.Helper()
	w := &way{T: t}
	n := newNet(t)
	host := func(name string) *testnet.Host {
		h, err := n.Host(name)
		w.must(err)
		return h
	}
	w.left, w.router, w.right = host("left"), host("router"), host("right")
	w.must(w.router.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0),
		)
	}))
	w.plug(w.left, "left", 1, 1500)
	w.plug(w.right, "right", 2, narrow)
	return w
}

// newNet skips the test where there are no namespaces.
func newNet(t *testing.T) *testnet.Net {
	t.Helper()
	if errors.Is(denied, testnet.ErrForbidden) && os.Getenv("CI") != "true" {
		t.Skipf("%v: run this test as root", denied)
	}
	if denied != nil {
		t.Fatal(denied)
	}
	n := testnet.New()
	t.Cleanup(n.Close)
	return n
}

func (w *way) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// plug joins a host to the router by a link of its own, number i.
func (w *way) plug(h *testnet.Host, name string, i, mtu int) {
	w.Helper()
	var ns *os.File
	w.must(h.Do(func() (err error) { ns, err = os.Open("/proc/thread-self/ns/net"); return err }))
	defer ns.Close()
	w.must(w.router.Do(func() error {
		return errors.Join(netlink.LinkAdd(&netlink.Veth{
			// Ends with the same number take a second to notice a carrier.
			LinkAttrs: netlink.LinkAttrs{Name: name, Index: 1000 + i, MTU: mtu},
			PeerName:  "up", PeerMTU: uint32(mtu), PeerNamespace: netlink.NsFd(int(ns.Fd())),
		}), address(name, fmt.Sprintf("10.%d.0.1/24", i), fmt.Sprintf("fd0%d::1/64", i)))
	}))
	w.must(h.Do(func() error {
		return errors.Join(
			address("up", fmt.Sprintf("10.%d.0.2/24", i), fmt.Sprintf("fd0%d::2/64", i)),
			route("0.0.0.0/0", fmt.Sprintf("10.%d.0.1", i)), route("::/0", fmt.Sprintf("fd0%d::1", i)),
		)
	}))
}

func address(device string, prefixes ...string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

func route(dst, via string) error {
	_, to, err := net.ParseCIDR(dst)
	if err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(via)})
}

// on opens a socket inside a host.
func (w *way) on(h *testnet.Host, a netip.Addr) (s *Socket) {
	w.Helper()
	w.must(h.Do(func() (err error) { s, err = Listen(netip.AddrPortFrom(a, 0), true); return err }))
	w.Cleanup(func() { s.Close() })
	return s
}
