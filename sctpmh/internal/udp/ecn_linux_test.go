package udp

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withTOS has everything that the socket sends unmarked carry a TOS or traffic
// class.
func withTOS(t *testing.T, s *Socket, tos int) {
	t.Helper()
	err := control(s.raw, func(fd int) error {
		if s.local.Addr().Is4() {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tos)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
	})
	if err != nil {
		t.Fatal(err)
	}
}

//rfc:6951 5.8-1
func TestCongestionExperienced(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b := listen(t, addr), listen(t, addr)
		for tos, want := range map[int]bool{0: false, 1: false, 2: false, 3: true, 0xb8: false, 0xbb: true} {
			withTOS(t, a, tos)
			for _, size := range []int{100, 25} { // alone, and as a train
				if err := a.Send(make([]byte, 100), size, b.Local(), Marks{}, nil); err != nil {
					t.Fatal(err)
				}
				got, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				p, _ := got.Next()
				if c := got.Copy(p); got.CE != want || c.CE != want || len(p) != size {
					t.Errorf("%s, TOS %#x: CE %v, of a copy %v, want %v", addr, tos, got.CE, c.CE, want)
				}
				got.Release()
			}
		}
	}
}

// A train that is ECN-capable arrives with ECT(0), and in one piece: it left by
// one system call.
//
//rfc:6951 5.8-1
func TestECTLeaves(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b := listen(t, addr), listen(t, addr)
		for _, ect := range []bool{true, false} {
			var train Train
			for range 4 {
				train.Buf = append(train.Buf, make([]byte, 1000)...)
				train.Push(1000, a, b.Local(), Marks{ECT: ect})
			}
			if err := train.Leave(); err != nil {
				t.Fatal(err)
			}
			buf, oob := make([]byte, 10000), make([]byte, 128)
			n, oobn, _, _, err := b.conn.ReadMsgUDPAddrPort(buf, oob)
			if err != nil {
				t.Fatal(err)
			}
			size, tos := arrived(oob[:oobn])
			if n != 4000 || size != 1000 || ect && tos != ecnECT0 || !ect && tos != 0 {
				t.Errorf("%s, ECT %v: %d octets in packets of %d with TOS %#x", addr, ect, n, size, tos)
			}
		}
		if !a.gso.Load() {
			t.Errorf("%s: offload has been given up", addr)
		}
	}
}

// The kernel coalesces no datagrams of different ECN fields.
func TestCoalescedAlike(t *testing.T) {
	w := newWay(t)
	// What leaves a device that segments by itself is not coalesced.
	w.must(w.router.Do(func() error { return ethtool("right", ethtoolSetTSO, 0) }))
	w.must(w.right.Do(func() error { return ethtool("up", ethtoolSetGRO, 1) }))
	err := w.right.Do(func() error { return linger("up", 20*time.Millisecond) })
	certain := !errors.Is(err, unix.EPERM) // in user namespaces it is chance
	if certain {
		w.must(err)
	}
	for i := range lefts {
		a, b := w.on(w.left, lefts[i]), w.on(w.right, rights[i])
		send := func(tos int) {
			withTOS(t, a, tos)
			w.must(a.Send(bytes.Repeat([]byte{byte(tos)}, 1000), 1000, b.Local(), Marks{}, nil))
		}
		send(0) // neighbours get to know one another
		receive(t, b, 1)
		fields := []int{2, 2, 3, 3, 2, 2, 2, 0, 0, 3}
		for _, tos := range fields {
			send(tos)
		}
		batches := 0
		for got := 0; got < len(fields); batches++ {
			batch, err := b.Receive()
			w.must(err)
			for p, ok := batch.Next(); ok; p, ok = batch.Next() {
				if want := p[0] == ecnCE; batch.CE != want {
					t.Errorf("%v: packet %d: CE %v, want %v", lefts[i], got, batch.CE, want)
				}
				got++
			}
			batch.Release()
		}
		if certain && batches == len(fields) {
			t.Errorf("%v: nothing was coalesced", lefts[i])
		}
	}
}

const (
	ethtoolSetTSO = 0x1f
	ethtoolSetGRO = 0x2c
)

// ethtool switches a feature of a device.
func ethtool(device string, feature, on uint32) error {
	const siocEthtool = 0x8946
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	value := struct{ feature, on uint32 }{feature, on}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:], device)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), siocEthtool, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}

// linger has a device wait for datagrams to coalesce. It changes the thread's
// mounts: only the file system knows the setting, and lets only real root have it.
func linger(device string, d time.Duration) error {
	dir, err := os.MkdirTemp("", "udp-sys-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", dir, "sysfs", 0, ""); err != nil {
		return err
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	return os.WriteFile(dir+"/class/net/"+device+"/gro_flush_timeout", fmt.Append(nil, d.Nanoseconds()), 0)
}

func TestReceivedControl(t *testing.T) {
	gro, data := appendControl(nil, unix.IPPROTO_UDP, unix.UDP_GRO, 4)
	data[0], data[1] = 0xb0, 0x04 // 1200, little-endian
	both := marked(gro, netip.IPv6Loopback(), Marks{ECT: true})
	if size, tos := arrived(both); size != 1200 || tos != ecnECT0 {
		t.Errorf("size %d, TOS %#x", size, tos)
	}
	for n := range both { // cut short anywhere
		if size, tos := arrived(both[:n]); size != 0 && size != 1200 || tos != 0 && tos != ecnECT0 {
			t.Errorf("first %d octets: size %d, TOS %#x", n, size, tos)
		}
	}
}
