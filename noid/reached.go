package noid

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// reached remembers what associations have found out of addresses: that they
// are the host's, by the nonce of a heartbeat, and how far away they are. While
// nobody answers for a name, no other members of its old set may be used; and
// nearer addresses are tried first.
//
// mu is a leaf.
type reached struct {
	mu    sync.Mutex
	hosts map[Name]map[netip.Addr]time.Duration
}

func newReached() reached { return reached{hosts: make(map[Name]map[netip.Addr]time.Duration)} }

// Reached tells the resolver that an association has confirmed an address to
// be a host's, and the round-trip time, 0 when it is not known.
func (r *Resolver) Reached(n Name, a netip.Addr, rtt time.Duration) {
	f := &r.reached
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hosts[n]
	if h == nil {
		makeRoom(f.hosts, maxReached, func(map[netip.Addr]time.Duration) bool { return false })
		h = make(map[netip.Addr]time.Duration)
		f.hosts[n] = h
	}
	a = a.Unmap()
	if _, known := h[a]; known || len(h) < 2*maxLocators { // hosts renumber, but not without end
		h[a] = rtt
	}
}

// of returns the addresses of a host that have been confirmed.
func (f *reached) of(n Name) (out []netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for a := range f.hosts[n] {
		out = append(out, a)
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out
}

// trips returns how far the addresses of a host are, as far as is known.
func (f *reached) trips(n Name) map[netip.Addr]time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[netip.Addr]time.Duration)
	for a, rtt := range f.hosts[n] {
		if rtt > 0 {
			out[a] = rtt
		}
	}
	return out
}
