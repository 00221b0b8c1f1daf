package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"golang.org/x/sys/unix"
)

// Options that the library lacks.
const (
	optRecvRcvInfo = 32
	optExposePF    = 131
	exposePF       = 2
)

const (
	// sendBuffer has room for a few of the largest messages: the kernel refuses
	// one that is longer than the buffer.
	sendBuffer = 4 << 20

	// streams is what we ask for, each way.
	streams = 1024
)

// A socket is one of the kernel's, in the one-to-one style. One goroutine may
// receive while others send.
type socket struct {
	file *os.File
	raw  syscall.RawConn
	lib  *sctp.SCTPConn // for options alone: it would block a thread
	oob  []byte         // the receiver's
}

// newSocket makes a socket that is bound to addresses of ours.
func newSocket(from []netip.Addr, port uint16) (*socket, error) {
	family := unix.AF_INET
	for _, a := range from {
		if a.Is6() {
			family = unix.AF_INET6
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, fmt.Errorf("no SCTP in this kernel: %w: load the module sctp", err)
	}
	s, err := asSocket(fd)
	if err != nil {
		return nil, err
	}
	if err := s.setUp(fd); err != nil {
		s.close()
		return nil, fmt.Errorf("options of a socket: %w", err)
	}
	if err := sctp.SCTPBind(fd, addresses(from, port), sctp.SCTP_BINDX_ADD_ADDR); err != nil {
		s.close()
		return nil, fmt.Errorf("bind to %s, port %d: %w", join(from), port, err)
	}
	return s, nil
}

func asSocket(fd int) (*socket, error) {
	f := os.NewFile(uintptr(fd), "sctp")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &socket{file: f, raw: raw, lib: sctp.NewSCTPConn(fd, nil), oob: make([]byte, unix.CmsgSpace(64))}, nil
}

// setUp sets the options that also accepted sockets have, from their listener.
func (s *socket) setUp(fd int) error {
	exposing := make([]byte, 8) // struct sctp_assoc_value
	binary.NativeEndian.PutUint32(exposing[4:], exposePF)
	return errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer),
		unix.SetsockoptInt(fd, sctp.SOL_SCTP, sctp.SCTP_NODELAY, 1),
		unix.SetsockoptInt(fd, sctp.SOL_SCTP, optRecvRcvInfo, 1),
		unix.SetsockoptString(fd, sctp.SOL_SCTP, optExposePF, string(exposing)),
		s.lib.SetInitMsg(streams, streams, 0, 0),
		s.lib.SubscribeEvents(sctp.SCTP_EVENT_ASSOCIATION|sctp.SCTP_EVENT_ADDRESS),
	)
}

// addresses are a list for bindx and connectx.
func addresses(list []netip.Addr, port uint16) *sctp.SCTPAddr {
	a := &sctp.SCTPAddr{Port: int(port)}
	for _, ip := range list {
		a.IPAddrs = append(a.IPAddrs, net.IPAddr{IP: ip.AsSlice(), Zone: ip.Zone()})
	}
	return a
}

func (s *socket) close() error { return s.file.Close() }

// control makes a system call that does not wait.
func (s *socket) control(call func(fd int) error) (err error) {
	return errors.Join(s.raw.Control(func(fd uintptr) { err = call(int(fd)) }), err)
}

// connect begins to dial; what becomes of it is an event.
func (s *socket) connect(to []netip.Addr, port uint16) error {
	err := s.control(func(fd int) error {
		_, err := sctp.SCTPConnect(fd, addresses(to, port))
		return err
	})
	if errors.Is(err, unix.EINPROGRESS) {
		return nil
	}
	return err
}

// accept waits for the next association.
func (s *socket) accept() (*socket, error) {
	var fd int
	var err error
	waiting := s.raw.Read(func(l uintptr) bool {
		fd, _, err = unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF)
	})
	if err := errors.Join(waiting, err); err != nil {
		return nil, err
	}
	return asSocket(fd)
}

// A piece is a part of a message as the kernel delivers it, or a notification.
type piece struct {
	data         []byte
	notification bool
	last         bool // of its message
	label
}

// A label is what a message has beside its octets.
type label struct {
	stream    uint16
	ppid      uint32
	unordered bool
}

// receive waits for the next piece. io.EOF says that nothing more comes.
func (s *socket) receive(buf []byte) (p piece, err error) {
	var n, oobn, flags int
	waiting := s.raw.Read(func(fd uintptr) bool {
		n, oobn, flags, _, err = unix.Recvmsg(int(fd), buf, s.oob, 0)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	if err := errors.Join(waiting, err); err != nil {
		return p, err
	}
	if n == 0 {
		return p, io.EOF
	}
	return piece{
		data: buf[:n], notification: flags&sctp.MSG_NOTIFICATION != 0, last: flags&unix.MSG_EOR != 0,
		label: readLabel(s.oob[:oobn]),
	}, nil
}

// Both ancillary data are the only ones of their message.
const (
	sndInfoSize = 16 // struct sctp_sndinfo
	rcvInfoSize = 28 // struct sctp_rcvinfo
)

// readLabel reads the struct sctp_rcvinfo in ancillary data.
func readLabel(oob []byte) (l label) {
	if len(oob) < unix.CmsgLen(rcvInfoSize) {
		return l
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	if h.Level != sctp.SOL_SCTP || h.Type != sctp.SCTP_CMSG_RCVINFO {
		return l
	}
	info := oob[unix.CmsgLen(0):]
	return label{
		stream:    binary.NativeEndian.Uint16(info),
		unordered: binary.NativeEndian.Uint16(info[4:])&sctp.SCTP_UNORDERED != 0,
		ppid:      binary.BigEndian.Uint32(info[8:]), // as it was on the wire
	}
}

// ancillary is a label as the struct sctp_sndinfo in ancillary data.
func (l label) ancillary(oob []byte) []byte {
	var flags uint16
	if l.unordered {
		flags = sctp.SCTP_UNORDERED
	}
	oob = append(oob[:0], make([]byte, unix.CmsgSpace(sndInfoSize))...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = sctp.SOL_SCTP, sctp.SCTP_CMSG_SNDINFO
	h.SetLen(unix.CmsgLen(sndInfoSize))
	info := oob[unix.CmsgLen(0):]
	binary.NativeEndian.PutUint16(info, l.stream)
	binary.NativeEndian.PutUint16(info[2:], flags)
	binary.BigEndian.PutUint32(info[4:], l.ppid) // as it is on the wire
	return oob
}

// abort closes the socket and ends its association at once: with a linger time
// of 0 closing is aborting. A message with a flag for it, which the other style
// of sockets has, is refused here.
func (s *socket) abort() error {
	err := s.control(func(fd int) error {
		return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	if err != nil {
		return err
	}
	return s.close()
}

// send waits until the kernel has taken a message.
func (s *socket) send(message, ancillary []byte) (err error) {
	waiting := s.raw.Write(func(fd uintptr) bool {
		_, err = unix.SendmsgN(int(fd), message, ancillary, nil, unix.MSG_NOSIGNAL)
		return err != unix.EAGAIN && err != unix.EINTR
	})
	return errors.Join(waiting, err)
}
