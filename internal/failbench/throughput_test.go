package failbench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

const (
	pathRate  = 100e6 / 8
	pathQueue = 50 * ms

	// routerRate is what TCP must reach without delay and loss; else the router
	// is measured and not what is sent through it.
	routerRate = 90
)

// slow reports whether a path's rate is a small part of its capacity and is
// ruled by when the few losses come. It takes many long runs to say anything:
// there is one round of slowWorlds of them, all at a time.
func slow(rtt time.Duration, loss float64) bool { return loss > 0 && rtt >= 100*ms }

const slowWorlds = 24

// BenchmarkThroughput prints what a bulk transfer reaches of one path, ours
// and TCP's in turn.
func BenchmarkThroughput(b *testing.B) {
	if *throughputRounds == 0 {
		b.Skip("make bench-throughput runs it")
	}
	var worlds []*world
	for i := range slowWorlds {
		w, err := newWorld(uint64(i))
		if err != nil {
			b.Fatal(err)
		}
		defer w.close()
		worlds = append(worlds, w)
	}
	for range b.N {
		var rows []rateRow
		for _, rtt := range []time.Duration{0, 20 * ms, 100 * ms, 300 * ms} {
			for _, loss := range []float64{0, 0.001, 0.01} {
				row, err := rates(worlds, rtt, loss)
				if err != nil {
					b.Fatal(err)
				}
				if rows = append(rows, row); median(rows[0].tcp) < routerRate {
					b.Fatalf("TCP reaches %s Mbit/s without delay and loss: the router is too slow here", spread(row.tcp))
				}
			}
		}
		printRates(os.Stdout, rows)
	}
	b.ReportMetric(0, "ns/op")
	conclude(b, worlds...)
}

// rates measures both in turn, so that what else the machine does meets both.
// In a round both lose the frames of the same numbers: where few are lost,
// luck would decide otherwise.
func rates(worlds []*world, rtt time.Duration, loss float64) (row rateRow, err error) {
	row = rateRow{rtt: rtt, loss: loss}
	rounds := *throughputRounds
	cfg := &sctpmh.Config{SendBuffer: 32 << 20, ReceiveBuffer: 32 << 20}
	if slow(rtt, loss) {
		rounds = len(worlds)
		cfg.SendBuffer = 1 << 20 // else a minute's worth is cut before the path is known to carry more
	} else {
		worlds = worlds[:1]
	}
	before := tallyOf(worlds...)
	all := ways(cfg)
	ours, tcp := all[0], all[len(all)-1]
	for first := 0; first < rounds; first += len(worlds) {
		for _, s := range []struct {
			how  way
			into *[]float64
		}{{ours, &row.ours}, {tcp, &row.tcp}} {
			v, err := each(worlds, len(worlds), func(w *world, run int) (float64, error) {
				return throughput(w, s.how, rtt, loss, uint64(first+run)+1)
			})
			if err != nil {
				return row, fmt.Errorf("%s: %w", s.how.name, err)
			}
			*s.into = append(*s.into, v...)
		}
	}
	row.router = tallyOf(worlds...).since(before)
	fmt.Fprintf(os.Stderr, "RTT %v, loss %g %%: sctpmh %s, TCP %s, late %v\n", rtt, 100*loss, spread(row.ours), spread(row.tcp), row.router)
	return row, nil
}

// throughput returns the goodput in Mbit/s after a warm-up.
func throughput(w *world, how way, rtt time.Duration, loss float64, seed uint64) (float64, error) {
	warm, over := 3*time.Second, 10*time.Second
	switch {
	case slow(rtt, loss):
		warm, over = 20*time.Second, 2*time.Minute // far from where slow start has left it
	case rtt >= 300*ms:
		warm, over = 2*warm, 2*over // a window takes many round trips to grow
	}
	good := rule{delay: rtt / 2, rate: pathRate, queue: pathQueue}
	lossy := good
	lossy.loss, lossy.seed = loss, seed
	w.lay(lossy, lossy)
	defer w.settle()
	t, err := begin(w, how, 1, bulk)
	if err != nil {
		return 0, err
	}
	time.Sleep(warm)
	v := t.goodput(over) * 8 / 1e6
	w.lay(good, good)
	return v, t.stop()
}
