package sctpmh

import "sync"

// An inbox passes batches of packets from readers to an association's loop. It
// is bounded in octets of memory: a loop that waits for a processor loses
// nothing for some tens of milliseconds of a fast path, which its congestion
// control would take for a full queue.
//
// mu is a leaf: nothing is called while it is held.
type inbox struct {
	filled chan struct{} // has one while there is something to take

	mu     sync.Mutex
	queue  []arrival
	octets int // of the batches' buffers
	ended  bool
}

func newInbox() inbox { return inbox{filled: make(chan struct{}, 1)} }

// put adds a batch. It reports false, and takes nothing, when there is no room
// or nobody to take it any more.
func (b *inbox) put(in arrival) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	size := in.batch.Memory()
	if b.ended || b.octets+size > inboxLimit {
		return false
	}
	b.octets += size
	b.queue = append(b.queue, in)
	b.signal()
	return true
}

func (b *inbox) signal() {
	select {
	case b.filled <- struct{}{}:
	default:
	}
}

// take appends at most inboxTrain batches to dst: one answer for all of them is
// prompt enough.
func (b *inbox) take(dst []arrival) []arrival {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.queue), inboxTrain)
	for _, in := range b.queue[:n] {
		b.octets -= in.batch.Memory()
		dst = append(dst, in)
	}
	rest := copy(b.queue, b.queue[n:])
	clear(b.queue[rest:])
	if b.queue = b.queue[:rest]; rest > 0 {
		b.signal()
	} else if cap(b.queue) > inboxTrain {
		b.queue = nil // thousands of idle associations would keep it
	}
	return dst
}

// end releases what is left; nothing more is taken.
func (b *inbox) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	for _, in := range b.queue {
		in.batch.Release()
	}
	b.queue = nil
}
