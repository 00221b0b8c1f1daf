package tcpemu

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh"
)

// lan is a good link between two sites: 100 Mbit/s, 20 ms there and back.
var lan = netsim.Config{Delay: 10 * time.Millisecond, Rate: 12_500_000, Queue: 256 << 10}

// The hosts' addresses, one for each uplink.
var (
	clientAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	serverAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("198.51.100.2")}
)

// simWorld is a world over a simulated network: two hosts with two addresses
// each, and a link for each pair of those. It belongs into a bubble.
type simWorld struct {
	*world
	live  *netsim.Live
	links map[[2]netip.Addr]*netsim.Link // by client's and server's address
}

func newSimWorld(t testing.TB, seed uint64, c netsim.Config) *simWorld {
	t.Helper()
	w := &simWorld{live: netsim.NewLive(seed), links: make(map[[2]netip.Addr]*netsim.Link)}
	client, server := w.live.AddHost(), w.live.AddHost()
	w.live.Do(func(n *netsim.Net) {
		for _, a := range clientAddrs {
			for _, b := range serverAddrs {
				w.links[[2]netip.Addr{a, b}] = n.Join(fmt.Sprint(a, "-", b), client, []netip.Addr{a}, server, []netip.Addr{b}, c, c)
			}
		}
	})
	resolver := names{permit: serverAddrs, verify: func(netip.Addr, string) (Identity, []netip.Addr, error) {
		return Identity{Binding: "claim"}, clientAddrs, nil
	}}
	w.world = newWorldOn(t, resolver, listenOnHost(t, client, clientAddrs), listenOnHost(t, server, serverAddrs))
	return w
}

// listenOnHost opens an endpoint on a simulated host.
func listenOnHost(t testing.TB, h *netsim.Host, addrs []netip.Addr) *sctpmh.Endpoint {
	t.Helper()
	var local []netip.AddrPort
	for _, a := range addrs {
		local = append(local, netip.AddrPortFrom(a, 0))
	}
	e, err := sctpmh.Listen(local, &sctpmh.Config{Socket: h.Listen, Adaptation: AdaptationCode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// wantPaths waits until all pairs of addresses are usable paths of a
// connection.
func (w *simWorld) wantPaths(c *Conn) {
	w.t.Helper()
	a := c.s.assoc.(*sctpmh.Assoc)
	patience := time.After(time.Minute)
	for {
		changed := a.PathsChanged()
		active := 0
		for _, p := range a.Paths() {
			if p.State == sctpmh.Active && p.Confirmed {
				active++
			}
		}
		if active == len(w.links) {
			return
		}
		select {
		case <-changed:
		case <-patience:
			w.t.Fatalf("%d of %d paths are usable: %+v", active, len(w.links), a.Paths())
		}
	}
}

// cut stops the link that new data of the dialer's connection leaves over, and
// returns it.
func (w *simWorld) cut(client *Conn) *netsim.Link {
	for _, p := range client.Paths() {
		if p.InUse {
			l := w.links[[2]netip.Addr{p.Local.Addr(), p.Remote.Addr()}]
			w.live.Do(func(*netsim.Net) { l.Cut(true, true) })
			return l
		}
	}
	return nil // it has ended
}

func (w *simWorld) restore(l *netsim.Link) {
	w.live.Do(func(*netsim.Net) { l.Cut(false, false) })
}

func (w *simWorld) setDelay(d time.Duration) {
	w.live.Do(func(*netsim.Net) {
		for _, l := range w.links {
			l.SetDelay(d)
		}
	})
}

// stallLimit is how long a byte stream may stand still when its path dies.
const stallLimit = 300 * time.Millisecond

// A meter counts what is read and remembers the longest wait for more.
type meter struct {
	io.Reader
	last  time.Time
	worst time.Duration
}

func (m *meter) Read(b []byte) (int, error) {
	if m.last.IsZero() {
		m.last = time.Now()
	}
	n, err := m.Reader.Read(b)
	now := time.Now()
	m.worst = max(m.worst, now.Sub(m.last))
	m.last = now
	return n, err
}

// TestNettestSimulated runs the tests of net.Conn over networks that loopback
// is not. Time is virtual, so what the network does to a connection costs none.
func TestNettestSimulated(t *testing.T) {
	slow, lossy := lan, lan
	slow.Delay = 150 * time.Millisecond
	lossy.Loss = 0.1
	for _, c := range []struct {
		name    string
		link    netsim.Config
		cut     time.Duration // of the path in use, after the pipe was made
		shorten time.Duration // of the delay, after the pipe was made
	}{
		{name: "Good", link: lan},
		// Playing ping pong takes 500 round trips and must be over after a
		// minute; everything else is within 20 seconds.
		{name: "RTT300ms", link: slow, shorten: 20 * time.Second},
		{name: "Loss", link: lossy},
		{name: "Cut", link: lan, cut: 15 * time.Millisecond},
	} {
		t.Run(c.name, func(outer *testing.T) {
			synctest.Test(outer, func(t *testing.T) {
				failovers := 0
				// Subtests of a bubble's own T are forbidden. Those of the T
				// around it are goroutines of the bubble all the same, because
				// it is in there that they are started.
				nettest.TestConn(outer, func() (c1, c2 net.Conn, stop func(), err error) {
					w := newSimWorld(t, 1, c.link)
					a, b := w.pipe()
					w.wantPaths(a)
					w.wantPaths(b)
					if c.cut > 0 {
						time.AfterFunc(c.cut, func() { w.cut(a) })
					}
					if c.shorten > 0 {
						time.AfterFunc(c.shorten, func() { w.setDelay(lan.Delay) })
					}
					return a, b, func() {
						a.Close()
						b.Close()
						if c.cut > 0 {
							failovers += wantShortStalls(t, a, b)
						}
					}, nil
				})
				if c.cut > 0 && failovers == 0 {
					t.Error("no path was left: the cuts came too late")
				}
			})
		})
	}
}

// wantShortStalls checks what the ends say of their failovers, and returns how
// many there were.
func wantShortStalls(t testing.TB, ends ...*Conn) (n int) {
	t.Helper()
	for _, c := range ends {
		for _, f := range c.Failovers() {
			n++
			if f.Stall > stallLimit {
				t.Errorf("%v to %v (%s): a stall of %v, at most %v", f.From, f.To, f.Cause, f.Stall, stallLimit)
			}
		}
	}
	return n
}

func TestHalfCloseOverACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		a, b := w.pipe()
		w.wantPaths(a)
		w.wantPaths(b)
		question, answer := make([]byte, 1<<20), make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{1}).Read(question)
		rand.NewChaCha8([32]byte{2}).Read(answer)
		time.AfterFunc(50*time.Millisecond, func() { w.cut(a) })
		go func() { // ends when all is written
			a.Write(question)
			a.CloseWrite()
		}()
		asked, answered := &meter{Reader: b}, &meter{Reader: a}
		got, err := io.ReadAll(asked)
		if sha256.Sum256(got) != sha256.Sum256(question) || err != nil {
			t.Fatalf("question: read %d octets, %v", len(got), err)
		}
		time.AfterFunc(50*time.Millisecond, func() { w.cut(a) })
		go func() { // ends when all is written
			b.Write(answer)
			b.Close()
		}()
		got, err = io.ReadAll(answered)
		if sha256.Sum256(got) != sha256.Sum256(answer) || err != nil {
			t.Fatalf("answer: read %d octets, %v", len(got), err)
		}
		must(t, a.Close())
		if n := wantShortStalls(t, a, b); n == 0 {
			t.Error("no path was left: the cuts came too late")
		}
		if worst := max(asked.worst, answered.worst); worst > stallLimit {
			t.Errorf("nothing to read for %v, at most %v", worst, stallLimit)
		}
	})
}

