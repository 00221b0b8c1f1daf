package vm

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openTap makes a TAP device in a namespace.
func openTap(t *testing.T, h *testnet.Host, name, addr string) (f *os.File) {
	t.Helper()
	err := h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer func() { f = os.NewFile(uintptr(fd), name) }()
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			return err
		}
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(addr)
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(l, a), netlink.LinkSetUp(l))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// A guest is reached over either kind of NIC, at IPv4 and IPv6 addresses, and
// finds its way back by a route: it says that nobody has the port open to which
// we send.
func TestGuestNICs(t *testing.T) {
	n := testnet.New()
	t.Cleanup(n.Close)
	h, err := n.Host("us")
	if err != nil {
		t.Fatal(err)
	}
	first, second := openTap(t, h, "tap0", "10.1.0.1/24"), openTap(t, h, "tap1", "fd00::1/64")
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	v := boot(t, Config{NICs: []NIC{
		{
			Addrs: prefixes("10.1.0.2/24"), Tap: first,
			Routes: []Route{{To: netip.MustParsePrefix("10.9.0.0/16"), Via: netip.MustParseAddr("10.1.0.1")}},
		},
		{Addrs: prefixes("10.2.0.2/24", "fd00::2/64")},
	}})
	var cable sync.WaitGroup
	carry := func(to io.Writer, from io.Reader) { // ends when from is closed
		buf := make([]byte, 1<<16)
		for {
			n, err := from.Read(buf)
			if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
				return
			}
			_, _ = to.Write(buf[:n]) // to what is closed it is lost
		}
	}
	cable.Go(func() { carry(second, v.Frames(1)) })
	cable.Go(func() { carry(v.Frames(1), second) })
	t.Cleanup(func() {
		v.Frames(1).Close()
		second.Close()
		cable.Wait()
	})
	err = h.Do(func() error {
		l, err := netlink.LinkByName("tap0")
		if err != nil {
			return err
		}
		other, err := netlink.ParseAddr("10.9.0.1/32")
		if err != nil {
			return err
		}
		return netlink.AddrAdd(l, other)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to string }{{"10.1.0.1", "10.1.0.2"}, {"10.9.0.1", "10.1.0.2"}, {"fd00::1", "fd00::2"}} {
		if err := knock(h, c.from, c.to); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("from %s to %s: %v, want that the connection is refused", c.from, c.to, err)
		}
	}
}

// knock sends to a port that is closed and returns what comes of it.
func knock(h *testnet.Host, from, to string) (err error) {
	return h.Do(func() error {
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 9})
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.Write([]byte("anybody there?")); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	})
}
