package engine

import (
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

var (
	simN     = flag.Int("sim.n", 60, "number of seeds to simulate")
	simSeed  = flag.Uint64("sim.seed", 0, "first seed")
	simTrace = flag.Bool("sim.trace", false, "print every packet of the simulation")
)

// TestSim runs random networks, faults and users in virtual time. After every
// step the invariants of both ends are checked; at the end every message has
// arrived once and in order, or both ends have reported an error in time.
//
//rfc:9260 6-8 6-11 6.1-18 6.2-16 6.2-26 6.5-6 6.6-1 6.6-2 6.8-3 6.8-4 6.9-1 6.9-2 6.9-11 6.9-14
//rfc:6951 5.5-2
func TestSim(t *testing.T) {
	start := time.Now()
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	var mu sync.Mutex
	sum := simSummary{classes: make(map[string]int)}
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := range seeds {
				s := newSim(seed)
				if *simTrace {
					s.net.Trace = os.Stdout
				}
				err := s.run()
				mu.Lock()
				sum.add(s)
				if err != nil {
					t.Errorf("seed %d (%s): %v\nreplay: make sim N=1 SEED=%d   or: go test ./sctpmh/internal/engine -run '^TestSim$' -sim.n=1 -sim.seed=%d -sim.trace -v",
						seed, strings.Join(s.classes, ", "), err, seed, seed)
				}
				mu.Unlock()
			}
		})
	}
	for i := range *simN {
		seeds <- *simSeed + uint64(i)
	}
	close(seeds)
	wg.Wait()
	t.Logf("%s; wall time %v", sum.String(), time.Since(start).Round(time.Millisecond))
	for _, c := range simClasses {
		if sum.classes[c] == 0 && *simN >= 1000 {
			t.Errorf("no seed is of the class %q", c)
		}
	}
}

// One seed is one trace, bit for bit.
func TestSimReplays(t *testing.T) {
	for seed := range uint64(20) {
		var traces [2]uint64
		for i := range traces {
			h := fnv.New64a()
			s := newSim(seed)
			s.net.Trace = h
			if err := s.run(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			traces[i] = h.Sum64()
		}
		if traces[0] != traces[1] {
			t.Errorf("seed %d has two traces", seed)
		}
	}
}

// simClasses are what seeds are drawn from; one seed is of several.
var simClasses = []string{
	"1 paths", "2 paths", "3 paths", "4 paths", "IPv6", "NAT", "NAT that rebinds",
	"MTU", "MTU steps", "MTU, told by routers", "rates 1:100", "RTT below 10 ms", "RTT above 300 ms",
	"loss above 15 %", "loss in bursts", "reordering", "duplication", "corruption", "ECN marks", "ECN filtered",
	"calm", "cuts", "flapping", "silence", "dead", "first path dead", "links that tell",
	plotCollision, plotRestart, plotAmnesia, plotAbort,
	"early shutdown", "slow readers", "small windows", "sealed", "strangers", "strangers that answer",
	"primary paths", "permissions that change", "withdrawals", "addresses that come and go", "aggregate", "early messages",
}

// simPatience is how long after the last fault a run may take: recovery waits
// for RTO.Max at most, and the slowest network here moves the largest plan in
// less.
const simPatience = 15 * time.Minute

// simBound is how long after total silence both ends may take to report it:
// each of at most Association.Max.Retrans + 1 errors on a path waits for a
// heartbeat interval, the timeout and its jitter.
func simBound(cfg Config) time.Duration {
	return time.Duration(cfg.AssocMaxRetrans+2) * (cfg.HeartbeatInterval + 2*cfg.RTOMax)
}

func (s *sim) run() error {
	var broken error
	s.net.Step = func(netsim.Time) {
		for _, n := range []*simNode{s.a, s.b} {
			if n.broken != nil && broken == nil {
				broken = n.broken
			}
		}
	}
	over := func() bool {
		return broken != nil || s.net.Now() > s.lastCure && s.a.over() && s.b.over() && s.a.record.dialed > 0
	}
	end := s.lastCure.Add(simPatience)
	if s.dead {
		end = s.lastCure.Add(simBound(s.a.ep.cfg))
	}
	if err := s.net.Run(end, over); err != nil {
		return err
	}
	if broken != nil {
		return fmt.Errorf("at %v: %w", time.Duration(s.net.Now()-netsim.Start), broken)
	}
	return s.verdict()
}

// simSummary adds runs up.
type simSummary struct {
	classes                                  map[string]int
	runs, packets, failovers, msgs, restarts int
	collisions, blackHoles, sizeProbes       uint64
	virtual                                  time.Duration
}

func (m *simSummary) add(s *sim) {
	m.runs++
	for _, c := range s.classes {
		m.classes[c]++
	}
	m.packets += s.net.Counts().Sent
	for _, n := range []*simNode{s.a, s.b} {
		m.failovers += n.record.failures
		m.msgs += n.got.count
		m.collisions += n.ep.stats.Collisions
		m.restarts += int(n.ep.stats.Restarts)
		m.blackHoles += n.record.blackHoles
		m.sizeProbes += n.record.probes
	}
	m.virtual += time.Duration(s.net.Now() - netsim.Start)
}

func (m *simSummary) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d seeds; of each class:", m.runs)
	for i, c := range simClasses {
		if i%6 == 0 {
			b.WriteString("\n\t")
		}
		fmt.Fprintf(&b, "%s: %d; ", c, m.classes[c])
	}
	fmt.Fprintf(&b, "\n\t%d packets, %d messages, %d failovers, %d restarts, %d collisions, %d black holes, %d probes for size, virtual time %v",
		m.packets, m.msgs, m.failovers, m.restarts, m.collisions, m.blackHoles, m.sizeProbes, m.virtual.Round(time.Second))
	return b.String()
}
