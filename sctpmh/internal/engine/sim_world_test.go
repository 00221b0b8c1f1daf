package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// sim is one simulated run.
type sim struct {
	seed     uint64
	rng      *rand.Rand
	net      *netsim.Net
	a, b     *simNode // a dials
	links    []*netsim.Link
	slowest  float64 // octets a second
	worst    float64 // highest loss rate of any link
	nat      bool
	classes  []string
	fault    string
	plot     string
	lastCure netsim.Time // after it every path that will ever work does
	dead     bool        // all paths end for good
	torn     bool        // all paths go down and up again and again

	actor      *simNode // who restarts, forgets or aborts
	remembered *Assoc   // with which the other end was up when actor forgot
}

// class notes that the seed is of a class.
func (s *sim) class(name string) {
	if !s.is(name) {
		s.classes = append(s.classes, name)
	}
}

func (s *sim) is(class string) bool { return slices.Contains(s.classes, class) }

func (s *sim) flip(n int) bool { return s.rng.IntN(n) == 0 }

// span draws a duration below d.
func (s *sim) span(d time.Duration) time.Duration { return time.Duration(s.rng.Int64N(int64(d))) }

func newSim(seed uint64) *sim {
	s := &sim{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), net: netsim.New(seed), slowest: math.Inf(1)}
	s.plot = []string{"", "", "", "", "", plotCollision, plotRestart, plotAbort, plotAmnesia, ""}[s.rng.IntN(10)]
	paths := 1 + s.rng.IntN(4)
	s.class(fmt.Sprintf("%d paths", paths))
	var aAddrs, bAddrs []netip.AddrPort
	for i := range paths {
		a, b := netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), netip.AddrFrom4([4]byte{10, byte(i), 0, 2})
		if s.flip(5) {
			s.class("IPv6")
			a, b = ipv6(i, 1), ipv6(i, 2)
		}
		aAddrs, bAddrs = append(aAddrs, netip.AddrPortFrom(a, 5001)), append(bAddrs, netip.AddrPortFrom(b, 9899))
	}
	cfgA, cfgB := s.configs()
	cfgA.Port, cfgA.Locals = 4000, aAddrs
	cfgB.Port, cfgB.Locals, cfgB.Accept = 5000, bAddrs, true
	cfgA.Accept = s.plot == plotCollision || s.plot == plotRestart // b may dial
	s.a, s.b = s.node("a", cfgA, bAddrs), s.node("b", cfgB, aAddrs)
	s.a.want, s.b.want = s.b, s.a
	s.join(aAddrs, bAddrs)
	if !s.nat && s.flip(3) {
		for _, n := range []*simNode{s.a, s.b} {
			for _, l := range n.ep.cfg.Locals {
				n.ep.cfg.List = append(n.ep.cfg.List, l.Addr())
			}
		}
	}
	s.strangers()
	s.workload()
	s.faults()
	s.sizes()
	s.whims()
	s.withdrawals()
	s.moves()
	s.aggregate()
	s.haste()
	s.act()
	return s
}

func ipv6(network, host int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::%d", network, host))
}

// configs draws what the ends are configured with.
func (s *sim) configs() (a, b Config) {
	for _, c := range []*Config{&a, &b} {
		if s.flip(3) {
			s.class("small windows")
			c.ReceiveBuffer = 16<<10 + s.rng.IntN(64<<10)
		}
		if s.flip(5) {
			c.SendBuffer = 4<<10 + s.rng.IntN(32<<10)
		}
		if s.flip(4) {
			c.CongestionControl = NewReno
		}
		c.NoECN = s.flip(6)
		c.MaxPMTU = []int{0, 0, 0, basePMTU, etherMTU}[s.rng.IntN(5)]
	}
	if s.flip(5) {
		s.class("sealed")
		a.SealRoom, b.SealRoom = maxSealRoom, maxSealRoom
	}
	return a, b
}

func (s *sim) node(name string, cfg Config, remotes []netip.AddrPort) *simNode {
	n := &simNode{name: name, ep: s.endpoint(name, cfg, Time(netsim.Start)), got: newReceived()}
	n.ports = [2]uint16{cfg.Port, 4000 + 5000 - cfg.Port}
	for i, l := range cfg.Locals {
		n.pairs = append(n.pairs, Pair{l, remotes[i]})
		n.permit = append(n.permit, remotes[i].Addr())
	}
	s.net.Add(n)
	return n
}

// endpoint makes an endpoint whose randomness is its own, also after a restart.
func (s *sim) endpoint(name string, cfg Config, now Time) *Endpoint {
	return NewEndpoint(now, cfg, rand.NewPCG(s.seed, uint64(now)<<8|uint64(name[0])))
}

