package cuttest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/sctpmh/mh/internal/workload"
)

var (
	seed = flag.Uint64("seed", 1, "seed of the cuts; 0: another one each time")
	cuts = flag.Int64("cuts", 8, "least number of cuts that a workload is to live through")
)

// What programs do goes on while paths are cut: nothing is lost, nothing comes
// twice, no connection has to be made again.
func TestAppsWhilePathsAreCut(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	var wg sync.WaitGroup
	for name, load := range workload.All {
		wg.Go(func() { // not t.Parallel, which bounds those by processors: these wait for their links
			t.Run(name, func(t *testing.T) { cutApps(t, load) })
		})
	}
	wg.Wait()
}

// cutApps runs a workload, again and again, until enough has been cut and some
// of it was in use.
func cutApps(t *testing.T, load func(*testing.T, workload.Open)) {
	w := newWorld(t)
	c := w.cutAtRandom(t, *seed)
	enough := func() bool {
		n, _ := w.failovers()
		return c.done.Load() >= *cuts && n > 0 || c.done.Load() >= 3**cuts
	}
	for round := 1; round == 1 || !enough() && !t.Failed(); round++ {
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) { load(t, w.open) })
	}
	c.stop()
	n, worst := w.failovers()
	t.Logf("%d cuts, %d failovers, the longest stall %v", c.done.Load(), n, worst)
	if n == 0 {
		t.Error("the cuts made no difference: no association moved to another path")
	}
}
