package noid

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// zoneOf is records of h.example.net with some IPv4 addresses.
func zoneOf(ttl int, addrs ...string) (z string) {
	for _, a := range addrs {
		z += fmt.Sprintf("h.example.net. %d IN A %s\n", ttl, a)
	}
	return z + "example.net. 60 IN NS ns.example.net.\n"
}

// wantChange waits for what is next to be told, and how long that takes.
func wantChange(t *testing.T, what string, changes <-chan Change, added, withdrawn string) (Change, time.Duration) {
	t.Helper()
	start := time.Now()
	select {
	case c := <-changes:
		want(t, what+": added", ips(c.Added), added)
		want(t, what+": withdrawn", ips(c.Withdrawn), withdrawn)
		return c, time.Since(start)
	case <-time.After(3 * time.Hour):
		t.Fatalf("%s: nothing is told", what)
		panic("BUG: unreachable")
	}
}

// wantNothing fails when something is told within a time.
func wantNothing(t *testing.T, what string, changes <-chan Change, within time.Duration) {
	t.Helper()
	select {
	case c := <-changes:
		t.Errorf("%s: added %v, withdrawn %v", what, ips(c.Added), ips(c.Withdrawn))
	case <-time.After(within):
	}
}

// N08: a watch asks again before the TTL is over, and tells who wants to know
// which member was added; nobody wants to know: nobody asks.
func TestN08Added(t *testing.T) {
	inMemory(t, Config{}, zoneOf(100, "9.0.0.1"), func(w *bubble) {
		changes, end := w.Watch("h.example.net.", netip.Addr{})
		wantChange(t, "at first", changes, "9.0.0.1", "")
		other, endOther := w.Watch("h.example.net.", netip.Addr{})
		wantChange(t, "who comes later", other, "9.0.0.1", "")
		w.setZone(zoneOf(100, "9.0.0.1", "9.0.0.2"))
		before := w.dns.Total()
		c, after := wantChange(t, "one more", changes, "9.0.0.2", "")
		if after < 72*time.Second || after > 88*time.Second {
			t.Errorf("told after %v of 100 s", after)
		}
		if n := w.dns.Total() - before; n != 2 {
			t.Errorf("%d questions for two readers", n)
		}
		wantChange(t, "the other reader", other, "9.0.0.2", "")
		gen := c.Set.Gen
		wantNothing(t, "the same answers", changes, 10*time.Minute)
		w.setZone(zoneOf(100, "9.0.0.2", "9.0.0.1"))
		wantNothing(t, "the same in another order", changes, 10*time.Minute)
		if s := w.addresses(w.t.Context(), "h.example.net.", netip.Addr{}); s.Gen != gen {
			t.Errorf("generation %x, want %x", s.Gen, gen)
		}
		end()
		end()
		w.setZone(zoneOf(100, "9.0.0.3"))
		wantChange(t, "who is left", other, "9.0.0.3", "9.0.0.1 9.0.0.2")
		endOther()
		if n := w.asks(func() { time.Sleep(time.Hour) }); n != 0 {
			t.Errorf("%d questions for nobody", n)
		}
		if n := len(w.watches.names); n != 0 {
			t.Errorf("%d names are watched", n)
		}
	})
}

// N08: the jitter spreads the questions, within the TTL.
func TestN08Jitter(t *testing.T) {
	var ws watches
	now := time.Unix(1e9, 0)
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := ws.pause(&watch{}, &Set{Expire: now.Add(100 * time.Second), Locators: []Locator{{}}}, now, maxOrphan)
		least, most = min(least, d), max(most, d)
	}
	if least < 72*time.Second || most > 88*time.Second || most-least < 10*time.Second {
		t.Errorf("between %v and %v", least, most)
	}
}

