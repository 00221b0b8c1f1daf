package failbench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
)

// A world is a client and a server joined by two wires.
type world struct {
	client, server         *testnet.Host
	wires                  [2]*wire
	clientAddr, serverAddr [2]netip.Addr // by wire

	seed   uint64
	net    *testnet.Net
	router *testnet.Host // where the wires' inner ends are; it has no address
	wg     sync.WaitGroup
	files  []*os.File // closed by close
}

// newWorld makes a world; the seed is that of its losses.
func newWorld(seed uint64) (*world, error) {
	w := &world{net: testnet.New(), seed: seed}
	if err := w.build(); err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// close returns when nothing of the world is left.
func (w *world) close() {
	for _, f := range w.files {
		f.Close()
	}
	w.wg.Wait()
	w.net.Close()
}

func (w *world) build() error {
	for _, h := range []struct {
		name string
		host **testnet.Host
	}{{"router", &w.router}, {"client", &w.client}, {"server", &w.server}} {
		var err error
		if *h.host, err = w.net.Host(h.name); err != nil {
			return err
		}
		if err := configure(*h.host); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	for i := range w.wires {
		if err := w.join(i); err != nil {
			return err
		}
	}
	if !testnet.HasMPTCP() {
		return nil
	}
	// Connections are made over wire A; the server announces its address at
	// wire B, to which a subflow can be made.
	return errors.Join(w.client.UseMPTCP(), w.server.UseMPTCP(w.serverAddr[1]))
}

// settings are the kernel's, for each namespace. Missing files are those of
// protocols that are not there.
var settings = []struct{ name, value string }{
	{"ipv6/conf/default/disable_ipv6", "1"},   // nothing but what is measured is on the wires
	{"ipv4/tcp_rmem", "4096 131072 33554432"}, // 100 Mbit/s for 300 ms, many times over
	{"ipv4/tcp_wmem", "4096 131072 33554432"},
	{"ipv4/tcp_no_metrics_save", "1"}, // no run learns from another
	{"mptcp/blackhole_timeout", "0"},
}

func configure(h *testnet.Host) error {
	return h.Do(func() error {
		for _, s := range settings {
			err := os.WriteFile("/proc/sys/net/"+s.name, []byte(s.value), 0)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

// join makes wire i with its ends.
func (w *world) join(i int) error {
	w.wires[i] = new(wire)
	w.clientAddr[i], w.serverAddr[i] = netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), netip.AddrFrom4([4]byte{10, byte(i), 0, 2})
	client, err := w.plug(w.client, i, w.clientAddr[i], w.serverAddr[i])
	if err != nil {
		return err
	}
	server, err := w.plug(w.server, i, w.serverAddr[i], w.clientAddr[i])
	if err != nil {
		return err
	}
	w.wires[i].start(&w.wg, client, server, w.seed<<8|uint64(2*i))
	return nil
}

// plug gives a host a device with an address and returns the other end of it.
func (w *world) plug(h *testnet.Host, i int, addr, peer netip.Addr) (f *os.File, err error) {
	device, inner := "wire"+strconv.Itoa(i), h.Name+strconv.Itoa(i)
	if err := w.veth(h, device, inner, hardware(addr)); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", h.Name, device, err)
	}
	err = h.Do(func() error { return equip(device, addr, peer, i) })
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", h.Name, device, err)
	}
	if err = w.router.Do(func() error { f, err = openPackets(inner); return err }); err != nil {
		return nil, fmt.Errorf("%s: packet socket: %w", inner, err)
	}
	w.files = append(w.files, f)
	return f, nil
}

// veth joins a device of a host's with one of the router's.
func (w *world) veth(h *testnet.Host, device, inner string, mac net.HardwareAddr) error {
	var ns netns.NsHandle
	if err := h.Do(func() (err error) { ns, err = netns.Get(); return err }); err != nil {
		return err
	}
	defer ns.Close()
	return w.router.Do(func() error {
		// Where both ends have the same number the kernel takes up to a second
		// to notice a carrier: those from 1000 are ours.
		attrs := netlink.LinkAttrs{Name: inner, Index: 1000 + len(w.files), TxQLen: 1000}
		l := &netlink.Veth{LinkAttrs: attrs, PeerName: device, PeerNamespace: netlink.NsFd(int(ns)), PeerHardwareAddr: mac}
		if err := netlink.LinkAdd(l); err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
}

// equip gives the device an address, its peer as a neighbour that need not be
// asked for, and a default route into nowhere: without one a packet from this
// wire to the other's addresses would be refused, not lost as it is between
// providers.
func equip(device string, addr, peer netip.Addr, i int) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	nowhere := netip.AddrFrom4([4]byte{10, byte(i), 0, 254})
	known := func(a netip.Addr) error {
		return netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: hardware(a)})
	}
	everything := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	return errors.Join(
		// A burst that the kernel leaves in one piece would be lost as one.
		netlink.LinkSetGSOMaxSegs(l, 1),
		netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}),
		netlink.LinkSetUp(l),
		known(peer), known(nowhere),
		netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: everything, Gw: nowhere.AsSlice(), Priority: 100 + i}),
	)
}

