package udp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
)

// common is an SCTP common header with one chunk's beginning.
var common = []byte("\x13\x88\x13\x88\xde\xad\xbe\xef\x00\x00\x00\x00\x00\x03\x05\x00")

// packet is a packet of n octets that begins with common.
func packet(n int) []byte { return append(bytes.Clone(common), make([]byte, n-len(common))...) }

// A router with a smaller MTU tells, and a packet that it may fragment gets
// through all the same.
func TestSmallerMTUOnTheWay(t *testing.T) {
	w := newWay(t)
	for i := range lefts {
		a, b := w.on(w.left, lefts[i]), w.on(w.right, rights[i])
		hints := hear(t, a)
		big := packet(1400)
		for range 3 { // the kernel's cache has no say
			w.must(a.Send(big, len(big), b.Local(), Marks{ECT: true}, make([]byte, 64)))
			h := await(t, hints)
			if h.Remote != b.Local() || h.MTU != narrow || h.Unreachable || h.PortUnreachable || h.Local || !bytes.HasPrefix(h.Packet, common) {
				t.Fatalf("%+v", h)
			}
		}
		w.must(a.Send([]byte("small"), 5, b.Local(), Marks{}, nil)) // the error that is pending is not its own
		w.must(a.Send(big, len(big), b.Local(), Marks{ECT: true, Fragment: true}, make([]byte, 64)))
		for n, p := range receive(t, b, 2) {
			if want := [][]byte{[]byte("small"), big}[n]; !bytes.Equal(p, want) {
				t.Errorf("%v: packet %d has %d octets, want %d", lefts[i], n, len(p), len(want))
			}
		}
		// The next is not fragmented.
		w.must(a.Send(big, len(big), b.Local(), Marks{}, nil))
		if h := await(t, hints); h.MTU != narrow {
			t.Errorf("%+v", h)
		}
		// A train of packets that are too big; routers take it for one. Offload
		// stays.
		w.must(a.Send(append(packet(1400), packet(1400)...), 1400, b.Local(), Marks{}, make([]byte, 64)))
		if h := await(t, hints); h.MTU != narrow || !bytes.HasPrefix(h.Packet, common) {
			t.Errorf("%+v", h)
		}
		w.must(a.Send(make([]byte, 2000), 1000, b.Local(), Marks{}, make([]byte, 64)))
		receive(t, b, 2)
		if !a.gso.Load() {
			t.Error("offload has been given up")
		}
	}
}

// Packets larger than the device's MTU are refused, which says nothing about
// the link or the offload.
func TestTooBigForTheDevice(t *testing.T) {
	w := newWay(t)
	for i := range lefts {
		a, b := w.on(w.right, rights[i]), w.on(w.left, lefts[i])
		hints := hear(t, a)
		for _, data := range [][]byte{packet(1400), append(packet(1400), packet(1400)...)} {
			err := a.Send(data, 1400, b.Local(), Marks{}, make([]byte, 64))
			if !errors.Is(err, ErrTooBig) || !errors.Is(err, unix.EMSGSIZE) || LinkGone(err) {
				t.Errorf("%v: %v", rights[i], err)
			}
			var op *net.OpError
			if !errors.As(err, &op) {
				t.Errorf("%v does not say what was sent where", err)
			}
			if h := await(t, hints); h.Remote.Addr() != lefts[i] || h.MTU != narrow || !h.Local || h.Unreachable || h.PortUnreachable || len(h.Packet) != 0 {
				t.Errorf("%v: %+v", rights[i], h)
			}
		}
		w.must(a.Send(make([]byte, 2400), 1200, b.Local(), Marks{}, make([]byte, 64)))
		receive(t, b, 2)
		if !a.gso.Load() {
			t.Error("offload has been given up")
		}
		w.must(a.Send(packet(3000), 3000, b.Local(), Marks{Fragment: true}, nil))
		if p := receive(t, b, 1); len(p[0]) != 3000 {
			t.Errorf("%d octets of 3000 came", len(p[0]))
		}
	}
}

