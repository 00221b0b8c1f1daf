package engine

import (
	"math"
	"testing"
	"time"
)

const ccMTU = 1000

// ccTest is the congestion control of one path and the verbs to drive it.
type ccTest struct {
	*testing.T
	c    congestion
	now  Time
	rtt  time.Duration
	xmit xmitNum
}

func newCCTest(t *testing.T, algorithm CongestionControl, rtt time.Duration) *ccTest {
	return &ccTest{T: t, c: newCongestion(algorithm, ccMTU, true), now: 1e9, rtt: rtt}
}

// round lets a round trip pass in which the whole window is sent and
// acknowledged, a packet a SACK.
func (t *ccTest) round(rtt time.Duration) {
	w := t.c.cwnd
	packets := w / ccMTU
	first := t.xmit + 1
	t.xmit += xmitNum(packets)
	for i := range packets {
		t.now = t.now.Add(rtt / time.Duration(packets))
		x := first + xmitNum(i)
		t.c.ackedXmit(x)
		t.c.ack(t.now, ackedData{octets: ccMTU, flight: t.c.cwnd, rtt: rtt, srtt: rtt, xmit: x, next: t.xmit + 1}, ccMTU)
	}
}

func (t *ccTest) lose() { t.c.lost(t.now, t.xmit, t.xmit+1, ccMTU) }

func (t *ccTest) wantWindow(what string, lo, hi int) {
	t.Helper()
	if w := t.c.cwnd / ccMTU; w < lo || w > hi {
		t.Errorf("%s: window of %d packets, want %d to %d", what, w, lo, hi)
	}
}

// RFC 9260 section 7.2.1: the initial window, and doubling in slow start.
//
//rfc:9260 7.2-1 7.2.1-5
func TestSlowStart(t *testing.T) {
	for _, algorithm := range []CongestionControl{CUBIC, NewReno} {
		c := newCCTest(t, algorithm, 50*time.Millisecond)
		c.wantWindow("at first", 4, 4)
		c.round(c.rtt)
		c.wantWindow("after a round trip", 8, 8)
		c.round(c.rtt)
		c.wantWindow("after two", 16, 16)
	}
}

// "only if the current congestion window is being fully utilized".
//
//rfc:9260 7.2-1 7.2.1-5 7.2.1-6
func TestUnusedWindowDoesNotGrow(t *testing.T) {
	c := newCCTest(t, CUBIC, 50*time.Millisecond)
	for i := range 100 {
		c.c.ack(c.now, ackedData{octets: ccMTU, flight: 2 * ccMTU, rtt: c.rtt, srtt: c.rtt, xmit: xmitNum(i)}, ccMTU)
	}
	c.wantWindow("application-limited", 4, 4)
}

