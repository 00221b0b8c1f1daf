package engine

import (
	"net/netip"
	"time"
)

// Time is an instant in nanoseconds of a monotonic clock that the caller
// keeps. Its zero has no meaning; only differences do.
type Time int64

// Add returns the instant d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns how long after u the instant t is.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t comes before u.
func (t Time) Before(u Time) bool { return t < u }

// A Pair is a path's two ends: the local address a packet leaves from (or
// arrived at) and the remote one. Addresses are unmapped.
type Pair struct {
	Local, Remote netip.AddrPort
}

// String returns the pair in the form "LOCAL>REMOTE".
func (p Pair) String() string { return p.Local.String() + ">" + p.Remote.String() }

// A deadline is an instant at which something is due, or nothing.
type deadline struct {
	at    Time
	armed bool
}

func (d *deadline) set(at Time) { *d = deadline{at: at, armed: true} }
func (d *deadline) stop()       { d.armed = false }

// due reports whether the deadline has passed at now.
func (d *deadline) due(now Time) bool { return d.armed && d.at <= now }

// earlier lowers next to d when d comes first.
func (d *deadline) earlier(next *deadline) {
	if d.armed && (!next.armed || d.at < next.at) {
		*next = *d
	}
}