// A router without a route is not our link's failure.
func TestUnreachableOnTheWay(t *testing.T) {
	w := newWay(t)
	for i, nowhere := range []netip.Addr{netip.MustParseAddr("10.3.0.2"), netip.MustParseAddr("fd03::2")} {
		unreachable := func() error {
			dst := &net.IPNet{IP: nowhere.AsSlice(), Mask: net.CIDRMask(nowhere.BitLen(), nowhere.BitLen())}
			return netlink.RouteAdd(&netlink.Route{Dst: dst, Type: unix.RTN_UNREACHABLE})
		}
		w.must(w.router.Do(unreachable))
		a, b := w.on(w.left, lefts[i]), w.on(w.right, rights[i])
		hints := hear(t, a)
		there := netip.AddrPortFrom(nowhere, 7)
		w.must(a.Send(packet(100), 100, there, Marks{}, nil))
		if h := await(t, hints); h.Remote != there || !h.Unreachable || h.PortUnreachable || h.MTU != 0 || !bytes.HasPrefix(h.Packet, common) {
			t.Errorf("%+v", h)
		}
		w.must(a.Send([]byte("x"), 1, b.Local(), Marks{}, nil))
		receive(t, b, 1)
	}
	// Our own lack of a route is.
	var socks []*Socket
	for i := range lefts {
		socks = append(socks, w.on(w.left, lefts[i]))
		hear(t, socks[i])
	}
	w.must(w.left.Do(func() error {
		l, err := netlink.LinkByName("up")
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(l)
	}))
	for i, a := range socks {
		if err := a.Send(packet(100), 100, netip.AddrPortFrom(rights[i], 7), Marks{}, nil); !LinkGone(err) {
			t.Errorf("%v: %v", lefts[i], err)
		}
		if err := a.Send(make([]byte, 200), 100, netip.AddrPortFrom(rights[i], 7), Marks{}, nil); !LinkGone(err) || !a.gso.Load() {
			t.Errorf("%v: %v, offload %v", lefts[i], err, a.gso.Load())
		}
	}
}

// No packet that must not be fragmented leaves without DF while another
// goroutine sends one that may be.
func TestFragmentAlone(t *testing.T) {
	w := newWay(t)
	a, b := w.on(w.left, lefts[0]), w.on(w.right, rights[0])
	w.must(a.Send([]byte("x"), 1, b.Local(), Marks{}, nil))
	receive(t, b, 1)
	wire := sniff(t, w.router, "left")
	for range 20 {
		const senders, each = 4, 40 // few enough for any receive buffer
		var sending sync.WaitGroup
		for i := range senders {
			sending.Go(func() { // ends when it has sent
				m, size := Marks{}, 100
				if i == 0 {
					m, size = Marks{Fragment: true}, 200
				}
				for k := range each {
					m.ECT = k%2 == 0
					if err := a.Send(make([]byte, size), size, b.Local(), m, make([]byte, 64)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		sending.Wait()
		for range senders * each {
			p := wire()
			n, df := binary.BigEndian.Uint16(p[2:]), p[6]&0x40 != 0
			if fragment := n == 20+8+200; df == fragment {
				t.Fatalf("a datagram of %d octets has DF: %v", n, df)
			}
		}
	}
}

// sniff returns a function that returns, one by one, the IPv4 packets of UDP
// that a host receives over a device.
func sniff(t *testing.T, h *testnet.Host, device string) func() []byte {
	t.Helper()
	var f *os.File
	err := h.Do(func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f = os.NewFile(uintptr(fd), "sniff")
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) // capped
		ipv4 := binary.NativeEndian.Uint16([]byte{unix.ETH_P_IP >> 8, unix.ETH_P_IP & 0xff})
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ipv4, Ifindex: l.Attrs().Index}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	buf := make([]byte, 1<<16)
	return func() []byte {
		t.Helper()
		for {
			if err := f.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := f.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			if n >= 28 && buf[9] == unix.IPPROTO_UDP {
				return buf[:n]
			}
		}
	}
}
