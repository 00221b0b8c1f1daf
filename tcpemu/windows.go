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

	used atomic.Int64
}

// processWindows is what those share who name no Windows of their own: memory
// is the process's.
var processWindows Windows

func (w *Windows) conn() int      { return orDefault(w.Conn, 4<<20) }
func (w *Windows) assoc() int64   { return int64(orDefault(w.Assoc, 64<<20)) }
func (w *Windows) process() int64 { return int64(orDefault(w.Process, 1<<30)) }

// forGrowth is what of process large windows may use: the rest is for
// connections to come.
func (w *Windows) forGrowth() int64 { return w.process() / 4 * 3 }

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
var errNoWindow = fmt.Errorf("the receive windows of all connections together have reached their bound: %w", syscall.EAGAIN)

// windowSum is the windows of an association's connections.
//
// Invariant: used of its Windows is the sum of the windows of all connections,
// beyond is that of what each has beyond earlyCredit.
type windowSum struct {
	of     *Windows
	beyond atomic.Int64
}

// open takes the least window, that of a new connection. It reports false when
// the process has none left.
func (s *windowSum) open() bool {
	if s.of.used.Add(earlyCredit) > s.of.process() {
		s.of.used.Add(-earlyCredit)
		return false
	}
	return true
}

// grow returns the window that one of a given size may become: no larger than
// size, and by no more than a part of what is left of the sums.
func (s *windowSum) grow(window, size, part int) int {
	left := min(s.of.assoc()-s.beyond.Load(), s.of.forGrowth()-s.of.used.Load())
	by := min(int64(min(size, s.of.conn())-window), left/int64(part))
	if by <= 0 {
		return window
	}
	// Others may have taken from what was left by now.
	if s.add(by, by); s.beyond.Load() > s.of.assoc() || s.of.used.Load() > s.of.forGrowth() {
		s.add(-by, -by)
		return window
	}
	return window + int(by)
}

// shrink gives back what a window has beyond size, and returns size.
func (s *windowSum) shrink(window, size int) int {
	s.add(int64(max(size, earlyCredit)-max(window, earlyCredit)), int64(size-window))
	return size
}

func (s *windowSum) add(beyond, used int64) {
	s.beyond.Add(beyond)
	s.of.used.Add(used)
}
