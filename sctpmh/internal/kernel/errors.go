package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// ErrTooBig is the error of a message that exceeds MaxMessage or the send
// buffer.
var ErrTooBig = errors.New("message exceeds the send buffer: send less at a time, or raise the send buffer and net.core.wmem_max")

// ErrEmpty is the error of a message without data: SCTP has none such.
var ErrEmpty = errors.New("message without data")

// ErrStream is the error of a stream number that the peer did not agree to.
var ErrStream = errors.New("stream number exceeds the streams of the association")

// An OpError is what failed at which address. Err is found by errors.Is and
// errors.As: syscall.ECONNREFUSED (the peer or its host said no),
// syscall.ETIMEDOUT (nobody answered), another errno, an *AbortError, or the
// context's error.
type OpError struct {
	Op    string // "listen", "dial", ...
	Addrs []netip.Addr
	Port  uint16 // of SCTP, 0 where it does not matter
	Err   error
}

func (e *OpError) Error() string {
	var b strings.Builder
	b.WriteString("kernel SCTP: " + e.Op)
	for i, a := range e.Addrs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(" " + a.String())
	}
	if e.Port != 0 {
		fmt.Fprintf(&b, " port %d", e.Port)
	}
	b.WriteString(": " + e.Err.Error())
	if hint := hints[errno(e.Err)]; hint != "" {
		b.WriteString(": " + hint)
	}
	return b.String()
}

func (e *OpError) Unwrap() error { return e.Err }

// hints are what to do about some errors of the kernel.
var hints = map[syscall.Errno]string{
	syscall.EPROTONOSUPPORT: "this kernel has no SCTP: load it with modprobe sctp, or take the udp backend",
	syscall.EADDRNOTAVAIL:   "the address is not of this host: name one that is",
	syscall.EADDRINUSE:      "another socket has the port: end it, or take another port",
	syscall.ETIMEDOUT:       "no address answered: check the route, the UDP port and the firewalls",
	syscall.ECONNREFUSED:    "nothing listens there: start it, or check the port",
	syscall.ENETUNREACH:     "there is no route: bring a link up",
}

func errno(err error) (e syscall.Errno) {
	errors.As(err, &e)
	return e
}

// An AbortError is the end of an association by an ABORT chunk. errors.Is
// finds syscall.ECONNRESET in one from the peer, net.ErrClosed in one from
// here.
type AbortError struct {
	Remote bool   // the peer sent it
	Code   uint16 // first error cause (RFC 9260 section 3.3.10), 0 without
	Reason string // what was said
}

const causeUserAbort, causeProtocolViolation = 12, 13 // RFC 9260 sections 3.3.10.12 and 13

func (e *AbortError) Error() string {
	who := "aborted"
	if e.Remote {
		who = "aborted by the peer"
	}
	if e.Code != 0 {
		who += fmt.Sprintf(", cause %d", e.Code)
	}
	if e.Reason != "" {
		who += fmt.Sprintf(": %q", e.Reason)
	}
	return who
}

// Is makes a remote abort what a TCP reset is.
func (e *AbortError) Is(target error) bool {
	if e.Remote {
		return target == syscall.ECONNRESET
	}
	return target == net.ErrClosed
}

// A NotPermittedError says that the association was aborted because it had
// come to depend on addresses that Restrict does not permit.
type NotPermittedError struct {
	Addrs []netip.Addr
}

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("aborted: the peer lists %v, which may not be used: have its name hold them, or do not insist", e.Addrs)
}