// TestBulkOverAFlappingNetwork moves octets both ways while one path in use
// after the other dies and comes back.
func TestBulkOverAFlappingNetwork(t *testing.T) {
	const (
		size   = 16 << 20
		period = 700 * time.Millisecond // from cut to cut
		outage = 400 * time.Millisecond
	)
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		a, b := w.pipe()
		w.wantPaths(a)
		w.wantPaths(b)
		over := make(chan struct{})
		cuts := 0
		var flapping sync.WaitGroup
		flapping.Go(func() { // ends with over
			for {
				select {
				case <-time.After(period):
				case <-over:
					return
				}
				if l := w.cut(a); l != nil {
					cuts++
					time.AfterFunc(outage, func() { w.restore(l) })
				}
			}
		})
		start := time.Now()
		var moving sync.WaitGroup
		meters := []*meter{{Reader: a}, {Reader: b}}
		for i, c := range []*Conn{a, b} {
			moving.Go(func() { // ends when all is written
				io.CopyN(c, rand.NewChaCha8([32]byte{byte(i)}), size)
				c.CloseWrite()
			})
			moving.Go(func() { // ends at EOF
				got, want := sha256.New(), sha256.New()
				io.CopyN(want, rand.NewChaCha8([32]byte{byte(1 - i)}), size)
				n, err := io.Copy(got, meters[i])
				if n != size || err != nil || [32]byte(got.Sum(nil)) != [32]byte(want.Sum(nil)) {
					t.Errorf("read %d of %d octets, %v", n, size, err)
				}
			})
		}
		moving.Wait()
		close(over)
		flapping.Wait()
		for _, m := range meters {
			if m.worst > stallLimit {
				t.Errorf("nothing to read for %v, at most %v", m.worst, stallLimit)
			}
		}
		t.Logf("%d octets each way in %v, %d cuts, worst stalls %v and %v", size, time.Since(start), cuts, meters[0].worst, meters[1].worst)
		if cuts < 3 {
			t.Errorf("%d cuts only", cuts)
		}
		must(t, a.Close())
		must(t, b.Close())
	})
}
