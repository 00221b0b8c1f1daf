package tcpemu

import (
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh"
)

// With Isolate each connection has an association, which ends with it.
func TestIsolate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		a.d.Policy = Isolate
		x, y := a.dial("b.example"), a.dial("b.example")
		if x.s == y.s {
			t.Error("two connections share an association")
		}
		// The peer has none of its own on it.
		if c, _ := b.known(); c.s.peer.flags&helloAccepts != 0 {
			t.Error("an association that is not to be shared takes the peer's connections")
		}
		if back := b.dial("a.example"); pairOf(back) == pairOf(x) || pairOf(back) == pairOf(y) {
			t.Error("the peer uses an association that is not to be shared")
		}
		must(t, x.Close())
		select {
		case <-x.s.assoc.Done():
		case <-time.After(time.Minute):
			t.Error("the association does not end with its connection")
		}
		a.ask(y)
	})
}

// With Spread connections are spread over associations whose primary paths
// have nothing in common, and as they are weighted.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		ha, hb := w.addHost(2), w.addHost(2)
		a, b := w.addParty(ha, "a.example"), w.addParty(hb, "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		a.d.Policy = Spread
		a.d.Weight = func(p sctpmh.Pair) int {
			if p.Local.Addr() == ha.addrs[0] {
				return 3
			}
			return 1
		}
		first, second := a.dial("b.example"), a.dial("b.example")
		var q sctpmh.Pair
		for patience := time.After(time.Minute); ; {
			moved, also := first.PathsChanged(), second.PathsChanged()
			p := a.wantPrimary(first)
			if q = a.wantPrimary(second); commonAddrs(p, q) == 0 {
				break
			}
			select {
			case <-moved:
			case <-also:
			case <-patience:
				t.Fatalf("the primary paths %v and %v have an address in common", p, q)
			}
		}
		count := map[*session]int{}
		for range 200 {
			count[a.dial("b.example").s]++
		}
		heavy := first
		if q.Local.Addr() == ha.addrs[0] {
			heavy = second
		}
		if n := count[heavy.s]; len(count) != 2 || n < 120 || n > 185 {
			t.Errorf("%d of 200 connections on %d associations went the way that should carry 150", n, len(count))
		}
		// One that goes away is replaced.
		first.s.goAway()
		if third := a.dial("b.example"); third.s == first.s {
			t.Error("an association that goes away is used")
		}
	})
}

// wantPrimary waits until a path of a connection has been preferred and is in
// use.
func (p *party) wantPrimary(c *Conn) sctpmh.Pair {
	p.w.t.Helper()
	for patience := time.After(time.Minute); ; {
		moved := c.PathsChanged()
		synctest.Wait()
		pool := p.d.pool()
		pool.mu.Lock()
		var primary sctpmh.Pair
		for m := range pool.made {
			if m.session == c.s {
				primary = m.primary
			}
		}
		pool.mu.Unlock()
		paths := c.Paths()
		if i := slices.IndexFunc(paths, func(x sctpmh.PathInfo) bool { return x.InUse }); i >= 0 && len(paths) == 4 &&
			primary == (sctpmh.Pair{Local: paths[i].Local, Remote: paths[i].Remote}) {
			return primary
		}
		select {
		case <-moved:
		case <-patience:
			p.w.t.Fatalf("prefers %v of %+v", primary, paths)
		}
	}
}

// With Aggregate one connection takes all paths at once, also where one is much
// longer than the other.
func TestAggregate(t *testing.T) {
	const rate, size = 20_000_000 / 8, 24 << 20
	for _, delays := range [][2]time.Duration{{10 * time.Millisecond, 10 * time.Millisecond}, {5 * time.Millisecond, 30 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(t, 1, netsim.Config{Delay: 10 * time.Millisecond, Rate: rate, Queue: rate / 20})
			w.dialer.Policy = Aggregate
			a, b := w.pipe()
			w.wantPaths(a)
			w.live.Do(func(*netsim.Net) {
				for on, l := range w.links {
					i, j := slices.Index(clientAddrs, on[0]), slices.Index(serverAddrs, on[1])
					if l.SetDelay(delays[i]); i != j {
						l.Cut(true, true)
					}
				}
			})
			go a.Write(make([]byte, size)) // ends with a
			_, err := io.CopyN(io.Discard, b, size/2)
			must(t, err)
			start := time.Now()
			_, err = io.CopyN(io.Discard, b, size/2)
			must(t, err)
			got := float64(size/2) / time.Since(start).Seconds()
			t.Logf("delays of %v: %.2f times the rate of one path", delays, got/rate)
			if got < 1.6*rate {
				t.Errorf("delays of %v: %.2f times the rate of one path: %+v", delays, got/rate, a.Paths())
			}
			a.Reset()
			b.Reset()
		})
	}
}