// N09: a member that is gone is withdrawn by an answer, and by nothing else; a
// reader that is slow gets all in one; without any member for maxOrphan the
// name means no host any more.
func TestN09Withdrawn(t *testing.T) {
	inMemory(t, Config{}, zoneOf(60, "9.0.0.1", "9.0.0.2"), func(w *bubble) {
		changes, end := w.Watch("h.example.net.", netip.Addr{})
		defer end()
		wantChange(t, "at first", changes, "9.0.0.1 9.0.0.2", "")
		w.fault(dnstest.Fault{Rcode: dns.RcodeServerFailure}, "h.example.net")
		wantNothing(t, "while servers fail", changes, 10*time.Hour)
		w.fault(dnstest.Fault{}, "h.example.net")
		w.setZone(zoneOf(60, "9.0.0.2", "9.0.0.3"))
		c, _ := wantChange(t, "renumbered", changes, "9.0.0.3", "9.0.0.1")
		s := c.Set.As(BindingClaim, true)
		want(t, "kept by who came from what was withdrawn", ips(s.Keep(netip.MustParseAddr("9.0.0.1"), PeerView{Silent: true})), "9.0.0.2 9.0.0.3")

		w.setZone(zoneOf(60, "9.0.0.4"))
		time.Sleep(2 * time.Minute)
		w.setZone(zoneOf(60, "9.0.0.2", "9.0.0.5"))
		time.Sleep(2 * time.Minute)
		wantChange(t, "a slow reader", changes, "9.0.0.5", "9.0.0.3")

		w.setZone(zoneOf(60))
		if c, _ = wantChange(t, "no member", changes, "", "9.0.0.2 9.0.0.5"); c.Orphaned {
			t.Error("orphaned at once")
		}
		c, after := wantChange(t, "orphaned", changes, "", "")
		if !c.Orphaned || after < maxOrphan || after > maxOrphan+time.Minute {
			t.Errorf("orphaned %v after %v", c.Orphaned, after)
		}
		w.setZone(zoneOf(60, "9.0.0.9"))
		if c, _ = wantChange(t, "back", changes, "9.0.0.9", ""); c.Orphaned {
			t.Error("still orphaned")
		}
	})
}

// N09: half of an answer withdraws nothing of the other half.
func TestN09OneFamilyFails(t *testing.T) {
	d := newServer(t, "h.example.net. 60 IN A 9.0.0.1\nh.example.net. 60 IN AAAA 2a00:a::1\n")
	six := newServer(t, "")
	synctest.Test(t, func(t *testing.T) {
		w := newBubble(t, Config{}, d)
		ask, start := w.servers[0], time.Now()
		failing := memory(six)
		six.SetFault("h.example.net", dnstest.Fault{Rcode: dns.RcodeServerFailure})
		w.servers[0] = func(ctx context.Context, q question) (*dns.Msg, Upstream, error) {
			if q.qtype == dns.TypeAAAA && time.Since(start) > time.Minute {
				return failing(ctx, q)
			}
			return ask(ctx, q)
		}
		changes, end := w.Watch("h.example.net.", netip.Addr{})
		defer end()
		wantChange(t, "at first", changes, "2a00:a::1 9.0.0.1", "")
		time.Sleep(time.Minute)
		w.setZone("h.example.net. 60 IN A 9.0.0.2\n")
		time.Sleep(25 * time.Hour) // no old answer is left either
		c, _ := wantChange(t, "one family", changes, "9.0.0.2", "9.0.0.1")
		want(t, "and the other", ips(c.Set.Locators), "2a00:a::1 9.0.0.2")
		wantNothing(t, "later", changes, time.Hour)
	})
}

// The watch of many names is bounded.
func TestWatchBound(t *testing.T) {
	inMemory(t, Config{}, zoneOf(60, "9.0.0.1"), func(w *bubble) {
		var ends []func()
		for i := range maxWatched + 10 {
			_, end := w.Watch(Name(fmt.Sprintf("h%d.example.net.", i)), netip.Addr{})
			ends = append(ends, end)
		}
		if n := len(w.watches.names); n != maxWatched {
			t.Errorf("%d names are watched", n)
		}
		slices.Reverse(ends)
		for _, end := range ends {
			end()
		}
	})
}

// A host that is found at a private address because it is talked to at one is not
// lost by being followed; who is talked to elsewhere does not get these addresses.
func TestWatchPrivate(t *testing.T) {
	inMemory(t, Config{}, zoneOf(100, "9.0.0.1", "10.0.0.5", "10.0.0.6", "192.168.0.5"), func(w *bubble) {
		s, err := w.Verify(w.t.Context(), addr("10.0.0.5"), "h.example.net")
		if err != nil {
			t.Fatal(err)
		}
		for path, members := range map[string]string{"10.0.0.5": ips(s.Locators), "::ffff:10.0.0.6": ips(s.Locators), "9.0.0.1": "9.0.0.1"} {
			changes, end := w.Watch(s.Name, addr(path))
			wantChange(t, "from "+path, changes, members, "")
			wantNothing(t, "from "+path, changes, 2*maxOrphan)
			end()
		}
		want(t, "members", ips(s.Locators), "10.0.0.5 10.0.0.6 9.0.0.1")
	})
}
