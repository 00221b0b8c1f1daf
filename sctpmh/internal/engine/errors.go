package engine

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// Errors of [Assoc.Send]: nothing of the message was taken.
var (
	ErrClosed = errors.New("association is closed")
	ErrSetup  = errors.New("association is not set up yet: what the peer can take is not known")
	ErrEmpty  = errors.New("empty message: SCTP has none (RFC 9260 section 3.3.1)")
	ErrTooBig = errors.New("message exceeds 1 MiB or half of the window that the peer announced")
	ErrStream = errors.New("stream number is beyond what the peer accepts")
	ErrFull   = errors.New("send buffer is full")
)

// An AbortError is the end of an association by an ABORT chunk (RFC 9260
// section 9.1).
type AbortError struct {
	Remote  bool           // the peer sent it
	Restart bool           // it did not: it set up a new association, the old one is forgotten
	Code    wire.CauseCode // first error cause, 0 when there was none
	Reason  string         // what the causes said
}

func (e *AbortError) Error() string {
	who := "aborted"
	if e.Remote {
		who = "aborted by peer"
	}
	switch {
	case e.Reason != "":
		return who + ": " + e.Reason
	case e.Code != 0:
		return fmt.Sprintf("%s: cause %v", who, e.Code)
	}
	return who
}

// A TimeoutError says that no path answered.
type TimeoutError struct {
	Op    string // "handshake", "association", "shutdown"
	Tried []Pair
}

func (e *TimeoutError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(" timed out: no answer over ")
	for i, p := range e.Tried {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Timeout reports that the error is one of time, as net.Error has it.
func (e *TimeoutError) Timeout() bool { return true }
