package engine

import "math"

// growthLimit is L of RFC 9260 section 7.2.1: how many packets' worth of
// acknowledged octets one SACK may add to the window in slow start. One SACK
// answers a whole batch of packets here, so 1 would make slow start linear; 8
// is what RFC 9406 section 4.2 gives a sender that does not pace.
const growthLimit = 8

// newReno is the congestion control of one path (RFC 9260 section 7.2).
//
// Invariant: cwnd >= mtu.
type newReno struct {
	cwnd, ssthresh int
	acked          int // partial_bytes_acked

	// recovery is the number of the first transmission after the last
	// reduction: a loss of an earlier one belongs to the same event.
	recovery   xmitNum
	inRecovery bool
}

func newNewReno(mtu int, v4 bool) newReno {
	// "min(4 * PMDCS, max(2 * PMDCS, 4404))", 4344 for IPv6 (section 7.2.1).
	limit := 4344
	if v4 {
		limit = 4404
	}
	return newReno{cwnd: min(4*mtu, max(2*mtu, limit)), ssthresh: math.MaxInt32}
}

// ack grows the window for octets newly acknowledged. flight is what was
// outstanding before the SACK, advanced says that the cumulative TSN moved.
func (c *newReno) ack(octets, flight, mtu int, advanced bool) {
	full := flight >= c.cwnd-mtu // less than a packet was unused
	if c.inRecovery || !full {
		return
	}
	if c.cwnd <= c.ssthresh {
		c.cwnd += min(octets, growthLimit*mtu)
		return
	}
	if c.acked += octets; c.acked >= c.cwnd {
		c.acked -= c.cwnd
		c.cwnd += mtu
	}
}

// ackedXmit ends fast recovery when a transmission made after its start is
// acknowledged.
func (c *newReno) ackedXmit(x xmitNum) {
	if c.inRecovery && x >= c.recovery {
		c.inRecovery = false
	}
}

// lost halves the window once per round trip (section 7.2.3). x is the lost
// transmission, next the number of the one to come.
func (c *newReno) lost(x, next xmitNum, mtu int) {
	if c.inRecovery && x < c.recovery {
		return
	}
	c.ssthresh = max(c.cwnd/2, 4*mtu)
	c.cwnd = c.ssthresh
	c.acked = 0
	c.inRecovery, c.recovery = true, next
}

// timeout starts over after T3-rtx expired (section 7.2.3): "cwnd = 1 *
// PMDCS".
func (c *newReno) timeout(mtu int) {
	c.ssthresh = max(c.cwnd/2, 4*mtu)
	c.cwnd = mtu
	c.acked = 0
	c.inRecovery = false
}
