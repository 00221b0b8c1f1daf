package failbench

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// A failCase is one row of the table.
type failCase struct {
	name     string
	unit     string
	goal     goal
	parallel int // worlds that measure at the same time
	run      func(w *world, how way, run int) (float64, error)
}

const ms = time.Millisecond

var failCases = []failCase{
	{"silent black hole, 20 ms RTT, message of 100 octets every 50 ms: longest gap", "ms", goal{median: 150, worst: 250}, 4, blackHole(rule{delay: 10 * ms}, messages)},
	{"the same, RTT near zero", "ms", goal{median: 150}, 4, blackHole(rule{}, messages)},
	{"silent black hole, 20 ms RTT, bulk, 50 Mbit/s on each path: longest gap", "ms", goal{worst: 250}, 1, blackHole(rule{delay: 10 * ms, rate: 50e6 / 8, queue: 50 * ms}, bulk)},
	{"first path dead before connect, 20 ms RTT: first message later by", "ms", goal{worst: 300}, 4, firstPathDead},
	{"30 % loss on one path both ways, bulk, 10 Mbit/s on each: share of 10 Mbit/s, as of 2 s later", "%", goal{worst: 90, least: true}, 4, lossyPath},
}

// BenchmarkFailover prints one table for all cases and ways.
func BenchmarkFailover(b *testing.B) {
	if *failoverRuns == 0 {
		b.Skip("make bench-failover runs it")
	}
	var worlds []*world
	for i := range 4 {
		w, err := newWorld(uint64(i))
		if err != nil {
			b.Fatal(err)
		}
		defer w.close()
		worlds = append(worlds, w)
	}
	all := ways(nil)
	for range b.N {
		t := failTable{ways: all, runs: *failoverRuns}
		for _, c := range failCases {
			row, err := c.measure(worlds[:c.parallel], all)
			if err != nil {
				b.Fatalf("%s: %v", c.name, err)
			}
			t.rows = append(t.rows, row)
		}
		t.print(os.Stdout)
	}
	b.ReportMetric(0, "ns/op")
	conclude(b, worlds...)
}

// conclude fails when the router was the bottleneck.
func conclude(b *testing.B, worlds ...*world) {
	b.Helper()
	if n := overrun(worlds...); n > 0 {
		b.Errorf("the router was too slow for %d frames, which it lost: the figures are not to be trusted", n)
	}
}

// few is the number of runs of a way that stalls.
const few = 3

// measure runs the case for each way.
func (c failCase) measure(worlds []*world, all []way) (failRow, error) {
	row, before := failRow{failCase: c}, tallyOf(worlds...)
	for _, how := range all {
		runs := *failoverRuns
		if how.few {
			runs = min(runs, few)
		}
		values, err := each(worlds, runs, func(w *world, run int) (float64, error) { return c.run(w, how, run) })
		if err != nil {
			return row, fmt.Errorf("%s: %w", how.name, err)
		}
		row.values = append(row.values, values)
		fmt.Fprintf(os.Stderr, "%s: %s: %.0f %s\n", c.name, how.name, slices.Sorted(slices.Values(values)), c.unit)
	}
	row.router = tallyOf(worlds...).since(before)
	return row, nil
}

// each spreads the runs over the worlds.
func each(worlds []*world, runs int, f func(*world, int) (float64, error)) ([]float64, error) {
	values, errs := make([]float64, runs), make([]error, runs)
	next := make(chan int, runs)
	for run := range runs {
		next <- run
	}
	close(next)
	var wg sync.WaitGroup
	for _, w := range worlds {
		wg.Go(func() { // ends with the runs
			for run := range next {
				values[run], errs[run] = f(w, run)
			}
		})
	}
	wg.Wait()
	return values, errors.Join(errs...)
}

// blackHole has the path in use swallow everything, and returns the longest
// gap at the receiver in the three seconds around that. The moment of the cut
// moves from run to run, as in the engine's benchmark.
func blackHole(r rule, l load) func(*world, way, int) (float64, error) {
	return func(w *world, how way, run int) (float64, error) {
		w.lay(r, r)
		defer w.settle()
		t, err := begin(w, how, 2, l)
		if err != nil {
			return 0, err
		}
		time.Sleep(700 * ms)
		before := w.passed()
		time.Sleep(300*ms + time.Duration(run)*7*ms)
		i := w.used(before)
		cut := time.Now()
		w.change(i, func(r *rule) { r.cut = true })
		end := t.resumed(cut)
		w.lay(r, r)
		gap := t.longestGap(cut.Add(-time.Second), end)
		return float64(gap) / float64(ms), t.stop()
	}
}

// resumed waits two seconds after a cut, and then until something has arrived
// after the first of them, or patience is at its end. It returns when that was.
func (t *trial) resumed(cut time.Time) time.Time {
	time.Sleep(2 * time.Second)
	for time.Since(cut) < patience && t.lastArrival().Before(cut.Add(time.Second)) {
		time.Sleep(ms)
	}
	return time.Now()
}

// firstPathDead returns how much longer it takes from dialling to the first
// message when wire A swallows everything.
func firstPathDead(w *world, how way, _ int) (float64, error) {
	var took [2]time.Duration
	for i, dead := range []bool{false, true} {
		var err error
		took[i], err = firstMessage(w, how, dead)
		if err != nil {
			return 0, err
		}
	}
	if took[1] >= patience {
		return float64(patience) / float64(ms), nil
	}
	return float64(took[1]-took[0]) / float64(ms), nil
}

// firstMessage returns the time from dialling to the first message.
func firstMessage(w *world, how way, dead bool) (time.Duration, error) {
	good := rule{delay: 10 * ms}
	w.lay(rule{delay: 10 * ms, cut: dead}, good)
	defer w.settle()
	start := time.Now()
	t, err := begin(w, how, 2, messages)
	if errors.Is(err, errStalled) {
		return patience, nil
	}
	if err != nil {
		return 0, err
	}
	select {
	case <-t.first:
	case <-time.After(patience):
	}
	took := min(time.Since(start), patience)
	w.lay(good, good)
	return took, t.stop()
}

// lossyPath returns what share of a good path's rate arrives, from two seconds
// on, after the path in use began to lose 30 % both ways.
func lossyPath(w *world, how way, run int) (float64, error) {
	const rate = 10e6 / 8
	r := rule{delay: 10 * ms, rate: rate, queue: 50 * ms}
	w.lay(r, r)
	defer w.settle()
	t, err := begin(w, how, 2, bulk)
	if err != nil {
		return 0, err
	}
	time.Sleep(700 * ms)
	before := w.passed()
	time.Sleep(300*ms + time.Duration(run)*7*ms)
	w.change(w.used(before), func(r *rule) { r.loss = 0.3 })
	time.Sleep(2 * time.Second)
	share := 100 * t.goodput(3*time.Second) / rate
	w.lay(r, r)
	return share, t.stop()
}
