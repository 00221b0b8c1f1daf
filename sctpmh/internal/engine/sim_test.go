package engine

import (
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
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
				err := s.run()
				mu.Lock()
				sum.add(s)
				if err != nil {
					t.Errorf("seed %d (%s): %v\nreplay: make sim N=1 SEED=%d   or: go test ./sctpmh/internal/engine -run '^TestSim$' -sim.n=1 -sim.seed=%d -sim.trace -v",
						seed, s.describe(), err, seed, seed)
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
}

// One seed is one trace, bit for bit.
func TestSimReplays(t *testing.T) {
	for seed := range uint64(5) {
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

// sim is one simulated run.
type sim struct {
	seed     uint64
	rng      *rand.Rand
	net      *netsim.Net
	a, b     *simNode
	links    []*netsim.Link
	paths    int
	worst    float64 // highest loss rate of any link
	nat      bool
	class    string
	lastCure netsim.Time // after it every path that will ever work does
	dead     bool        // all paths end for good
	silence  time.Duration
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

func newSim(seed uint64) *sim {
	s := &sim{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), net: netsim.New(seed)}
	s.paths = 1 + s.rng.IntN(4)
	var aAddrs, bAddrs []netip.AddrPort
	for i := range s.paths {
		aAddrs = append(aAddrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), 5001))
		bAddrs = append(bAddrs, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 2}), 9899))
	}
	cfgA, cfgB := Config{Port: 4000, Locals: aAddrs}, Config{Port: 5000, Locals: bAddrs, Accept: true}
	if s.rng.IntN(3) == 0 {
		cfgB.ReceiveBuffer = 16<<10 + s.rng.IntN(64<<10)
	}
	s.a, s.b = s.node("a", cfgA), s.node("b", cfgB)
	s.a.want, s.b.want = s.b, s.a
	s.join(aAddrs, bAddrs)
	s.workload()
	s.faults()
	var pairs []Pair
	for i := range aAddrs {
		pairs = append(pairs, Pair{aAddrs[i], bAddrs[i]})
	}
	s.a.assoc = s.a.ep.Dial(Time(netsim.Start), pairs, 4000, 5000)
	if *simTrace {
		s.net.Trace = os.Stdout
	}
	return s
}

func (s *sim) node(name string, cfg Config) *simNode {
	n := &simNode{name: name, ep: NewEndpoint(Time(netsim.Start), cfg, rand.NewPCG(s.seed, uint64(name[0])))}
	n.got = newReceived()
	s.net.Add(n)
	return n
}

// join makes the paths, each with faults of its own.
func (s *sim) join(a, b []netip.AddrPort) {
	harsh := s.rng.IntN(5) == 0
	for i := range a {
		c := netsim.Config{Delay: time.Duration(s.rng.Int64N(int64(150 * time.Millisecond)))}
		if s.rng.IntN(2) == 0 {
			c.Delay /= 20
		}
		s.impair(&c, harsh)
		s.worst = max(s.worst, c.Loss, c.Burst.Enter*3)
		up, down := c, c
		if s.rng.IntN(6) == 0 {
			down.Rate = max(20_000, up.Rate/100) // asymmetric
			down.Queue = 30_000
		}
		aAddr, bAddr := a[i].Addr(), b[i].Addr()
		l := s.net.Join(fmt.Sprint("path", i), s.a, []netip.Addr{aAddr}, s.b, []netip.Addr{bAddr}, up, down)
		s.b.permit = append(s.b.permit, aAddr)
		if s.rng.IntN(8) == 0 {
			s.nat = true
			public := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
			l.NAT(public, 2*time.Minute)
			s.b.permit = append(s.b.permit, public)
		}
		s.a.permit = append(s.a.permit, bAddr)
		s.links = append(s.links, l)
	}
}

// impair draws what a link does to packets.
func (s *sim) impair(c *netsim.Config, harsh bool) {
	flip := func(n int) bool { return s.rng.IntN(n) == 0 }
	if flip(2) {
		c.Jitter = time.Duration(s.rng.Int64N(int64(20*time.Millisecond))) + 1
	}
	if flip(2) {
		c.Loss = s.rng.Float64() * 0.03
	}
	if harsh {
		c.Loss = s.rng.Float64() * 0.3
	}
	if flip(5) {
		c.Burst = netsim.Burst{Enter: s.rng.Float64() * 0.01, Leave: 0.1 + s.rng.Float64()*0.3}
	}
	if flip(4) {
		c.Reorder, c.ReorderBy = s.rng.Float64()*0.1, time.Duration(s.rng.Int64N(int64(30*time.Millisecond)))
	}
	if flip(5) {
		c.Duplicate = s.rng.Float64() * 0.1
	}
	if flip(5) {
		c.Corrupt = s.rng.Float64() * 0.02
	}
	if flip(3) {
		c.Rate = 50_000 + s.rng.IntN(5_000_000)
		c.Queue = 20_000 + c.Rate/10
	}
}

