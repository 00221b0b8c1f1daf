package splice

import (
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcpLeg is a connection of TCP whose urgent octets stay in their place in the
// stream. Without that an urgent octet is lost to who reads as usual: a telnet
// server would wait forever for the DM that ends a Synch.
type tcpLeg struct {
	net.Conn
	raw syscall.RawConn
}

// newTCPLeg reports false for what is not TCP, or reads from elsewhere before.
func newTCPLeg(c net.Conn) (leg, bool) {
	tcp, ok := c.(interface {
		net.Conn
		syscall.Conn
		MultipathTCP() (bool, error)
	})
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, false
	}
	_ = raw.Control(func(fd uintptr) { // a socket without it has no urgency either
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	})
	return &tcpLeg{Conn: tcp, raw: raw}, true
}

// ReadUrgent reads up to an urgent octet, or that octet. One that comes between
// the question for it and the read is read in line.
func (l *tcpLeg) ReadUrgent(b []byte) (n int, urgent bool, err error) {
	var errno error
	err = l.raw.Read(func(fd uintptr) (done bool) {
		mark, merr := unix.IoctlGetInt(int(fd), unix.SIOCATMARK)
		urgent = merr == nil && mark != 0
		into := b
		if urgent {
			into = b[:1]
		}
		n, errno = retry(func() (int, error) { return unix.Read(int(fd), into) })
		return errno != unix.EAGAIN
	})
	switch {
	case err != nil:
		return 0, false, err
	case errno != nil:
		return 0, false, &net.OpError{Op: "read", Net: "tcp", Source: l.LocalAddr(), Addr: l.RemoteAddr(), Err: os.NewSyscallError("read", errno)}
	case n == 0:
		return 0, false, io.EOF
	}
	return n, urgent, nil
}

// WriteUrgent sends an octet with MSG_OOB.
func (l *tcpLeg) WriteUrgent(octet byte) error {
	var errno error
	err := l.raw.Write(func(fd uintptr) (done bool) {
		_, errno = retry(func() (int, error) {
			return unix.SendmsgN(int(fd), []byte{octet}, nil, nil, unix.MSG_OOB|unix.MSG_NOSIGNAL)
		})
		return errno != unix.EAGAIN
	})
	if err == nil && errno != nil {
		err = &net.OpError{Op: "write", Net: "tcp", Source: l.LocalAddr(), Addr: l.RemoteAddr(), Err: os.NewSyscallError("sendmsg", errno)}
	}
	return err
}

// retry calls again what a signal has interrupted.
func retry(call func() (int, error)) (n int, err error) {
	for {
		if n, err = call(); err != unix.EINTR {
			return n, err
		}
	}
}
