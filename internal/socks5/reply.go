package socks5

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"strconv"
	"syscall"
)

// Reply is a reply code of RFC 1928 section 6.
type Reply uint8

// The replies.
const (
	ReplyOK          Reply = 0
	ReplyFailure     Reply = 1
	ReplyNotAllowed  Reply = 2
	ReplyNetwork     Reply = 3
	ReplyHost        Reply = 4
	ReplyRefused     Reply = 5
	ReplyTTLExpired  Reply = 6
	ReplyCommand     Reply = 7
	ReplyAddressType Reply = 8
)

var replyNames = [...]string{"succeeded", "general failure", "not allowed by ruleset", "network unreachable",
	"host unreachable", "connection refused", "TTL expired", "command not supported", "address type not supported"}

func (r Reply) String() string {
	if int(r) < len(replyNames) {
		return replyNames[r]
	}
	return "reply " + strconv.Itoa(int(r))
}

// ReplyTo is the reply for an error of Dial, by the class of the error: a timeout
// is 06, a name that cannot be resolved 04, a permission error 02, and so on; 01
// if nothing better is known.
func ReplyTo(err error) Reply {
	if err == nil {
		return ReplyOK
	}
	var parse *parseError
	if errors.As(err, &parse) {
		return parse.reply
	}
	for _, c := range replyClasses {
		if errors.Is(err, c.err) {
			return c.reply
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return ReplyHost
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return ReplyTTLExpired
	}
	return ReplyFailure
}

// replyClasses is asked in order. The errno classes are those that errors of
// associations map to, so a refusal by a gateway reads as one by the target.
var replyClasses = []struct {
	err   error
	reply Reply
}{
	{syscall.ECONNREFUSED, ReplyRefused},
	{syscall.ECONNRESET, ReplyRefused},
	{fs.ErrPermission, ReplyNotAllowed}, // EACCES and EPERM too
	{syscall.ELOOP, ReplyNotAllowed},
	{syscall.ENETUNREACH, ReplyNetwork},
	{syscall.ENETDOWN, ReplyNetwork},
	{syscall.EADDRNOTAVAIL, ReplyNetwork},
	{syscall.EHOSTUNREACH, ReplyHost},
	{syscall.EHOSTDOWN, ReplyHost},
	{syscall.ETIMEDOUT, ReplyTTLExpired},
	{context.DeadlineExceeded, ReplyTTLExpired},
	{os.ErrDeadlineExceeded, ReplyTTLExpired},
}
