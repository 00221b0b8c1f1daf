package mhdial

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sctpmh/mh/noid"
)

// statesTime is how long what the system says of its addresses is taken for
// true: a page with many links is one question.
const statesTime = time.Second

// systemStates is one for all resolvers, as the system is.
var systemStates states

// states is what the system says of its addresses.
type states struct {
	mu     sync.Mutex // leaf; guards what follows
	known  map[netip.Addr]noid.Local
	looked time.Time
}

// current returns it. The map is not to be changed.
func (s *states) current(now time.Time) map[netip.Addr]noid.Local {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked.IsZero() || now.Sub(s.looked) >= statesTime {
		s.known, s.looked = addressStates(), now
	}
	return s.known
}
