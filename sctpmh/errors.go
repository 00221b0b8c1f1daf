package sctpmh

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// ErrClosed is the error of an endpoint or association that was closed here.
// errors.Is finds net.ErrClosed in it.
var ErrClosed = fmt.Errorf("association closed: %w", net.ErrClosed)

// Errors of Send that are the caller's.
var (
	ErrEmpty  = engine.ErrEmpty  // SCTP has no empty messages
	ErrTooBig = engine.ErrTooBig // the message exceeds what the peer can put together
	ErrStream = engine.ErrStream // the stream number exceeds Peer.OutStreams
)

// ErrTooManyAssociations is the error of a dial beyond
// Config.MaxAssociations.
var ErrTooManyAssociations = errors.New("too many associations: close some or raise max-associations")

// An AbortError is the end of an association by an ABORT chunk. errors.Is
// finds syscall.ECONNRESET in one from the peer, and syscall.ECONNREFUSED in
// one that answered a dial; in a dial that took longer than the peer's cookie
// lives (RFC 9260 section 5.2.6) syscall.ETIMEDOUT.
type AbortError struct {
	Remote bool   // the peer sent it
	Dial   bool   // it answered the handshake
	Code   uint16 // first error cause (RFC 9260 section 3.3.10), 0 without
	Reason string // what it said

	err *engine.AbortError
}

func (e *AbortError) Error() string { return e.err.Error() }

// Is makes a remote abort what a TCP reset is.
func (e *AbortError) Is(target error) bool {
	switch {
	case !e.Remote:
		return target == net.ErrClosed
	case e.Dial && e.Code == uint16(wire.CauseStaleCookie):
		return target == syscall.ETIMEDOUT
	case e.Dial:
		return target == syscall.ECONNREFUSED
	}
	return target == syscall.ECONNRESET
}

// A TimeoutError says that no path answered. errors.Is finds
// syscall.ETIMEDOUT in it.
type TimeoutError struct {
	Op    string // "handshake", "association" or "shutdown"
	Tried []Pair
}

func (e *TimeoutError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op + " timed out: no answer over ")
	for i, p := range e.Tried {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Timeout reports true, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary reports false, as net.Error has it.
func (e *TimeoutError) Temporary() bool { return false }

// Is makes it what a TCP timeout is.
func (e *TimeoutError) Is(target error) bool { return target == syscall.ETIMEDOUT }

// publicError translates an error of the engine; established says whether the
// association ever was.
func publicError(err error, established bool) error {
	var abort *engine.AbortError
	var timeout *engine.TimeoutError
	switch {
	case errors.As(err, &abort):
		return &AbortError{Remote: abort.Remote, Dial: !established, Code: uint16(abort.Code), Reason: abort.Reason, err: abort}
	case errors.As(err, &timeout):
		return &TimeoutError{Op: timeout.Op, Tried: public(timeout.Tried)}
	}
	return err
}

var _ net.Error = (*TimeoutError)(nil)
