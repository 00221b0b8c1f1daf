package engine

import (
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// tsnRange is a run of received TSNs, both ends included.
type tsnRange struct{ first, last wire.TSN }

// arrival is what a received TSN means to the tracker.
type arrival uint8

const (
	arrivedNew arrival = iota
	arrivedAgain
	arrivedTooFar // outside of what can be reported, or one hole too many: dropped
)

// rcvTracker knows which TSNs have been received (RFC 9260 section 6.2).
//
// Invariant: gaps are ascending, disjoint, not adjacent to each other, and
// all lie beyond cum+1.
type rcvTracker struct {
	cum  wire.TSN // everything up to it was received
	gaps []tsnRange
	dups []wire.TSN // received again since the last SACK
}

// classify says what receiving t would mean, and changes nothing.
func (r *rcvTracker) classify(t wire.TSN) arrival {
	if t.LessEq(r.cum) {
		return arrivedAgain
	}
	if t.Sub(r.cum) > maxTSNAhead {
		return arrivedTooFar
	}
	i := r.search(t)
	if i < len(r.gaps) && r.gaps[i].first.LessEq(t) {
		return arrivedAgain
	}
	if len(r.gaps) >= maxGaps && t != r.cum.Add(1) && !r.adjacent(i, t) {
		return arrivedTooFar
	}
	return arrivedNew
}

// search returns the index of the first range that ends at t or later.
func (r *rcvTracker) search(t wire.TSN) int {
	if n := len(r.gaps); n == 0 || r.gaps[n-1].last.Less(t) {
		return n // the usual case
	}
	i, _ := slices.BinarySearchFunc(r.gaps, t, func(g tsnRange, t wire.TSN) int {
		if g.last.Less(t) {
			return -1
		}
		return 1
	})
	return i
}

func (r *rcvTracker) adjacent(i int, t wire.TSN) bool {
	return i > 0 && r.gaps[i-1].last.Add(1) == t || i < len(r.gaps) && t.Add(1) == r.gaps[i].first
}

// receive takes t, which classify called new.
func (r *rcvTracker) receive(t wire.TSN) {
	if t == r.cum.Add(1) {
		r.cum = t
		if len(r.gaps) > 0 && r.gaps[0].first == t.Add(1) {
			r.cum = r.gaps[0].last
			r.gaps = slices.Delete(r.gaps, 0, 1)
		}
		return
	}
	i := r.search(t)
	left := i > 0 && r.gaps[i-1].last.Add(1) == t
	right := i < len(r.gaps) && t.Add(1) == r.gaps[i].first
	switch {
	case left && right:
		r.gaps[i-1].last = r.gaps[i].last
		r.gaps = slices.Delete(r.gaps, i, i+1)
	case left:
		r.gaps[i-1].last = t
	case right:
		r.gaps[i].first = t
	default:
		r.gaps = slices.Insert(r.gaps, i, tsnRange{t, t})
	}
}

// again notes a duplicate for the next SACK.
func (r *rcvTracker) again(t wire.TSN) {
	if len(r.dups) < maxDups {
		r.dups = append(r.dups, t)
	}
}

// highest returns the highest TSN received.
func (r *rcvTracker) highest() wire.TSN {
	if n := len(r.gaps); n > 0 {
		return r.gaps[n-1].last
	}
	return r.cum
}
