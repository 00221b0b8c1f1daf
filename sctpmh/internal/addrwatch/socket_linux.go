package addrwatch

import (
	"cmp"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	answerTimeout = 5 * time.Second // the kernel answers within milliseconds, or its answer was dropped
	datagram      = 64 << 10        // the kernel fills at most half of it
)

var (
	// errInterrupted is of a dump during which something has changed: what it
	// lists may be of no single moment.
	errInterrupted = errors.New("a change came between the parts of the answer")
	errMalformed   = errors.New("the answer holds a malformed message")
)

// A socket is one of NETLINK_ROUTE. It stays in the network namespace of the
// thread that has opened it. It is non-blocking and in the runtime's poller:
// Close ends a Read that waits.
type socket struct {
	*os.File
	seq uint32 // of the last request
}

// openSocket opens a socket that is notified of what happens to these groups.
func openSocket(groups ...uint) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &socket{File: os.NewFile(uintptr(fd), "netlink")}
	local := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range groups {
		local.Groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, local); err != nil {
		s.Close()
		return nil, os.NewSyscallError("bind", err)
	}
	return s, nil
}

// dump requests all of a kind and hands the messages of the answer to take,
// which reports false for what is malformed. It reads the answer to its end
// whatever is wrong with it: before that the kernel takes no other request.
func (s *socket) dump(kind uint16, take func(message) bool) error {
	s.seq++
	if err := s.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if _, err := s.Write(appendDump(nil, kind, s.seq)); err != nil {
		return err
	}
	buf, problem := make([]byte, datagram), error(nil)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return err
		}
		for b := buf[:n]; len(b) > 0; {
			m, rest, ok := nextMessage(b)
			b = rest
			if ok && m.seq != s.seq {
				continue // of a dump that was given up
			}
			if ok && m.flags&unix.NLM_F_DUMP_INTR != 0 {
				problem = cmp.Or(problem, errInterrupted)
			}
			switch {
			case ok && (m.kind == unix.NLMSG_DONE || m.kind == unix.NLMSG_ERROR):
				return cmp.Or(kernelError(m), problem)
			case !ok || !take(m):
				problem = errMalformed
			}
		}
	}
}

// appendDump appends a request for all of a kind, of all address families.
func appendDump(b []byte, kind uint16, seq uint32) []byte {
	const length = unix.SizeofNlMsghdr + 4 // struct rtgenmsg, padded
	b = native.AppendUint32(b, length)
	b = native.AppendUint16(b, kind)
	b = native.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = native.AppendUint32(b, seq)
	b = native.AppendUint32(b, 0) // from whom: the kernel knows
	return append(b, unix.AF_UNSPEC, 0, 0, 0)
}

// kernelError returns what the last message of an answer says went wrong.
func kernelError(m message) error {
	if len(m.body) < 4 {
		return nil
	}
	if code := int32(native.Uint32(m.body)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}
