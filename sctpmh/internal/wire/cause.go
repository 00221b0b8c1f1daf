package wire

import "fmt"

// CauseCode is the code of an error cause in ABORT and ERROR (section
// 3.3.10).
type CauseCode uint16

// Error causes.
const (
	CauseInvalidStream         CauseCode = 1
	CauseMissingParam          CauseCode = 2
	CauseStaleCookie           CauseCode = 3
	CauseOutOfResource         CauseCode = 4
	CauseUnresolvableAddr      CauseCode = 5
	CauseUnrecognizedChunk     CauseCode = 6
	CauseInvalidMandatoryParam CauseCode = 7
	CauseUnrecognizedParams    CauseCode = 8
	CauseNoUserData            CauseCode = 9
	CauseCookieInShutdown      CauseCode = 10
	CauseRestartNewAddrs       CauseCode = 11
	CauseUserAbort             CauseCode = 12
	CauseProtocolViolation     CauseCode = 13
)

var causeNames = [...]string{
	CauseInvalidStream:         "invalid stream identifier",
	CauseMissingParam:          "missing mandatory parameter",
	CauseStaleCookie:           "stale cookie",
	CauseOutOfResource:         "out of resource",
	CauseUnresolvableAddr:      "unresolvable address",
	CauseUnrecognizedChunk:     "unrecognized chunk type",
	CauseInvalidMandatoryParam: "invalid mandatory parameter",
	CauseUnrecognizedParams:    "unrecognized parameters",
	CauseNoUserData:            "no user data",
	CauseCookieInShutdown:      "cookie received while shutting down",
	CauseRestartNewAddrs:       "restart with new addresses",
	CauseUserAbort:             "user-initiated abort",
	CauseProtocolViolation:     "protocol violation",
}

func (c CauseCode) String() string {
	if int(c) < len(causeNames) && causeNames[c] != "" {
		return causeNames[c]
	}
	return fmt.Sprintf("cause %d", uint16(c))
}

// A Cause is a view of one error cause.
type Cause struct {
	Code CauseCode
	Info []byte // without header and padding
}

// NextCause returns the first cause of b and what follows it, and reports
// false when b does not begin with a whole one.
func NextCause(b []byte) (c Cause, rest []byte, ok bool) {
	t, v, _, rest, ok := nextTLV(b)
	return Cause{Code: CauseCode(t), Info: v}, rest, ok
}

// AppendCause appends an error cause and its padding.
func AppendCause(b []byte, code CauseCode, info []byte) []byte {
	b, start := beginTLV(b, byte(code>>8), byte(code))
	return endTLV(append(b, info...), start)
}
