package engine

import "time"

// pacer spreads a path's packets over the round trip, so that a window that
// opened at once does not overflow a queue on the way (RFC 9002 section 7.7 has
// the same for QUIC; RFC 9260 section 6.1 limits bursts another way). A bucket
// fills a little faster than the window's rate, so that pacing itself never
// bounds the window, and twice as fast in slow start, which doubles the rate.
type pacer struct {
	tokens int // octets that may leave now
	at     Time
	wait   deadline // when a train's worth has come together
}

const (
	// pacedFrom is the least round trip that is paced: below it timers are
	// coarser than what they would spread.
	pacedFrom = 2 * time.Millisecond

	// burstPackets is the least burst, the initial window of RFC 6928;
	// trainTime is how much of the round trip one wait-up may send, so that
	// segmentation offload has something to work with.
	burstPackets = 10
	trainTime    = time.Millisecond
)

// allow reports whether a packet may leave now; else wait is armed.
func (c *pacer) allow(now Time, cc *congestion, srtt time.Duration, mtu int) bool {
	if srtt < pacedFrom {
		return true
	}
	gain := int64(5) // fourths
	if cc.cwnd <= cc.ssthresh {
		gain = 8
	}
	rate := max(int64(cc.cwnd)*gain/4, 1) // octets in a round trip
	burst := max(burstPackets*mtu, int(rate*int64(2*trainTime)/int64(srtt)))
	if elapsed := now.Sub(c.at); c.at == 0 || elapsed >= srtt {
		c.tokens = burst
		c.at = now
	} else if more := int(rate * int64(elapsed) / int64(srtt)); more > 0 {
		c.tokens = min(c.tokens+more, burst)
		c.at = now
	}
	if c.tokens > 0 {
		c.wait.stop()
		return true
	}
	train := max(2*mtu, int(rate*int64(trainTime)/int64(srtt)))
	c.wait.set(now.Add(time.Duration(int64(train-c.tokens)*int64(srtt)/rate) + 1))
	return false
}

// sent takes a packet's octets out of the bucket.
func (c *pacer) sent(octets int) { c.tokens -= octets }
