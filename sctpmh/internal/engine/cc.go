package engine

import (
	"math"
	"time"
)

// CongestionControl is how a path's window grows when it is not in slow start,
// and shrinks on loss.
type CongestionControl uint8

// The algorithms.
const (
	CUBIC   CongestionControl = iota // RFC 9438, the default
	NewReno                          // RFC 9260 section 7.2
)

// growthLimit is L of RFC 9260 section 7.2.1: how many packets' worth of
// acknowledged octets one SACK may add to the window in slow start. One SACK
// answers a whole batch of packets here, so 1 would make slow start linear; 8
// is what RFC 9406 section 4.3 gives a sender that does not pace.
const growthLimit = 8

// congestion is the congestion control of one path. Its window never outlives
// the path's failure: a timeout starts it over.
//
// Invariant: cwnd >= mtu.
type congestion struct {
	algorithm      CongestionControl
	cwnd, ssthresh int
	start          slowStart
	reno           reno
	cubic          cubic

	// recovery is the number of the first transmission after the last
	// reduction: a loss of an earlier one belongs to the same event.
	recovery   xmitNum
	inRecovery bool

	usedAt Time // when data was last sent

	// full is the last transmission at the time when the window last held data
	// back: what is acknowledged up to it was sent with a window in full use.
	// That the flight is below the window when a SACK comes says little, because
	// packets are paced.
	full xmitNum

	undo undo
}

func newCongestion(algorithm CongestionControl, mtu int, v4 bool) congestion {
	// "min(4 * PMDCS, max(2 * PMDCS, 4404))", 4344 for IPv6 (section 7.2.1).
	limit := 4344
	if v4 {
		limit = 4404
	}
	return congestion{algorithm: algorithm, cwnd: min(4*mtu, max(2*mtu, limit)), ssthresh: math.MaxInt32}
}

// ackedData is what a SACK says of a path.
type ackedData struct {
	octets int           // newly acknowledged
	flight int           // before the SACK
	rtt    time.Duration // of a chunk sent once, 0: none
	srtt   time.Duration
	xmit   xmitNum // the latest transmission acknowledged
	next   xmitNum // the number of the one to come
}

// ack grows the window.
func (c *congestion) ack(now Time, d ackedData, mtu int) {
	if c.cwnd <= c.ssthresh {
		c.start.round(d)
	}
	// "only if the current congestion window is being fully utilized and the
	// data sender is not in Fast Recovery": less than a packet was unused, or
	// data had to wait since.
	if c.inRecovery || d.flight < c.cwnd-mtu && (c.full == 0 || d.xmit > c.full) {
		c.cubic.idle(now)
		return
	}
	switch {
	case c.cwnd <= c.ssthresh:
		c.cwnd += c.start.grow(min(d.octets, growthLimit*mtu))
		if c.start.over() {
			c.ssthresh, c.start = c.cwnd, slowStart{}
			c.cubic.begin(now, c.cwnd, c.cwnd, mtu)
		}
	case c.algorithm == NewReno:
		c.cwnd = c.reno.grow(c.cwnd, d.octets, mtu)
	default:
		c.cwnd = c.cubic.grow(now, c.cwnd, d.octets, d.srtt, mtu)
	}
}

// use notes that data is sent now. When nothing was in flight, the window was
// halved for each timeout since it was last used: the network may have changed
// (section 7.2.1, "While the endpoint does not transmit data on a given
// transport address"). ssthresh remembers the window, but a slow start that met
// no loss is not ended for it.
func (c *congestion) use(now Time, idle bool, rto time.Duration, mtu int) {
	if gap := now.Sub(c.usedAt); idle && c.usedAt != 0 && gap >= rto {
		c.ssthresh = max(c.ssthresh, c.cwnd)
		for ; gap >= rto && c.cwnd > 4*mtu; gap -= rto {
			c.cwnd = max(c.cwnd/2, 4*mtu)
		}
		c.cubic.idle(c.usedAt)
	}
	c.usedAt = now
}

// ackedXmit ends fast recovery when a transmission made after its start is
// acknowledged.
func (c *congestion) ackedXmit(x xmitNum) {
	if c.inRecovery && x >= c.recovery {
		c.inRecovery = false
	}
}

// lost shrinks the window, once for all losses of one round trip. x is the
// lost transmission, next the number of the one to come. It reports whether
// this was the first loss of its round trip.
func (c *congestion) lost(now Time, x, next xmitNum, mtu int) bool {
	if x < c.recovery {
		return false // it left before the last reduction
	}
	c.reduce(now, mtu)
	c.cwnd = c.ssthresh
	c.inRecovery, c.recovery = true, next
	return true
}

// marked shrinks the window for congestion that the network signalled: once a
// round trip, as for a loss.
func (c *congestion) marked(now Time, next xmitNum, mtu int) {
	if !c.inRecovery {
		c.lost(now, next, next, mtu)
	}
}

// timeout starts over after T3-rtx expired (section 7.2.3): "cwnd = 1 *
// PMDCS".
func (c *congestion) timeout(now Time, mtu int) {
	c.reduce(now, mtu)
	c.cwnd = mtu
	c.inRecovery = false
	c.start = slowStart{}
}

// reduce sets ssthresh for a loss.
func (c *congestion) reduce(now Time, mtu int) {
	c.undo.begin(c)
	if c.algorithm == NewReno {
		c.ssthresh = max(c.cwnd/2, 4*mtu)
		c.reno = reno{}
		return
	}
	c.ssthresh = max(int(float64(c.cwnd)*cubicBeta), 4*mtu)
	c.cubic.reduced(now, c.cwnd, c.ssthresh, mtu)
}

// reno is growth by a packet each round trip (RFC 9260 section 7.2.2).
type reno struct {
	acked int // partial_bytes_acked
}

func (r *reno) grow(cwnd, octets, mtu int) int {
	if r.acked += octets; r.acked >= cwnd {
		r.acked -= cwnd
		cwnd += mtu
	}
	return cwnd
}