// hardware is the hardware address of who has a.
func hardware(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{2, 0, b[0], b[1], b[2], b[3]}
}

const (
	ethernetHeader = 14

	// vnetHeader is the length of struct virtio_net_hdr, which precedes each
	// frame on a packet socket with PACKET_VNET_HDR: it says which checksums
	// the kernel has yet to fill in.
	vnetHeader = 10
)

// openPackets opens a packet socket for all frames that come in over a device.
func openPackets(device string) (*os.File, error) {
	l, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // else overruns count what is lost
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Index}),
	)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), device), nil
}

// lay gives the wires their rules.
func (w *world) lay(a, b rule) {
	w.wires[0].rule.Store(&a)
	w.wires[1].rule.Store(&b)
}

// settle ends a run: what is left of it has left the wires.
func (w *world) settle() {
	time.Sleep(100 * time.Millisecond)
	w.lay(rule{}, rule{})
}

// used returns which wire has carried more to the server since passed was
// called.
func (w *world) used(since [2]uint64) int {
	now := w.passed()
	if now[1]-since[1] > now[0]-since[0] {
		return 1
	}
	return 0
}

func (w *world) passed() (octets [2]uint64) {
	for i := range w.wires {
		octets[i] = w.wires[i].up.passed.Load()
	}
	return octets
}

// change alters a wire's rule.
func (w *world) change(i int, f func(*rule)) {
	r := *w.wires[i].rule.Load()
	f(&r)
	w.wires[i].rule.Store(&r)
}

// A tally counts frames by how the router treated them.
type tally struct{ frames, late uint64 }

// tallyOf counts since the worlds began.
func tallyOf(worlds ...*world) (t tally) {
	for _, w := range worlds {
		for _, x := range w.wires {
			for _, d := range []*direction{&x.up, &x.down} {
				t.frames += d.frames.Load()
				t.late += d.late.Load()
			}
		}
	}
	return t
}

// since is what has been added to an earlier count.
func (t tally) since(u tally) tally { return tally{t.frames - u.frames, t.late - u.late} }

// String says how far figures can be trusted: near none on a quiet machine.
func (t tally) String() string {
	return fmt.Sprintf("%.1f %%", 100*float64(t.late)/float64(max(t.frames, 1)))
}

// overrun counts the frames that the router lost because it was too slow.
func overrun(worlds ...*world) (n uint64) {
	for _, w := range worlds {
		for _, x := range w.wires {
			n += x.up.overrun.Load() + x.down.overrun.Load()
		}
		for _, f := range w.files {
			n += dropped(f)
		}
	}
	return n
}

// dropped counts the frames that did not fit a packet socket's buffer since it
// was last asked.
func dropped(f *os.File) (n uint64) {
	c, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = c.Control(func(fd uintptr) { // closed: nothing to count
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = uint64(s.Drops)
		}
	})
	return n
}
