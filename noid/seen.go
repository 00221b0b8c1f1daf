package noid

import (
	"sync"
	"time"
)

// seen remembers which names spoke mh, so that it is noticed when somebody
// keeps the record away that says so (threat N6: a downgrade to what is not
// multihomed).
//
// mu is a leaf.
type seen struct {
	mu    sync.Mutex
	names map[Name]time.Time // until when
}

func newSeen() seen { return seen{names: make(map[Name]time.Time)} }

func (s *seen) add(n Name, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.names[n]; !known {
		makeRoom(s.names, maxSeen, func(until time.Time) bool { return !now.Before(until) })
	}
	s.names[n] = now.Add(seenTTL)
}

func (s *seen) has(n Name, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.names[n])
}
