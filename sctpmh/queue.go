package sctpmh

import (
	"context"
	"sync"

	"github.com/sctpmh/mh/internal/gate"
)

// A queue passes messages from an association's driver to users, in the order
// in which they arrived. It is bounded in octets: what exceeds the limit waits
// on the other side, and closes the peer's window.
//
// mu is a leaf: nothing is called while it is held.
type queue struct {
	mu      sync.Mutex
	fifo    // guarded by mu, as is what follows
	limit   int
	err     error // no more will come, or may be put; items are still taken
	changed gate.Signal
}

func newQueue(limit int) queue { return queue{limit: limit} }

// tryPut adds m if there is room.
func (q *queue) tryPut(m Message) (ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return false, q.err
	}
	if q.octets >= q.limit {
		return false, nil
	}
	q.push(m)
	q.changed.Notify()
	return true, nil
}

// force adds m whatever the limit: the last messages of an association that
// has ended, bounded by its window.
func (q *queue) force(m Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.push(m)
	q.changed.Notify()
}

// await waits until ready holds, an error is set, or ctx ends.
func (q *queue) await(ctx context.Context, ready func() bool) error {
	for {
		q.mu.Lock()
		if ready() || q.err != nil {
			q.mu.Unlock()
			return nil
		}
		changed := q.changed.Wait()
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tryTake removes the next message. relieved says that the queue was full
// before and is at most half full now, so that more may be put.
func (q *queue) tryTake() (m Message, ok, relieved bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.len() == 0 {
		return m, false, false, q.err
	}
	before := q.octets
	m = q.pop()
	q.changed.Notify()
	return m, true, before > q.limit/2 && q.octets <= q.limit/2, nil
}

// take removes the next message, and waits for it.
func (q *queue) take(ctx context.Context) (m Message, relieved bool, err error) {
	for {
		m, ok, relieved, err := q.tryTake()
		if ok || err != nil {
			return m, relieved, err
		}
		if err := q.await(ctx, func() bool { return q.len() > 0 }); err != nil {
			return m, false, err
		}
	}
}

// full reports whether nothing more may be put.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.octets >= q.limit
}

// end sets the error that follows the last message. The first one stays.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
		q.changed.Notify()
	}
}
