package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/sctpmh"
)

// Addresses, by wire.
var (
	ourAddrs  = [2]netip.Addr{netip.MustParseAddr("10.81.0.1"), netip.MustParseAddr("10.81.1.1")}
	peerAddrs = [2]netip.Addr{netip.MustParseAddr("10.81.0.2"), netip.MustParseAddr("10.81.1.2")}
)

const prefixBits = 24

// A world is us and a peer, joined by two wires:
//
//	          tap0  10.81.0.1 ===== wire 0 ===== 10.81.0.2  tap0, or a guest's eth0
//	network of us                                           network of the peer, or a guest
//	          tap1  10.81.1.1 ===== wire 1 ===== 10.81.1.2  tap1, or a guest's eth1
//
// No host has a route beyond its two networks, and devices have no offloads:
// every checksum on the wires is real.
type world struct {
	stack   stack
	net     *testnet.Net
	us      *testnet.Host
	wires   [2]*wire
	watcher *watcher
	ports   ports
	capture atomic.Pointer[capture]
	peer    *process
	console func() string // what the peer's kernel says, nil where it is ours
	closers []func()      // run in reverse by close
}

// newWorld makes a world and starts the peer in it.
func newWorld(ctx context.Context, s stack) (*world, error) {
	w := &world{stack: s, net: testnet.New(), watcher: newWatcher()}
	w.closers = append(w.closers, w.net.Close)
	if err := w.build(ctx); err != nil {
		w.close()
		return nil, fmt.Errorf("%s: %w", s.name(), err)
	}
	return w, nil
}

// close returns when nothing of the world is left.
func (w *world) close() {
	for len(w.closers) > 0 {
		last := len(w.closers) - 1
		w.closers[last]()
		w.closers = w.closers[:last]
	}
}

func (w *world) build(ctx context.Context) (err error) {
	if w.us, err = w.network("us"); err != nil {
		return err
	}
	var near [2]io.ReadWriteCloser
	for i := range near {
		if near[i], err = openTap(w.us, i, ourAddrs[i]); err != nil {
			return err
		}
	}
	far, err := w.stack.start(ctx, w)
	for i := range w.wires {
		if far[i] == nil {
			near[i].Close()
			continue
		}
		w.wires[i] = &wire{number: i, ends: [2]io.ReadWriteCloser{near[i], far[i]}, watcher: w.watcher, ports: &w.ports, capture: &w.capture}
		w.wires[i].start()
		w.closers = append(w.closers, w.wires[i].close)
	}
	if err != nil {
		return err
	}
	if _, err = w.peer.wait(ctx, "ready", ""); err != nil {
		return err
	}
	_, err = w.peer.ask(ctx, w.command("listen"), "")
	return err
}

// command is a listen or dial of the peer's.
func (w *world) command(verb string) string {
	text := fmt.Sprintf("%s port=%d udp=%d from=%s", verb, sctpPort, w.udpPort(), list(w.theirs()))
	if verb == "dial" {
		text += " to=" + list(w.ours())
	}
	return text
}

func list(addrs []netip.AddrPort) string {
	var texts []string
	for _, a := range addrs {
		texts = append(texts, a.Addr().String())
	}
	return strings.Join(texts, ",")
}

// ours are our addresses, as many as the peer can do with.
func (w *world) ours() []netip.AddrPort { return withPort(ourAddrs[:w.stack.paths()], w.udpPort()) }

// theirs are the peer's addresses.
func (w *world) theirs() []netip.AddrPort { return withPort(peerAddrs[:w.stack.paths()], w.udpPort()) }

// udpPort is that of either end, 0 without UDP.
func (w *world) udpPort() uint16 {
	if w.stack.native() {
		return 0
	}
	return sctpOverUDP
}

func withPort(addrs []netip.Addr, port uint16) (out []netip.AddrPort) {
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a, port))
	}
	return out
}

// lay gives all wires a rule.
func (w *world) lay(r rule) {
	for _, wire := range w.wires {
		wire.rule.Store(&r)
	}
}

// state is what can be said of a world in which something went wrong.
func (w *world) state() string {
	var b strings.Builder
	for _, wire := range w.wires {
		for d, name := range directions {
			fmt.Fprintf(&b, "wire %d, %s: %v\n", wire.number, name, &wire.traffic[d])
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := w.peer.ask(ctx, "mode sink", ""); err != nil {
		fmt.Fprintf(&b, "the peer does not obey: %v\n", err)
	} else {
		b.WriteString("the peer obeys\n")
	}
	if w.console != nil {
		fmt.Fprintf(&b, "its kernel's last words: %s\n", w.console())
	}
	return b.String()
}

// listen opens our end.
func (w *world) listen() (e *sctpmh.Endpoint, err error) {
	err = w.us.Do(func() error {
		cfg := sctpmh.Config{Port: sctpPort, ListAddresses: true, RTOMin: rtoMin, HeartbeatInterval: heartbeat}
		if w.stack.native() {
			cfg.Backend = sctpmh.Raw
		}
		e, err = sctpmh.Listen(w.ours(), &cfg)
		return err
	})
	return e, err
}

const (
	sctpPort = 5000

	// rtoMin is above the 200 ms by which all these peers may delay an
	// acknowledgement (RFC 9260 section 6.2 allows 500 ms).
	rtoMin = 300 * time.Millisecond

	heartbeat = 2 * time.Second
)

// dial makes an association from our end.
func (w *world) dial(ctx context.Context, e *sctpmh.Endpoint) (a *sctpmh.Assoc, err error) {
	err = w.us.Do(func() error { a, err = e.Dial(ctx, w.theirs()); return err })
	return a, err
}

// network adds a network namespace in which nothing is sent but what is asked
// for.
func (w *world) network(name string) (*testnet.Host, error) {
	h, err := w.net.Host(name)
	if err != nil {
		return nil, err
	}
	return h, h.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0),
			os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0),
		)
	})
}

// run starts a program as the peer in a network of its own and returns the ends
// of the wires there.
func (w *world) run(cmd *exec.Cmd) (far [2]io.ReadWriteCloser, err error) {
	h, err := w.network("peer")
	if err != nil {
		return far, err
	}
	for i := range far {
		if far[i], err = openTap(h, i, peerAddrs[i]); err != nil {
			return far, err
		}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return far, err
	}
	out, theirs, err := os.Pipe()
	if err != nil {
		return far, err
	}
	cmd.Stdout, cmd.Stderr = theirs, theirs
	err = h.Start(cmd)
	theirs.Close()
	if err != nil {
		out.Close()
		return far, err
	}
	w.closers = append(w.closers, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		out.Close()
	})
	w.peer = newProcess(w.stack.name(), in, out)
	return far, nil
}

// tapQueue is how many frames a device keeps until its wire takes them.
const tapQueue = 10_000

// openTap makes a TAP device in a network, with an address, and returns the end
// of the wire that is plugged into it.
func openTap(h *testnet.Host, i int, addr netip.Addr) (f *os.File, err error) {
	name := fmt.Sprint("tap", i)
	err = h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			unix.Close(fd)
			return err
		}
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), name)
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		prefix, err := netlink.ParseAddr(netip.PrefixFrom(addr, prefixBits).String())
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetTxQLen(l, tapQueue), netlink.AddrAdd(l, prefix), netlink.LinkSetUp(l))
	})
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("%s: TAP device %s: %w: the scenarios need root and /dev/net/tun", h.Name, name, err)
	}
	return f, nil
}
