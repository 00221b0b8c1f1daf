package engine

import "time"

// Constants of RFC 9406 section 4.3.
const (
	minRTTThreshold = 4 * time.Millisecond
	maxRTTThreshold = 16 * time.Millisecond
	minRTTDivisor   = 8
	rttSamples      = 8 // a round is judged by no fewer
	cssDivisor      = 4 // growth in conservative slow start
	cssRounds       = 5 // that it lasts
)

// slowStart decides by HyStart++ (RFC 9406) when slow start ends: when round
// trips grow longer, before the queue overflows. It grows more slowly for some
// rounds first, and goes back if the growth was an accident.
type slowStart struct {
	end           xmitNum // acknowledged: the round is over
	last, current time.Duration
	samples       int
	conservative  bool
	baseline      time.Duration // the round trip at which it became conservative
	rounds        int           // since then
}

// round takes the round trip that a SACK measured.
func (s *slowStart) round(d ackedData) {
	if d.xmit >= s.end {
		s.last, s.current, s.samples = s.current, 0, 0
		s.end = d.next
		if s.conservative {
			s.rounds++
		}
	}
	if d.rtt == 0 {
		return
	}
	if s.current == 0 || d.rtt < s.current {
		s.current = d.rtt
	}
	s.samples++
	switch {
	case s.samples < rttSamples || s.last == 0:
	case s.conservative:
		if s.current < s.baseline {
			s.conservative, s.rounds = false, 0 // it was spurious
		}
	case s.current >= s.last+clamp(s.last/minRTTDivisor, minRTTThreshold, maxRTTThreshold):
		s.conservative, s.baseline, s.rounds = true, s.current, 0
	}
}

// grow returns by how much the window grows for octets acknowledged.
func (s *slowStart) grow(octets int) int {
	if s.conservative {
		return octets / cssDivisor
	}
	return octets
}

// over reports whether congestion avoidance is due.
func (s *slowStart) over() bool { return s.conservative && s.rounds >= cssRounds }
