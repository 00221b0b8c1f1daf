package engine

import (
	"math"
	"time"
)

// Constants of RFC 9438 sections 4.6 and 5.1.
const (
	cubicBeta = 0.7
	cubicC    = 0.4 // packets a second cubed
)

// cubic is the window growth of RFC 9438: a cubic function of the time since
// the last reduction, flat around the window at which that happened, and never
// slower than Reno. Windows are in packets here.
type cubic struct {
	epoch    Time    // when the present stage of congestion avoidance began
	paused   Time    // since when the window was not used up, 0: it is
	wMax     float64 // the window before the last reduction
	k        float64 // seconds from epoch until wMax is reached again
	wEst     float64 // what Reno would have
	cwndPrev float64 // cwnd_prior
	begun    bool
}

// begin starts a stage of congestion avoidance at a window of cwnd octets.
func (c *cubic) begin(now Time, wMax, cwnd, mtu int) {
	c.begun = true
	c.epoch, c.paused = now, 0
	c.wMax = float64(wMax) / float64(mtu)
	w := float64(cwnd) / float64(mtu)
	c.wEst = w
	c.k = 0
	if c.wMax > w {
		c.k = math.Cbrt((c.wMax - w) / cubicC)
	}
}

// reduced notes a reduction from cwnd to ssthresh octets. With fast
// convergence (section 4.7) a window that did not reach its former height
// gives way to others. Windows are whole packets there: one that is on the
// plateau, less than a packet below, has reached it.
func (c *cubic) reduced(now Time, cwnd, ssthresh, mtu int) {
	w, former := float64(cwnd)/float64(mtu), c.wMax
	c.cwndPrev = w
	c.begin(now, cwnd, ssthresh, mtu)
	if w <= former-1 {
		c.wMax = w * (1 + cubicBeta) / 2
		c.k = math.Cbrt(max(0, c.wMax-float64(ssthresh)/float64(mtu)) / cubicC)
	}
}

// idle notes that the window is not used up: "elapsed time MUST NOT include
// periods during which cwnd has not been updated due to application-limited
// behavior".
func (c *cubic) idle(now Time) {
	if c.paused == 0 {
		c.paused = now
	}
}

// grow returns the window after octets were acknowledged (sections 4.2 to
// 4.5).
func (c *cubic) grow(now Time, cwnd, octets int, srtt time.Duration, mtu int) int {
	if !c.begun {
		c.begin(now, cwnd, cwnd, mtu)
	}
	if c.paused != 0 {
		c.epoch += now - c.paused
		c.paused = 0
	}
	w, acked := float64(cwnd)/float64(mtu), float64(octets)/float64(mtu)
	alpha := 3 * (1 - cubicBeta) / (1 + cubicBeta)
	if c.wEst >= c.cwndPrev {
		alpha = 1
	}
	c.wEst += float64(alpha * acked / w)
	t := now.Sub(c.epoch).Seconds()
	if c.at(t) < c.wEst {
		return max(cwnd, int(c.wEst*float64(mtu)))
	}
	target := min(max(c.at(t+srtt.Seconds()), w), 1.5*w)
	w += float64((target - w) / w * acked)
	return max(cwnd, int(w*float64(mtu)))
}

// at is W_cubic of a time in seconds. The conversions keep a compiler from
// fusing operations, so that every machine computes the same.
func (c *cubic) at(t float64) float64 {
	d := t - c.k
	return float64(float64(cubicC*d)*float64(d*d)) + c.wMax
}
