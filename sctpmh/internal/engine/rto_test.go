package engine

import (
	"testing"
	"time"
)

// A long round trip that never varies leaves the peer and both hosts some time
// to answer; a short one leaves it to RTO.Min.
func TestRTOOfASteadyPath(t *testing.T) {
	cfg := (&Config{}).withDefaults()
	for rtt, want := range map[time.Duration]time.Duration{
		time.Millisecond:       cfg.RTOMin,
		20 * time.Millisecond:  cfg.RTOMin,
		300 * time.Millisecond: 300*time.Millisecond + minVariance,
	} {
		r := newRTO(&cfg)
		for i := range 50 {
			r.sample(&cfg, Time(i)*1e9, rtt)
		}
		if r.rto != want {
			t.Errorf("round trip %v: timeout %v, want %v", rtt, r.rto, want)
		}
	}
}
