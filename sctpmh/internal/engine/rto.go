package engine

import "time"

// clockGranularity is G of RFC 9260 section 6.3.1.
const clockGranularity = time.Millisecond

// minVariance is the least that the timeout exceeds the round trip by. A long
// round trip that never varies would leave G, less than the peer may hold an
// answer back or either host be busy with something else; each time the window
// would start over. RFC 9002 section 6.2.1 allows 25 ms for the peer alone.
const minVariance = 50 * time.Millisecond

// rtoState estimates the round trip of one path and derives its
// retransmission timeout (RFC 9260 section 6.3.1).
type rtoState struct {
	srtt, rttvar, minRTT time.Duration
	rto                  time.Duration
	next                 Time // no further sample before it: rule C4 wants one per round trip
	measured             bool
}

func newRTO(cfg *Config) rtoState { return rtoState{rto: cfg.RTOInitial} }

// sample takes a measured round trip. The caller keeps to Karn's rule: only
// chunks that were sent once are measured (rule C5).
func (r *rtoState) sample(cfg *Config, now Time, rtt time.Duration) {
	rtt = max(rtt, 1)
	if r.minRTT == 0 || rtt < r.minRTT {
		r.minRTT = rtt
	}
	if r.measured && now.Before(r.next) {
		return
	}
	if !r.measured {
		// "SRTT := R, RTTVAR := R/2" (rule C2).
		r.srtt, r.rttvar, r.measured = rtt, rtt/2, true
	} else {
		// RTO.Beta 1/4, RTO.Alpha 1/8 (rule C3, section 15).
		r.rttvar += ((r.srtt - rtt).Abs() - r.rttvar) / 4
		r.srtt += (rtt - r.srtt) / 8
	}
	r.next = now.Add(r.srtt)
	r.rto = clamp(r.srtt+max(4*r.rttvar, minVariance), cfg.RTOMin, cfg.RTOMax)
}

// backOff doubles the timeout after an expiry (rule E2 of section 6.3.3).
func (r *rtoState) backOff(cfg *Config) {
	r.rto = min(2*r.rto, cfg.RTOMax)
}

func clamp[T ~int | ~int64](v, lo, hi T) T { return max(lo, min(v, hi)) }
