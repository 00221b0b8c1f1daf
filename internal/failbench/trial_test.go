package failbench

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// patience is how long a stalled connection is waited for.
const patience = 5 * time.Second

var errStalled = errors.New("stalled")

// A load is what the client sends.
type load struct {
	size  int           // 0: as much as is best at a time
	every time.Duration // 0: as fast as it goes
}

var (
	messages = load{size: 100, every: 50 * time.Millisecond}
	bulk     = load{}
)

// A trial is one connection over which a load is sent.
//
//	begin - send and receive run - stop
type trial struct {
	load   load
	svc    *service
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // of send and receive
	first  chan struct{}  // closed with the first arrival
	octets atomic.Int64

	client conn // set by begin, unless it failed

	mu     sync.Mutex // guards what follows
	server conn
	at     []time.Time // of arrivals
	err    error       // the first
}

// begin connects and starts to send. It fails with errStalled when the
// connection is not made in time.
func begin(w *world, how way, paths int, l load) (*trial, error) {
	svc, err := how.serve(w, paths)
	if err != nil {
		return nil, err
	}
	t := &trial{load: l, svc: svc, first: make(chan struct{})}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(t.receive) // ends with stop
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	c, err := svc.dial(ctx)
	if err != nil {
		_ = t.stop() // the error of dial says it all
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() || ctx.Err() != nil {
			return nil, errStalled
		}
		return nil, err
	}
	t.client = c
	t.wg.Go(t.send) // ends with stop
	return t, nil
}

// receive notes what arrives.
func (t *trial) receive() {
	c, err := t.svc.accept(t.ctx)
	if err != nil {
		t.fail(err)
		return
	}
	t.mu.Lock()
	t.server = c
	t.mu.Unlock()
	if t.ctx.Err() != nil {
		c.close() // stop may have missed it
		return
	}
	size := t.load.size
	if size == 0 {
		size = 1 << 18
	}
	buf := make([]byte, size)
	for {
		n, err := c.recv(t.ctx, buf)
		if err != nil {
			t.fail(err)
			return
		}
		t.arrived(time.Now(), n)
	}
}

func (t *trial) arrived(now time.Time, n int) {
	t.octets.Add(int64(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.at) == 0 {
		close(t.first)
	}
	t.at = append(t.at, now)
}

// send sends the load.
func (t *trial) send() {
	var pace <-chan time.Time
	if t.load.every > 0 {
		tick := time.NewTicker(t.load.every)
		defer tick.Stop()
		pace = tick.C
	}
	for t.ctx.Err() == nil {
		size := t.load.size
		if size == 0 {
			size = t.client.bulk() // which grows when the path turns out to carry more
		}
		if err := t.client.send(t.ctx, make([]byte, size)); err != nil {
			t.fail(err)
			return
		}
		if pace == nil {
			continue
		}
		select {
		case <-pace:
		case <-t.ctx.Done():
		}
	}
}

// fail notes why an end ended, unless that is stop.
func (t *trial) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil && t.ctx.Err() == nil {
		t.err = err
	}
}

// stop ends the connection, the receiver first: it answers what the sender
// still sends. It returns the first error of the trial when nothing of it runs
// any more.
func (t *trial) stop() error {
	t.cancel()
	t.mu.Lock()
	server := t.server
	t.mu.Unlock()
	if server != nil {
		server.close()
	}
	if t.client != nil {
		t.client.close()
	}
	t.wg.Wait()
	t.svc.close()
	return t.err
}

// lastArrival is zero before the first.
func (t *trial) lastArrival() (last time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.at); n > 0 {
		last = t.at[n-1]
	}
	return last
}

// longestGap returns the longest time without an arrival between two moments.
func (t *trial) longestGap(from, to time.Time) (gap time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := from
	for _, at := range slices.Concat(t.at, []time.Time{to}) {
		if at.After(from) && !at.After(to) {
			gap = max(gap, at.Sub(last))
			last = at
		}
	}
	return gap
}

// goodput returns the octets that arrive in a second, over a time.
func (t *trial) goodput(over time.Duration) float64 {
	start, before := time.Now(), t.octets.Load()
	time.Sleep(over)
	return float64(t.octets.Load()-before) / time.Since(start).Seconds()
}