// "the cwnd of the transport address SHOULD be adjusted to max(cwnd / 2, 4 *
// PMDCS) once per RTO", and what was known of the path is not forgotten.
//
//rfc:9260 7.1-1 7.2.1-10 7.2.2-4
func TestIdleWindowDecays(t *testing.T) {
	const rto = 200 * time.Millisecond
	c := newCCTest(t, CUBIC, 50*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	c.lose()
	c.wantWindow("at work", 44, 45)
	use := func(after time.Duration, idle bool) {
		c.now = c.now.Add(after)
		c.c.use(c.now, idle, rto, ccMTU)
	}
	use(0, false)
	use(rto-1, true)
	c.wantWindow("idle for less than a timeout", 44, 45)
	use(10*rto, false)
	c.wantWindow("not idle, but waiting for acknowledgements", 44, 45)
	use(2*rto, true)
	c.wantWindow("idle for two timeouts", 11, 11)
	if c.c.ssthresh < 44*ccMTU {
		t.Errorf("ssthresh %d: it does not remember the window", c.c.ssthresh)
	}
	use(100*rto, true)
	c.wantWindow("idle for long", 4, 4)
	c.c.timeout(c.now, ccMTU)
	use(100*rto, true)
	c.wantWindow("idle after a timeout", 1, 1)
}

// One reduction for all losses of a round trip.
//
//rfc:9260 7.2.3-1 7.2.4-5
func TestOneReductionForOneEvent(t *testing.T) {
	c := newCCTest(t, NewReno, 50*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	c.wantWindow("before", 64, 64)
	for x := range xmitNum(10) {
		c.c.lost(c.now, c.xmit-x, c.xmit+1, ccMTU)
	}
	c.wantWindow("after ten losses", 32, 32)
	c.round(c.rtt) // ends the recovery with its first acknowledgement
	c.lose()
	c.wantWindow("after the next event", 16, 17)
}

//rfc:9260 7.2-1
func TestNewRenoGrowsByAPacketEachRoundTrip(t *testing.T) {
	c := newCCTest(t, NewReno, 50*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	c.lose()
	for range 10 {
		c.round(c.rtt)
	}
	c.wantWindow("ten round trips after halving 64", 41, 43)
}

//rfc:9260 7.2.1-2
//rfc:7829 3.2-14
func TestTimeoutStartsOver(t *testing.T) {
	c := newCCTest(t, CUBIC, 50*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	c.c.timeout(c.now, ccMTU)
	c.wantWindow("after the timeout", 1, 1)
	if c.c.ssthresh != 44_800 {
		t.Errorf("ssthresh %d, want 0.7 of 64,000", c.c.ssthresh)
	}
}

// RFC 9438: down to 0.7, then flat near the former window, which is reached
// again after K = cbrt(0.3 W / C) seconds, then faster and faster.
func TestCubicShape(t *testing.T) {
	c := newCCTest(t, CUBIC, 100*time.Millisecond)
	c.c.cwnd, c.c.ssthresh = 1000*ccMTU, 1
	c.xmit = 1000
	c.lose()
	c.wantWindow("after the loss", 700, 700)
	start := c.now
	const k = 9.0856 // seconds: cbrt(300 / 0.4)
	at := func(seconds float64) {
		for c.now.Sub(start).Seconds() < seconds {
			c.round(c.rtt)
		}
	}
	at(k / 2)
	c.wantWindow("half way", 955, 970) // 1000 - 0.4 (K/2)^3 = 962.5
	at(k)
	c.wantWindow("after K", 997, 1003)
	at(2 * k)
	c.wantWindow("after 2 K", 1290, 1310) // 1000 + 300
}

// RFC 9438 section 4.7: a window that has come back to within a packet of its
// former height gives nothing away; one that has not does.
func TestFastConvergence(t *testing.T) {
	for cwnd, want := range map[int]float64{100*ccMTU - 1: 99.999, 99*ccMTU + 1: 99.001, 99 * ccMTU: 84.15, 80 * ccMTU: 68} {
		c := cubic{wMax: 100}
		c.reduced(1e9, cwnd, cwnd*7/10, ccMTU)
		if math.Abs(c.wMax-want) > 0.001 {
			t.Errorf("lost at %d octets: W_max %.3f, want %.3f", cwnd, c.wMax, want)
		}
	}
}

// Time in which the window is not used up does not count.
func TestCubicPauses(t *testing.T) {
	c := newCCTest(t, CUBIC, 100*time.Millisecond)
	c.c.cwnd, c.c.ssthresh = 1000*ccMTU, 1
	c.xmit = 1000
	c.lose()
	c.round(c.rtt)
	before := c.c.cwnd
	c.c.ack(c.now, ackedData{octets: ccMTU, flight: ccMTU, srtt: c.rtt, xmit: c.xmit}, ccMTU)
	c.now = c.now.Add(time.Hour)
	c.round(c.rtt)
	if grown := (c.c.cwnd - before) / ccMTU; grown > 30 {
		t.Errorf("an hour of idleness makes the window grow by %d packets in a round trip", grown)
	}
}

// RFC 9406: slow start ends when round trips grow longer, after some rounds of
// slower growth; a passing delay does not end it.
func TestSlowStartEndsBeforeTheQueueOverflows(t *testing.T) {
	c := newCCTest(t, CUBIC, 40*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	w := c.c.cwnd
	c.round(50 * time.Millisecond)
	c.round(55 * time.Millisecond)
	if c.c.cwnd > 3*w || !c.c.start.conservative {
		t.Errorf("window from %d to %d, conservative %v", w, c.c.cwnd, c.c.start.conservative)
	}
	for range cssRounds {
		c.round(60 * time.Millisecond)
	}
	if c.c.ssthresh > c.c.cwnd {
		t.Error("slow start goes on")
	}
	w = c.c.cwnd
	for range 2 * cssRounds {
		c.round(60 * time.Millisecond)
	}
	if c.c.cwnd > w+2*cssRounds*ccMTU {
		t.Errorf("after slow start ended the window went from %d to %d within %d round trips", w, c.c.cwnd, 2*cssRounds)
	}

	c = newCCTest(t, CUBIC, 40*time.Millisecond)
	for range 4 {
		c.round(c.rtt)
	}
	c.round(50 * time.Millisecond)
	c.round(c.rtt)
	if c.c.start.conservative {
		t.Error("a passing delay is not forgiven")
	}
}
