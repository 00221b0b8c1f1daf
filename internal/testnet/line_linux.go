package testnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A Line is what a provider's lines do to packets, beyond their rate.
//
//	host -- [near]  pump  [far] -- router
//
// A line is a namespace with a device for either side and nothing else: no
// address, so its kernel answers nobody. Frames are read from one device and
// written to the other when they are due, both ways.
type Line struct {
	Delay  time.Duration // one way
	Jitter time.Duration // at most this is added, at random; packets keep their order
	Loss   float64       // share of the packets that vanish, from 0 to 1; address resolution is spared
}

// lineQueue bounds the frames that are on a line at a time, each way: 200 ms
// of small packets at 50 Mbit/s. More are lost.
const lineQueue = 8192

// Degrade gives those lines to the hosts that are attached from now on.
func (p *ISP) Degrade(l Line) error {
	lines, err := p.host.net.Host(p.host.Name + "-lines")
	if err != nil {
		return err
	}
	err = lines.Do(func() error {
		return os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0)
	})
	if err != nil {
		return fmt.Errorf("%s: switch IPv6 off: %w", lines.Name, err)
	}
	p.line, p.lines = l, lines
	return nil
}

// pump carries frames between two devices of the lines' namespace until the
// network is closed.
func (p *ISP) pump(near, far netlink.Link) error {
	if err := errors.Join(p.lines.nl.LinkSetUp(near), p.lines.nl.LinkSetUp(far)); err != nil {
		return fmt.Errorf("%s: %w", p.lines.Name, err)
	}
	a, err := p.lines.openPackets(near)
	if err != nil {
		return err
	}
	b, err := p.lines.openPackets(far)
	if err != nil {
		a.Close()
		return err
	}
	n := p.host.net
	n.wg.Go(func() { // ends with the network
		<-n.closed
		a.Close()
		b.Close()
	})
	seed := uint64(p.index)<<8 | uint64(len(p.links))
	p.carry(a, b, rand.New(rand.NewPCG(seed, 1)))
	p.carry(b, a, rand.New(rand.NewPCG(seed, 2)))
	return nil
}

// A frame is on its way.
type frame struct {
	due  time.Time
	data []byte
}

// carry is one direction of a line.
func (p *ISP) carry(from, to *os.File, rng *rand.Rand) {
	n := p.host.net
	queue := make(chan frame, lineQueue)
	n.wg.Go(func() { // ends when from is closed
		defer close(queue)
		buf := make([]byte, vnetHeader+1<<16)
		var last time.Time
		for {
			k, err := from.Read(buf)
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				continue // without a carrier reads fail once
			}
			if rng.Float64() < p.line.Loss && !resolves(buf[min(k, vnetHeader):k]) {
				continue
			}
			due := time.Now().Add(p.line.Delay + time.Duration(rng.Float64()*float64(p.line.Jitter)))
			if due.Before(last) {
				due = last
			}
			select {
			case queue <- frame{due, append([]byte(nil), buf[:k]...)}:
				last = due
			default: // full: lost
			}
		}
	})
	n.wg.Go(func() { // ends when queue is closed
		pin(p.index)
		for f := range queue {
			select {
			case <-time.After(time.Until(f.due)):
				_, _ = to.Write(f.data) // without a carrier it is lost
			case <-n.closed:
			}
		}
	})
}

// resolves reports whether a frame is of address resolution: ARP, or the
// Neighbor Discovery of RFC 4861. Those are never lost. The kernel would ask
// again only after a second and drop most of what waits for the answer, so that
// a tenth lost became a half.
func resolves(frame []byte) bool {
	const ethernet, ipv6, icmpv6 = 14, 40, 58
	if len(frame) < ethernet {
		return false
	}
	switch packet := frame[ethernet:]; binary.BigEndian.Uint16(frame[ethernet-2:]) {
	case unix.ETH_P_ARP:
		return true
	case unix.ETH_P_IPV6:
		return len(packet) > ipv6 && packet[6] == icmpv6 && packet[ipv6] >= 133 && packet[ipv6] <= 137
	}
	return false
}

// pin keeps the goroutine on one processor, the i-th of those that there are:
// each has a queue of its own for what is written to a device, and packets
// would overtake one another.
func pin(i int) {
	runtime.LockOSThread() // never unlocked, so the thread goes too
	var may, one unix.CPUSet
	if unix.SchedGetaffinity(0, &may) != nil || may.Count() == 0 {
		return
	}
	for cpu, left := 0, i%may.Count(); ; cpu++ {
		if !may.IsSet(cpu) {
			continue
		}
		if left == 0 {
			one.Set(cpu)
			_ = unix.SchedSetaffinity(0, &one) // else the order is not kept
			return
		}
		left--
	}
}

// vnetHeader is the length of struct virtio_net_hdr, which precedes each frame
// on a packet socket with PACKET_VNET_HDR: it says which checksums the kernel
// has yet to fill in.
const vnetHeader = 10

// openPackets opens a packet socket for all frames that come in over a device.
func (h *Host) openPackets(l netlink.Link) (f *os.File, err error) {
	err = h.Do(func() error {
		fd, err := packetSocket(unix.SOCK_RAW, l)
		if err != nil {
			return err
		}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		)
		if err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), l.Attrs().Name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: packet socket on %s: %w", h.Name, l.Attrs().Name, err)
	}
	return f, nil
}

// packetSocket opens a packet socket on a device, in the current namespace.
func packetSocket(kind int, l netlink.Link) (fd int, err error) {
	// Without a protocol it hears nothing until it is bound to the device.
	if fd, err = unix.Socket(unix.AF_PACKET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: l.Attrs().Index}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) // ordinary users have what there is
	return fd, nil
}

// networkOrder swaps the octets of a number where the machine is little-endian.
func networkOrder(p uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, p))
}
