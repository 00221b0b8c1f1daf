package tcpemu

import (
	"sync"
	"time"
)

const (
	// memoryTime is how long a way that won is tried first. Using it does not
	// prolong that: the way that is preferred gets its chance again.
	memoryTime = 10 * time.Minute

	// maxMemories bounds the targets whose way is remembered. A client that
	// asks for ever new names would fill the memory otherwise.
	maxMemories = 1024
)

// A memory knows which way won last. It is of one network: a set of local
// addresses. (RFC 8305 section 4: "This historical data MUST NOT be used across
// different network interfaces".) The zero value is ready for use, by any
// goroutine.
type memory struct {
	mu   sync.Mutex // leaf; guards what follows
	ways map[place]remembered
}

// A place is a target as seen from a network.
type place struct{ network, target string }

// remembered is a way that won.
type remembered struct {
	way   way
	plain bool // by plain TCP, while multipath TCP got no answer
	until time.Time
}

// recall returns what won at a place.
func (m *memory) recall(p place, now time.Time) (r remembered, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok = m.ways[p]
	return r, ok && now.Before(r.until)
}

// remember notes what won at a place.
func (m *memory) remember(p place, w way, plain bool, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.ways[p]; ok && now.Before(old.until) && old.way == w && old.plain == plain {
		return
	}
	if len(m.ways) >= maxMemories {
		m.makeRoom(now)
	}
	if m.ways == nil {
		m.ways = make(map[place]remembered)
	}
	m.ways[p] = remembered{way: w, plain: plain, until: now.Add(memoryTime)}
}

// makeRoom drops what is out of date, or else anything. It is called with mu
// held.
func (m *memory) makeRoom(now time.Time) {
	for p, r := range m.ways {
		if !now.Before(r.until) {
			delete(m.ways, p)
		}
	}
	for p := range m.ways {
		if len(m.ways) < maxMemories {
			return
		}
		delete(m.ways, p)
	}
}

// forget drops what is known of a place: what is tried first anyway has won.
func (m *memory) forget(p place) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.ways, p)
}
