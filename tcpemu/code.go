package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// A Code says on the wire why a connection was refused or reset (classes as
// in RFC 8803 section 6.2.8).
type Code uint8

// The codes; docs/tcp-emulation.md has their errno and SOCKS5 reply.
const (
	CodeVersion     Code = 0
	CodeMalformed   Code = 1
	CodeUnsupported Code = 2
	CodeDenied      Code = 32
	CodeResources   Code = 64
	CodeNetwork     Code = 65
	CodeAway        Code = 66 // going away: nothing was done, ask again over another association
	CodeRefused     Code = 96 // refused, or reset
	CodeUnreachable Code = 97
	CodeTimeout     Code = 98
	CodeNoName      Code = 99
	CodeLoop        Code = 100
)

// codes is the one table of what codes mean.
var codes = map[Code]struct {
	errno syscall.Errno
	text  string
}{
	CodeVersion:     {syscall.EPROTO, "protocol version not supported"},
	CodeMalformed:   {syscall.EPROTO, "malformed message"},
	CodeUnsupported: {syscall.EPROTO, "not supported"},
	CodeDenied:      {syscall.EACCES, "not authorised"},
	CodeResources:   {syscall.EAGAIN, "out of resources"},
	CodeNetwork:     {syscall.ENETUNREACH, "network failure"},
	CodeAway:        {syscall.ECONNREFUSED, "the peer is going away"},
	CodeRefused:     {syscall.ECONNREFUSED, "connection refused"},
	CodeUnreachable: {syscall.EHOSTUNREACH, "host unreachable"},
	CodeTimeout:     {syscall.ETIMEDOUT, "timed out"},
	CodeNoName:      {syscall.EHOSTUNREACH, "name not found"},
	CodeLoop:        {syscall.ELOOP, "loop or too many hops"},
}

// String returns what the code means, in words.
func (c Code) String() string {
	if e, ok := codes[c]; ok {
		return e.text
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// A RefusedError is the peer's answer to a connection that it did not accept.
// errors.Is finds the code's errno in it, such as syscall.ECONNREFUSED.
type RefusedError struct {
	Code Code
	Text string // the peer's words, printable; may be empty
}

// Error returns the code's meaning and the peer's words.
func (e *RefusedError) Error() string {
	if e.Text != "" {
		return e.Code.String() + ": " + e.Text
	}
	return e.Code.String()
}

// Unwrap returns the errno of the code, nil for a code of a later version.
func (e *RefusedError) Unwrap() error {
	if errno := codes[e.Code].errno; errno != 0 {
		return errno
	}
	return nil
}

// CodeOf returns the code that describes an error of a dial, for passing it
// on: that of a RefusedError, else the one of its errno, CodeNetwork if it has
// none that is known. CodeRefused stands for nil.
func CodeOf(err error) Code {
	var refused *RefusedError
	var dns *net.DNSError
	switch {
	case err == nil:
		return CodeRefused
	case errors.As(err, &refused):
		return refused.Code
	case errors.As(err, &dns):
		return CodeNoName
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return CodeDenied
	case errors.Is(err, syscall.ELOOP):
		return CodeLoop
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return CodeRefused
	case errors.Is(err, syscall.EHOSTUNREACH):
		return CodeUnreachable
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return CodeTimeout
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EMFILE):
		return CodeResources
	}
	return CodeNetwork
}
