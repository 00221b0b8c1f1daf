package tcpemu

import (
	"fmt"
	"sync/atomic"
	"syscall"
)

// Windows bounds what peers may send to readers that do not read: the receive
// windows of connections and their sums, in octets. The zero value of each
// field means its default. Fields are not to be changed once it is used.
type Windows struct {
	// Conn is how far the window of a connection grows whose reader takes what
	// comes. Default 4 MiB: 100 Mbit/s over a round trip of 300 ms.
	Conn int

	// Assoc bounds the sum of the windows of an association, beyond the 16 KiB
	// that each connection has. A peer that fills its windows while nobody reads
	// takes that much memory, with the most connections 256 MiB more. Default 64
	// MiB.
	Assoc int

	// Process bounds the sum of the windows of all who share this Windows,
	// everything included. Peers who make many associations would multiply the
	// above. Beyond it connections are refused. Default 1 GiB.
	Process int

	// Peer bounds the part of Process that goes to one peer: an IPv4 address or
	// an IPv6 subnet of 64 bits, by which it completed the handshake. Default
	// half of Process.
	Peer int

	used  atomic.Int64
	peers shares
}

// processWindows is what those share who name no Windows of their own: memory
// is the process's.
var processWindows Windows

func (w *Windows) conn() int      { return orDefault(w.Conn, 4<<20) }
func (w *Windows) assoc() int64   { return int64(orDefault(w.Assoc, 64<<20)) }
func (w *Windows) process() int64 { return int64(orDefault(w.Process, 1<<30)) }

func (w *Windows) peer() int64 { return int64(orDefault(w.Peer, int(w.process())/peerShare)) }

// forGrowth is what of a bound large windows may use: the rest is for
// connections to come.
func forGrowth(bound int64) int64 { return bound / 4 * 3 }

func orDefault(n, def int) int {
	if n > 0 {
		return n
	}
	return def
}

// A connection takes a part of what is left of the sums, not all: those that
// hold windows without using them, which cannot be taken back, leave room for
// whoever comes after them. A window that nobody has asked for yet is the lesser
// claim.
const (
	growthShare  = 8
	initialShare = 64
)

// errNoWindow refuses a connection.
var errNoWindow = fmt.Errorf("the receive windows of all connections, or of those with this peer, have reached their bound: %w", syscall.EAGAIN)

// windowSum is the windows of an association's connections.
//
// Invariant: used of its Windows is the sum of the windows of all connections,
// peers that for each peer, beyond is that of what each has beyond earlyCredit.
type windowSum struct {
	of     *Windows
	peer   sharer
	beyond atomic.Int64
}

// open takes the least window, that of a new connection. It reports false when
// the process, or the peer's part of it, has none left.
func (s *windowSum) open() bool {
	if s.add(0, earlyCredit) > s.of.peer() || s.of.used.Load() > s.of.process() {
		s.add(0, -earlyCredit)
		return false
	}
	return true
}

// grow returns the window that one of a given size may become: no larger than
// size, and by no more than a part of what is left of the sums.
func (s *windowSum) grow(window, size, part int) int {
	by := min(int64(min(size, s.of.conn())-window), s.left(s.of.peers.of(s.peer))/int64(part))
	if by <= 0 {
		return window
	}
	// Others may have taken from what was left by now.
	if s.left(s.add(by, by)) < 0 {
		s.add(-by, -by)
		return window
	}
	return window + int(by)
}

// left is what large windows may still take of the sums, given what the peer
// has.
func (s *windowSum) left(peer int64) int64 {
	return min(s.of.assoc()-s.beyond.Load(), forGrowth(s.of.process())-s.of.used.Load(), forGrowth(s.of.peer())-peer)
}

// shrink gives back what a window has beyond size, and returns size.
func (s *windowSum) shrink(window, size int) int {
	s.add(int64(max(size, earlyCredit)-max(window, earlyCredit)), int64(size-window))
	return size
}

// add returns what the peer has then.
func (s *windowSum) add(beyond, used int64) (peer int64) {
	s.beyond.Add(beyond)
	s.of.used.Add(used)
	return s.of.peers.add(s.peer, used)
}
