package dnssec

import (
	"sync"
	"time"
)

// found is what was found out about a name on the way down.
type found struct {
	zone   *zone // that begins at the name; nil: none does
	isLast bool  // nothing is below the name
	expire time.Time
}

// zones remembers what was found about names, and has everybody who wants to
// know the same at one time wait for one.
//
// mu is a leaf.
type zones struct {
	mu     sync.Mutex
	names  map[string]found
	flying map[string]*flight
}

type flight struct {
	done chan struct{} // closed when found is set
	found
}

// find returns what is known of a name; look finds out, and ends in bounded
// time.
func (c *zones) find(name string, now func() time.Time, look func() found) found {
	c.mu.Lock()
	if f, ok := c.names[name]; ok && now().Before(f.expire) {
		c.mu.Unlock()
		return f
	}
	if c.names == nil {
		c.names, c.flying = make(map[string]found), make(map[string]*flight)
	}
	f := c.flying[name]
	if f != nil {
		c.mu.Unlock()
		<-f.done
		return f.found
	}
	f = &flight{done: make(chan struct{})}
	c.flying[name] = f
	c.mu.Unlock()
	f.found = look()
	c.mu.Lock()
	delete(c.flying, name)
	if len(c.names) >= maxZones {
		c.evict(now())
	}
	c.names[name] = f.found
	c.mu.Unlock()
	close(f.done)
	return f.found
}

// evict makes room: what has expired goes, or, if there is none, some other.
func (c *zones) evict(now time.Time) {
	for name, f := range c.names {
		if !now.Before(f.expire) || len(c.names) >= maxZones {
			delete(c.names, name)
		}
	}
}
