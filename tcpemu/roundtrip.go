package tcpemu

import (
	"sync"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// roundTrip is the round trip time of what comes over an association: that of
// the longest path that carries much of it, without what waits in queues. With
// queues windows would grow because these do, and queues because windows do.
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

// carries is the part of what an association received that makes a path one of
// those that carry it; acknowledgements and probes are less.
const carries = 1.0 / 8

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

// take learns from the paths as they are now.
func (r *roundTrip) take(all []sctpmh.PathInfo) {
	known := make(map[sctpmh.Pair]trip, len(all))
	var received, most, used float64
	for _, p := range all {
		on := sctpmh.Pair{Local: p.Local, Remote: p.Remote}
		was := r.paths[on]
		t := trip{received: p.RxBytes, least: p.SRTT}
		if was.least > 0 {
			// It may rise, slowly: the route may have become longer.
			t.least = min(p.SRTT, was.least+was.least/8)
		}
		known[on] = t
		received += float64(t.received - was.received)
	}
	for _, p := range all {
		on := sctpmh.Pair{Local: p.Local, Remote: p.Remote}
		if got := float64(known[on].received - r.paths[on].received); got > 0 && got >= carries*received {
			most = max(most, float64(known[on].least))
		}
		if p.InUse {
			used = max(used, float64(known[on].least))
		}
	}
	if most == 0 {
		most = used // the kernel's paths do not tell what came over them
	}
	r.least, r.paths = time.Duration(most), known
}