// workload draws what both users send, and who ends the association.
func (s *sim) workload() {
	size := []int{100, 3000, 20_000, 256 << 10}[s.rng.IntN(4)]
	budget := 400_000 / size
	over := time.Duration(s.rng.Int64N(int64(4 * time.Second)))
	s.a.plan = makePlan(s.rng, Time(netsim.Start), 1+s.rng.IntN(min(budget, 150)+1), min(size, s.b.ep.cfg.ReceiveBuffer/2), over)
	s.b.plan = makePlan(s.rng, Time(netsim.Start), s.rng.IntN(min(budget, 150)+1), size, over)
	switch s.rng.IntN(3) {
	case 0:
		s.a.shutdown = true
	case 1:
		s.b.shutdown = true
	default:
		s.a.shutdown, s.b.shutdown = true, true
	}
}

// faults draws when paths die, and when they come back.
func (s *sim) faults() {
	s.class = "calm"
	s.lastCure = netsim.Start
	switch s.rng.IntN(6) {
	case 0:
		return
	case 1:
		s.class = "dead"
		s.dead = true
		at := netsim.Start.Add(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
		s.lastCure = at
		for _, l := range s.links {
			s.net.At(at, func() { l.Cut(true, true) })
		}
		return
	case 2:
		s.class = "silence"
		s.silence = time.Duration(s.rng.Int64N(int64(15 * time.Second)))
		at := netsim.Start.Add(time.Duration(s.rng.Int64N(int64(3 * time.Second))))
		for _, l := range s.links {
			s.cut(l, at, s.silence, true, true)
		}
		return
	case 3:
		s.class = "first path dead"
		if s.paths > 1 {
			s.cut(s.links[0], netsim.Start, time.Hour, true, true)
			s.lastCure = netsim.Start
		}
		return
	}
	s.class = "cuts"
	for range 1 + s.rng.IntN(6) {
		l := s.links[s.rng.IntN(len(s.links))]
		if s.rng.IntN(10) == 0 && s.nat {
			s.net.At(netsim.Start.Add(time.Second), l.Rebind)
		}
		way := s.rng.IntN(3)
		at := netsim.Start.Add(time.Duration(s.rng.Int64N(int64(8 * time.Second))))
		s.cut(l, at, time.Duration(s.rng.Int64N(int64(6*time.Second))), way != 1, way != 2)
	}
}

func (s *sim) cut(l *netsim.Link, at netsim.Time, d time.Duration, up, down bool) {
	s.net.At(at, func() { l.Cut(up, down) })
	s.net.At(at.Add(d), func() { l.Cut(false, false) })
	s.lastCure = max(s.lastCure, at.Add(d))
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
	over := func() bool { return broken != nil || s.a.down && (s.b.down || s.b.assoc == nil) }
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

// verdict is the promise: everything arrives once and in order and both ends
// close, or both report an error. An error needs a reason: paths that are
// dead, or a loss that can eat a dozen attempts in a row.
func (s *sim) verdict() error {
	if !s.a.down || s.b.assoc != nil && !s.b.down {
		return fmt.Errorf("not over after %v: a up %v down %v got %d of %d, b up %v down %v got %d of %d",
			time.Duration(s.net.Now()-netsim.Start), s.a.up, s.a.down, s.a.got.count, len(s.b.plan),
			s.b.up, s.b.down, s.b.got.count, len(s.a.plan))
	}
	ok := s.a.err == nil && s.b.err == nil && s.b.assoc != nil
	complete := s.a.complete() && s.b.complete()
	switch {
	case ok && !complete:
		return fmt.Errorf("closed without an error, but a got %d of %d, b got %d of %d",
			s.a.got.count, len(s.b.plan), s.b.got.count, len(s.a.plan))
	case ok:
		return nil
	case s.dead, s.worst > 0.15:
		return nil
	case !s.a.up && s.class != "calm":
		return nil // an INIT is not repeated for ever
	case complete:
		return nil // the last packets of the shutdown were lost: one end cannot know
	}
	return fmt.Errorf("error without a reason: a %v, b %v; a got %d of %d, b got %d of %d",
		s.a.err, s.b.err, s.a.got.count, len(s.b.plan), s.b.got.count, len(s.a.plan))
}

func (s *sim) describe() string {
	return fmt.Sprintf("%s, %d paths, loss %.2f, nat %v", s.class, s.paths, s.worst, s.nat)
}

// simSummary adds runs up.
type simSummary struct {
	classes                        map[string]int
	runs, packets, failovers, msgs int
	virtual                        time.Duration
}

func (m *simSummary) add(s *sim) {
	m.runs++
	m.classes[s.class]++
	m.packets += s.net.Counts().Sent
	m.failovers += s.a.failures + s.b.failures
	m.msgs += s.a.got.count + s.b.got.count
	m.virtual += time.Duration(s.net.Now() - netsim.Start)
}

func (m *simSummary) String() string {
	return fmt.Sprintf("%d seeds %v, %d packets, %d messages, %d failovers, virtual time %v",
		m.runs, m.classes, m.packets, m.msgs, m.failovers, m.virtual.Round(time.Second))
}
