package tcpemu

import (
	"net/netip"
	"sync"
)

// peerShare is the part that one peer gets of what all peers share, at the
// most: one in so many. A peer that takes all it can would else keep all others
// out. A half leaves a gateway through which everything goes enough.
const peerShare = 2

// A sharer is who shares: the address that completed a handshake, or with IPv6
// its subnet, of which a single host can have all addresses (RFC 4291 section
// 2.5.4).
type sharer netip.Prefix

func sharerOf(a netip.Addr) sharer {
	a = a.Unmap()
	p, _ := a.Prefix(min(a.BitLen(), 64)) // of the zero Addr: the zero Prefix
	return sharer(p)
}

// shares counts what peers have of something. It keeps nothing of who has
// nothing.
type shares struct {
	mu   sync.Mutex // leaf
	used map[sharer]int64
}

// add adds to what a peer has, and returns how much that is.
func (s *shares) add(p sharer, n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == nil {
		s.used = make(map[sharer]int64)
	}
	n += s.used[p]
	if s.used[p] = n; n == 0 {
		delete(s.used, p)
	}
	return n
}

// of returns how much a peer has.
func (s *shares) of(p sharer) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used[p]
}
