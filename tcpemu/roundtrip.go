package tcpemu

import (
	"sync"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// roundTrip is the round trip time of what comes over an association, without
// what waits in queues. With queues windows would grow because these do, and
// queues because windows do.
//
// Which path new data of ours takes says nothing of the peer's, which may take
// several.
type roundTrip struct {
	mu    sync.Mutex // leaf; guards what follows
	asked time.Time
	least time.Duration
	paths map[sctpmh.Pair]trip
}

// A trip is what is known of a path.
type trip struct {
	received uint64        // octets
	least    time.Duration // its round trip of late
}

// roundTripAge is how long it is not asked for: that takes a turn of the
// association's loop.
const roundTripAge = time.Second

// carries: a path that brought the carries-th part of what an association
// received is one of those that carry it. Acknowledgements and probes are less.
const carries = 8

func (r *roundTrip) now(now time.Time, a assoc) time.Duration {
	r.mu.Lock()
	old, least := now.Sub(r.asked) >= roundTripAge, r.least
	if old {
		r.asked = now // others make do with what is known
	}
	r.mu.Unlock()
	if !old {
		return least
	}
	all := a.Paths()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take(all)
	return r.least
}

// take learns from the paths as they are now. When several carry what comes, what
// one of them brings waits for what is in the queues of another, so that these
// count.
func (r *roundTrip) take(all []sctpmh.PathInfo) {
	known := make(map[sctpmh.Pair]trip, len(all))
	var received uint64
	for _, p := range all {
		on := sctpmh.Pair{Local: p.Local, Remote: p.Remote}
		was := r.paths[on]
		t := trip{received: p.RxBytes, least: p.SRTT}
		if was.least > 0 {
			// It may rise, slowly: the route may have become longer.
			t.least = min(p.SRTT, was.least+was.least/8)
		}
		known[on] = t
		received += t.received - min(t.received, was.received)
	}
	var carriers int
	var least, queued, used time.Duration
	for _, p := range all {
		on := sctpmh.Pair{Local: p.Local, Remote: p.Remote}
		t := known[on]
		if got := t.received - min(t.received, r.paths[on].received); got > 0 && got >= received/carries {
			carriers++
			least, queued = max(least, t.least), max(queued, p.SRTT)
		}
		if p.InUse {
			used = max(used, t.least)
		}
	}
	switch r.paths = known; carriers {
	case 0:
		r.least = used // the kernel's paths do not tell what came over them
	case 1:
		r.least = least
	default:
		r.least = queued
	}
}
