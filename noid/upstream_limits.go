package noid

import "time"

// Bounds on what servers, and those who have names looked up, can make the
// transport of questions do. How many questions are under way is in limits.go.
const (
	maxZoneQueries = 16   // of the questions under way are for one zone: one that is silent must not keep others from being found
	maxWaiting     = 1024 // questions wait for their turn: each is a goroutine of somebody who can ask for names
	maxZoneWaiting = 128  // of them for one zone
	slotPatience   = time.Second

	penalty     = 30 * time.Second // for which a server that failed comes after the others
	confPoll    = 5 * time.Second  // between looks at resolv.conf
	maxConf     = 1 << 16          // octets of it that are read
	maxTimeout  = 30 * time.Second // of its options, as in libc
	maxAttempts = 5
	maxNdots    = 15

	maxUpstreams = 3 // of a resolv.conf, as in libc
	maxExtended  = 3 // errors of an answer that are told: a server sends as many as it likes

	ednsSize  = 1232 // octets of an answer over UDP: more may be sent in fragments, which can be forged (RFC 9715 section 3.2)
	maxStrays = 16   // packets or messages that answer nothing, until their flood is taken for an attack

	streamTimeout = 2 * time.Second  // until a connection is made, and until an answer comes over it
	streamTries   = 2                // the server may still be looking for the answer at the first
	streamIdle    = 10 * time.Second // without questions, until it is closed (RFC 7766 section 6.2.3)
	maxMessage    = 1 << 16          // octets of an answer over a stream (RFC 1035 section 4.2.2)
	maxHeader     = 16 << 10         // octets of the header of an answer over HTTPS
)
