//go:build linux && !386 && !arm && !mips && !mipsle

package kernel

import (
	"encoding/binary"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openSocket returns a new descriptor; v6 is for addresses of both families.
func openSocket(v6 bool) (fd int, err error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_SCTP)
	if err != nil || !v6 {
		return fd, err
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func closeDescriptor(fd int) error { return unix.Close(fd) }

// setOption and getOption are for level IPPROTO_SCTP. getOption returns how
// many octets there are in value.
func setOption(fd, num int, value []byte) error {
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, uintptr(num),
		uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(len(value)), 0)
	return errnoOrNil(e)
}

func getOption(fd, num int, value []byte) (int, error) {
	n := uint32(len(value))
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_SCTP, uintptr(num),
		uintptr(unsafe.Pointer(unsafe.SliceData(value))), uintptr(unsafe.Pointer(&n)), 0)
	return int(n), errnoOrNil(e)
}

func errnoOrNil(e syscall.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// setBuffers sets both buffers in octets, beyond the limits of the system
// where this process may. The kernel doubles what it is told, and announces
// half of what it has as the window.
func setBuffers(fd, receive, send int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receive) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receive); err != nil {
			return err
		}
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, send) != nil {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, send)
	}
	return nil
}

// sendBuffer is how many octets the kernel takes.
func sendBuffer(fd int) (int, error) { return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF) }

// reuse lets a listener take a port that associations of an earlier one use.
func reuse(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }

func listenSocket(fd, backlog int) error { return unix.Listen(fd, backlog) }

func acceptSocket(fd int) (int, error) {
	n, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	return n, err
}

// pendingError is the error that the kernel has for the socket, and forgets.
func pendingError(fd int) error {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	return errnoOrNil(syscall.Errno(n))
}

// shutdownSocket begins a graceful end (RFC 6458 section 4.1.7).
func shutdownSocket(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// abortOnClose has closing send an ABORT (RFC 6458 section 4.1.6).
func abortOnClose(fd int) error {
	return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
}

// Control messages of level IPPROTO_SCTP (RFC 6458 sections 5.3.4 and 5.3.5).
const (
	cmsgSndInfo   = 2
	cmsgRcvInfo   = 3
	sizeofRcvInfo = 28

	flagUnordered = 1
)

// sndInfo is a control message with struct sctp_sndinfo.
type sndInfo struct {
	header        unix.Cmsghdr
	stream, flags uint16
	ppid          [4]byte // the kernel does not touch it
	_             uint32  // context
	_             assoc
}

// sendMessage gives a message to the kernel, which takes it whole.
func sendMessage(fd int, m Message) error {
	c := sndInfo{header: unix.Cmsghdr{Level: unix.IPPROTO_SCTP, Type: cmsgSndInfo}, stream: m.Stream}
	c.header.SetLen(int(unsafe.Sizeof(c)))
	if m.Unordered {
		c.flags = flagUnordered
	}
	binary.BigEndian.PutUint32(c.ppid[:], m.PPID)
	_, err := unix.SendmsgN(fd, m.Data, octets(&c), nil, unix.MSG_NOSIGNAL)
	return err
}

// receivePart reads the next part of a message or notification into b. info
// has no data.
func receivePart(fd int, b []byte) (n int, info Message, flags partFlags, err error) {
	var oob [64]byte
	n, oobn, got, _, err := unix.Recvmsg(fd, b, oob[:], 0)
	if err != nil {
		return 0, info, 0, err
	}
	if got&unix.MSG_EOR != 0 {
		flags |= partLast
	}
	const notification = 0x8000 // MSG_NOTIFICATION
	if got&notification != 0 {
		return n, info, flags | partNotification, nil
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return 0, info, 0, err
	}
	for _, c := range messages {
		if c.Header.Level == unix.IPPROTO_SCTP && c.Header.Type == cmsgRcvInfo && len(c.Data) >= sizeofRcvInfo {
			info.Stream = binary.NativeEndian.Uint16(c.Data)
			info.Unordered = binary.NativeEndian.Uint16(c.Data[4:])&flagUnordered != 0
			info.PPID = binary.BigEndian.Uint32(c.Data[8:])
		}
	}
	return n, info, flags, nil
}

// readSysctl is the text of a sysctl of SCTP in this network namespace.
func readSysctl(name string) (string, error) {
	b, err := os.ReadFile("/proc/sys/net/sctp/" + name)
	return string(b), err
}
