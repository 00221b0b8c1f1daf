package kernel

import (
	"math"
	"time"
)

// Config sets sockets up. The zero value of each field means its default.
type Config struct {
	// Port is the SCTP port listened at, and the one dialled. Default 5000.
	Port uint16

	// MaxStreams is how many streams are asked for and accepted each way.
	// Default 16,384.
	MaxStreams uint16

	// ReceiveBuffer is the window announced to the peer, in octets. The
	// kernel takes twice as much for its own use, and not more than
	// net.core.rmem_max from users without CAP_NET_ADMIN. Default 1 MiB.
	ReceiveBuffer int

	// SendBuffer is how many octets wait for the peer before Send blocks, and
	// with it the largest message. net.core.wmem_max bounds it as above.
	// Default 1 MiB.
	SendBuffer int

	// Adaptation is the Adaptation Layer Indication announced (RFC 5061
	// section 4.2.6). Zero: none.
	Adaptation uint32

	// HeartbeatInterval is the idle time after which a permitted path is
	// probed. The kernel adds about the path's retransmission timeout.
	// Default 5 s.
	HeartbeatInterval time.Duration

	// RTOMin is the least retransmission timeout. Default 100 ms. It must
	// exceed the time that the peer holds acknowledgements back.
	RTOMin time.Duration

	// SACKDelay is the longest time that an acknowledgement is held back.
	// Default 20 ms, at most 500 ms (RFC 9260 section 6.2).
	SACKDelay time.Duration

	// PathMaxRetrans is how many timeouts in a row a path survives before it
	// is inactive (RFC 9260 section 8.2). It has been left at the first.
	// Default 5, at least 2: below the kernel has no potentially failed state.
	PathMaxRetrans uint16

	// MaxRetrans is how many timeouts in a row over all paths end the
	// association (RFC 9260 section 8.1). Default 10.
	MaxRetrans uint16

	// Backlog bounds the associations that wait to be accepted; while there
	// are as many, further handshakes are not answered. Default 128.
	Backlog int
}

func (c *Config) withDefaults() Config {
	var d Config
	if c != nil {
		d = *c
	}
	d.Port = or(d.Port, 5000)
	d.MaxStreams = or(d.MaxStreams, 16384)
	d.ReceiveBuffer = or(d.ReceiveBuffer, 1<<20)
	d.SendBuffer = or(d.SendBuffer, 1<<20)
	d.HeartbeatInterval = or(d.HeartbeatInterval, 5*time.Second)
	d.RTOMin = or(d.RTOMin, 100*time.Millisecond)
	d.SACKDelay = or(d.SACKDelay, 20*time.Millisecond)
	d.PathMaxRetrans = max(2, or(d.PathMaxRetrans, 5))
	d.MaxRetrans = or(d.MaxRetrans, 10)
	d.Backlog = or(d.Backlog, 128)
	return d
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// What no user has asked to change.
const (
	// rtoInitial is the time after which the next address of a list is
	// dialled (SCTP_RTOINFO; the kernel takes the next one at each timeout of
	// the INIT).
	rtoInitial = 250 * time.Millisecond

	// rtoMax bounds the doubling of the timeout (RFC 9260 section 6.3.3), so
	// that a path that comes back is noticed.
	rtoMax = 5 * time.Second

	// initTimeoutMax bounds the time between two INITs, and initAttempts their
	// number: the dialler's context ends a dial long before (SCTP_INITMSG).
	initTimeoutMax = time.Second
	initAttempts   = math.MaxUint16
)

// Bounds on what a peer can make grow.
const (
	// MaxMessage bounds one message, in octets: a peer that never ends one
	// would fill memory. A longer one aborts the association.
	MaxMessage = 1 << 20

	// maxNotification bounds what the kernel says of one event: a message
	// that could not be sent is a part of it.
	maxNotification = 1 << 20

	// maxAddrs bounds the addresses of a peer. The kernel keeps all that an
	// INIT lists; an association with many more is ended.
	maxAddrs = 64
)