// join makes the paths, each with faults of its own.
func (s *sim) join(a, b []netip.AddrPort) {
	harsh := s.flip(5)
	for i := range a {
		// From 1 to 600 ms there and back, as often short as long.
		c := netsim.Config{Delay: time.Duration(float64(500*time.Microsecond) * math.Pow(600, s.rng.Float64()))}
		switch {
		case c.Delay < 5*time.Millisecond:
			s.class("RTT below 10 ms")
		case c.Delay > 150*time.Millisecond:
			s.class("RTT above 300 ms")
		}
		s.impair(&c, harsh)
		s.worst = max(s.worst, c.Loss, c.Burst.Enter*3)
		up, down := c, c
		if s.flip(6) {
			s.class("rates 1:100")
			up.Rate = 1_000_000 + s.rng.IntN(9_000_000)
			up.Queue = 20_000 + up.Rate/10
			down.Rate, down.Queue = up.Rate/100, 30_000
			if s.flip(2) {
				up, down = down, up
			}
		}
		for _, d := range []netsim.Config{up, down} {
			if d.Rate > 0 {
				s.slowest = min(s.slowest, float64(d.Rate))
			}
		}
		aAddr, bAddr := a[i].Addr(), b[i].Addr()
		l := s.net.Join(fmt.Sprint("path", i), s.a, []netip.Addr{aAddr}, s.b, []netip.Addr{bAddr}, up, down)
		if s.flip(6) && aAddr.Is4() && s.plot != plotCollision {
			s.nat = true
			s.class("NAT")
			public := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
			l.NAT(public, 2*time.Minute)
			s.b.permit = append(s.b.permit, public)
			if s.flip(2) {
				s.class("NAT that rebinds")
				for range 1 + s.rng.IntN(3) {
					s.net.At(netsim.Start.Add(s.span(5*time.Second)), l.Rebind)
				}
			}
		}
		s.links = append(s.links, l)
	}
	if s.worst > 0.15 {
		s.class("loss above 15 %")
	}
}

// impair draws what a link does to packets.
func (s *sim) impair(c *netsim.Config, harsh bool) {
	if s.flip(2) {
		c.Jitter = s.span(20*time.Millisecond) + 1
	}
	if s.flip(2) {
		c.Loss = s.rng.Float64() * 0.03
	}
	if harsh {
		c.Loss = s.rng.Float64() * 0.3
	}
	if s.flip(5) {
		s.class("loss in bursts")
		c.Burst = netsim.Burst{Enter: s.rng.Float64() * 0.01, Leave: 0.1 + s.rng.Float64()*0.3}
	}
	if s.flip(4) {
		s.class("reordering")
		c.Reorder, c.ReorderBy = s.rng.Float64()*0.1, s.span(30*time.Millisecond)
	}
	if s.flip(5) {
		s.class("duplication")
		c.Duplicate = s.rng.Float64() * 0.1
	}
	if s.flip(5) {
		s.class("corruption")
		c.Corrupt = s.rng.Float64() * 0.02
	}
	if s.flip(3) {
		c.Rate = 50_000 + s.rng.IntN(5_000_000)
		c.Queue = 20_000 + c.Rate/10
		if s.flip(2) {
			s.class("ECN marks")
			c.Mark = c.Queue / 4
		}
	}
	if s.flip(16) {
		s.class("ECN filtered")
		c.DropECT = true
	}
}

// strangers draws addresses that are not the peer's, although a name lists
// them. One in two has a host that knows nothing of SCTP associations.
func (s *sim) strangers() {
	if !s.flip(5) {
		return
	}
	s.class("strangers")
	for _, n := range []*simNode{s.a, s.b} {
		local := n.ep.cfg.Locals[0]
		stranger := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 66, n.name[0], 66}), 9899)
		if local.Addr().Is6() {
			stranger = netip.AddrPortFrom(ipv6(66, int(n.name[0])), 9899)
		}
		n.permit = append(n.permit, stranger.Addr())
		if s.flip(2) {
			n.pairs = slices.Insert(n.pairs, s.rng.IntN(len(n.pairs)+1), Pair{local, stranger})
		}
		if s.flip(2) {
			n.silent = append(n.silent, stranger.Addr())
			continue
		}
		s.class("strangers that answer")
		host := &simNode{name: "stranger", want: n, ep: s.endpoint("s"+n.name, Config{Port: 1, Locals: []netip.AddrPort{stranger}}, Time(netsim.Start))}
		s.net.Add(host)
		c := netsim.Config{Delay: s.span(300 * time.Millisecond)}
		s.net.Join("stranger of "+n.name, n, []netip.Addr{local.Addr()}, host, []netip.Addr{stranger.Addr()}, c, c)
	}
}

// workload draws what both users send, and who ends the association.
func (s *sim) workload() {
	size := []int{100, 3000, 20_000, 256 << 10}[s.rng.IntN(4)]
	budget := int(min(400_000, 60*s.slowest)) / size
	over := s.span(4*time.Second) + 1
	for _, n := range []*simNode{s.a, s.b} {
		count := s.rng.IntN(min(budget, 150) + 2)
		if count == 0 && n == s.a {
			count = 1
		}
		if count > 0 {
			n.plan = makePlan(s.rng, Time(netsim.Start), count, min(size, n.want.ep.cfg.ReceiveBuffer/2-4), over)
		}
	}
	switch s.rng.IntN(3) {
	case 0:
		s.a.shutdown = true
	case 1:
		s.b.shutdown = true
	default:
		s.a.shutdown, s.b.shutdown = true, true
	}
	if s.flip(4) {
		s.class("early shutdown")
		s.a.hasty = s.flip(2)
		s.b.hasty = !s.a.hasty || s.flip(2)
	}
	for _, n := range []*simNode{s.a, s.b} {
		if s.flip(6) {
			s.class("slow readers")
			n.deaf.from = Time(netsim.Start.Add(s.span(3 * time.Second)))
			n.deaf.to = n.deaf.from.Add(s.span(10 * time.Second))
		}
	}
}
