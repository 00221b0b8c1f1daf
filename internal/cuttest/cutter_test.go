package cuttest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
)

// A cutter cuts one provider after the other, at random.
type cutter struct {
	done atomic.Int64 // cuts that are over
	stop func()       // returns when nothing is cut any more
}

// cutAtRandom cuts until it is stopped, or the test ends. One provider is dark
// for 200 to 800 ms, in both directions or towards one host; then both work for
// as long.
func (w *world) cutAtRandom(t *testing.T, seed uint64) *cutter {
	t.Helper()
	t.Logf("cuts of seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithCancel(context.Background())
	c := new(cutter)
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx
		for ctx.Err() == nil {
			pause(ctx, rng)
			isp := w.ISP[rng.IntN(len(w.ISP))]
			towards := [][]*testnet.Host{nil, nil, {w.Laptop}, {w.Site}}[rng.IntN(4)]
			if err := isp.Cut(towards...); err != nil {
				t.Error(err)
			}
			pause(ctx, rng)
			if err := isp.Restore(towards...); err != nil {
				t.Error(err)
			}
			c.done.Add(1)
		}
	})
	c.stop = func() { cancel(); running.Wait() }
	t.Cleanup(c.stop)
	return c
}

// pause waits for 200 to 800 ms.
func pause(ctx context.Context, rng *rand.Rand) {
	sleep(ctx, 200*time.Millisecond+time.Duration(rng.Int64N(int64(600*time.Millisecond))))
}

// sleep waits, at most until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
