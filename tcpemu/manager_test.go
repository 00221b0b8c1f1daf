package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// pairOf names an association alike at both ends.
func pairOf(c *Conn) [2]uint64 {
	return [2]uint64{min(c.s.nonce, c.s.peer.nonce), max(c.s.nonce, c.s.peer.nonce)}
}

// Both directions go over one association, whoever made it.
func TestDialerAndListenerShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		there := a.dial("b.example")
		if _, id := b.known(); id.Name != "a.example" {
			t.Fatalf("b takes a for %+v", id)
		}
		back := b.dial("a.example")
		if pairOf(there) != pairOf(back) {
			t.Error("b made an association of its own with a")
		}
		if id := back.PeerIdentity(); id.Name != "a.example" || id.Binding != "claim" {
			t.Errorf("b reached %+v", id)
		}
		if c := <-a.accepted; c.s != there.s {
			t.Error("b's connection does not come over a's association")
		}
	})
}

// A user of the peer's host claims the host's name, which his address does
// belong to. What is dialled goes to the host's own port.
func TestAnotherUserOfThePeersHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.addParty(w.addHost(1), "a.example")
		h := w.addHost(1)
		b, m := w.addParty(h, "b.example"), w.addParty(h, "b.example")
		m.name = "mallory"
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		m.dial("a.example")
		if _, id := a.known(); id.Name != "b.example" {
			t.Fatalf("a takes the other user for %+v", id)
		}
		a.dial("b.example")

		// He has a name of his own as well, whose record names b's host and his
		// port.
		w.register("evil.example", m.endpoint)
		w.mu.Lock()
		trap := w.names["evil.example"]
		trap.Name, trap.Identity.Name = "b.example", "b.example"
		w.names["evil.example"] = trap
		w.mu.Unlock()
		a.dial("evil.example", "mallory")
		a.dial("b.example")
	})
}

// Premeditated redirection (RFC 4218 section 4.1.3): somebody claims a name
// before anybody dials it.
func TestPremeditatedRedirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b, m := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example"), w.addParty(w.addHost(1), "b.example")
		m.name = "mallory"
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		m.dial("a.example")
		if _, id := a.known(); id.Name != "" {
			t.Fatalf("a believes %+v", id)
		}
		a.dial("b.example")
		// An association for which nothing was proved serves the one dial only.
		w.mu.Lock()
		w.names["192.0.2.1"] = Endpoint{Remotes: m.endpoint.Addrs(), Identity: Identity{Binding: "none"}}
		w.mu.Unlock()
		one, other := a.dial("192.0.2.1", "mallory"), a.dial("192.0.2.1", "mallory")
		if one.s == other.s {
			t.Error("an association without a proved name was used twice")
		}
	})
}

// An association that was made on weaker proof does not serve a dial that has
// a stronger one.
func TestWeakerProofIsNotReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		w.binding = "hint"
		there := a.dial("b.example")
		b.known()
		if back := b.dial("a.example"); pairOf(back) == pairOf(there) {
			t.Error("b trusts an association more than was proved")
		}
	})
}

// Both ends dial at the same time, again and again: in the end there is one
// association, and no connection was disturbed.
func TestSimultaneousOpenMerges(t *testing.T) {
	kept := map[bool]int{}
	for range 24 { // chance decides which one stays
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			a, b := w.addParty(w.addHost(2), "a.example"), w.addParty(w.addHost(2), "b.example")
			w.register("a.example", a.endpoint)
			w.register("b.example", b.endpoint)
			var there, back *Conn
			var dialling sync.WaitGroup
			dialling.Go(func() { there = a.dial("b.example") }) // these end when they are answered
			dialling.Go(func() { back = b.dial("a.example") })
			dialling.Wait()
			if pairOf(there) == pairOf(back) {
				t.Fatal("there were no two associations")
			}
			a.known()
			b.known()
			synctest.Wait()
			// The connections go on; further ones share the one that stays.
			loser, stays := there, back
			if slices.Compare([]uint64{pairOf(there)[0], pairOf(there)[1]}, []uint64{pairOf(back)[0], pairOf(back)[1]}) < 0 {
				loser, stays = back, there
			}
			kept[stays == there]++
			for range 3 {
				if x, y := a.dial("b.example"), b.dial("a.example"); pairOf(x) != pairOf(stays) || pairOf(y) != pairOf(stays) {
					t.Error("a connection is not on the association that stays")
				}
			}
			for _, c := range []struct {
				p *party
				c *Conn
			}{{a, there}, {b, back}} {
				if c.p.ask(c.c) == "" || isClosed(c.c.s.assoc.Done()) {
					t.Error("a connection was disturbed")
				}
			}
			must(t, loser.Close())
			select {
			case <-loser.s.assoc.Done():
			case <-time.After(time.Minute):
				t.Fatal("the association that goes does not end with its last connection")
			}
			if err := loser.s.assoc.Err(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("it ended by %v, want a graceful end", err)
			}
		})
	}
	if len(kept) != 2 {
		t.Errorf("the same side's association stayed %v times", kept)
	}
}

// A peer that goes away from one association is reached over another, once,
// and who dials does not notice.
func TestOpenCrossesGoAway(t *testing.T) {
	for _, early := range []string{"", "\n"} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
			w.register("b.example", b.endpoint)
			first := a.dial("b.example")
			old := (<-b.accepted).s
			asked := b.answered.Load()
			old.sayGoAway() // under way, a has not seen it
			x, err := a.d.DialEarly(t.Context(), "mh", "b.example:7", []byte(early))
			must(t, err)
			c := x.(*Conn)
			if c.s == first.s {
				t.Fatal("the connection is on the association that goes away")
			}
			if early == "" {
				a.ask(c)
			} else if _, err := io.ReadFull(c, make([]byte, len("b.example\n"))); err != nil {
				t.Fatal(err)
			}
			if n := b.answered.Load() - asked; n != 1 || len(b.accepted) != 1 {
				t.Errorf("%d questions were answered on %d connections, want one on one", n, len(b.accepted))
			}
			a.ask(first) // what was running goes on
		})
	}
}

// Over an association that there is, the answer to a question that goes with
// OPEN is here after one round trip; one that waits for the answer to OPEN takes
// two.
func TestEarlyDataSavesARoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("b.example", b.endpoint)
		a.dial("b.example")
		trips := func(early string, late string) float64 {
			began := time.Now()
			c, err := a.d.DialEarly(t.Context(), "mh", "b.example:7", []byte(early))
			must(t, err)
			defer c.Close()
			_, err = io.WriteString(c, late)
			must(t, err)
			_, err = io.ReadFull(c, make([]byte, len("b.example\n")))
			must(t, err)
			return float64(time.Since(began)) / float64(2*lan.Delay)
		}
		early, late := trips("\n", ""), trips("", "\n")
		if early > 1.2 || late < 1.9 {
			t.Errorf("%.2f round trips with early data, %.2f without", early, late)
		}
		t.Logf("%.2f round trips with early data, %.2f without", early, late)
	})
}

// Shutdown refuses, in a way that may be asked elsewhere, what nobody has
// accepted; it waits for the rest.
func TestShutdownDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("b.example", b.endpoint)
		c := a.dial("b.example")
		over := make(chan struct{})
		go func() { // ends with the connection
			defer close(over)
			b.l.Shutdown(context.Background())
		}()
		synctest.Wait()
		began := time.Now()
		_, err := a.d.DialContext(t.Context(), "mh", "b.example:7")
		if err == nil {
			t.Error("a listener that is shut down accepts")
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("%v after %v, want a refusal at once", err, d)
		}
		if isClosed(over) {
			t.Fatal("Shutdown does not wait")
		}
		a.ask(c)
		must(t, c.Close())
		<-over
	})
}

// A peer whose listener shuts down before anybody accepted tells so, and the
// dial is over: there is nobody else.
func TestShutdownRefusesWhatNobodyAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, h := w.addParty(w.addHost(1), "a.example"), w.addHost(1)
		e := listenOnHost(t, h.Host, h.addrs)
		w.register("b.example", e)
		l, err := Listen(e, nil) // nobody accepts
		must(t, err)
		end := make(chan error, 1)
		go func() { // ends with the refusal
			_, err := a.d.DialContext(t.Context(), "mh", "b.example:7")
			end <- err
		}()
		synctest.Wait()
		for queued := 0; queued == 0; {
			<-time.After(lan.Delay)
			l.backlog.mu.Lock()
			queued = len(l.backlog.queue)
			l.backlog.mu.Unlock()
		}
		must(t, l.Shutdown(t.Context()))
		if err := <-end; err == nil {
			t.Error("connected to nobody")
		}
	})
}

// Close ends a dial that is under way.
func TestDialerCloseEndsDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		h := w.addHost(1)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(h, "b.example")
		w.register("b.example", b.endpoint)
		h.isolate(w, true)
		ends := make(chan error, 2)
		for range cap(ends) { // one makes the association, one waits for it
			go func() { // ends with Close
				_, err := a.d.DialContext(context.Background(), "mh", "b.example:7")
				ends <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		must(t, a.d.Close(context.Background()))
		for range cap(ends) {
			wantIs(t, "dial", <-ends, net.ErrClosed)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("Close waited %v for a dial", d)
		}
		_, err := a.d.DialContext(context.Background(), "mh", "b.example:7")
		wantIs(t, "dial after Close", err, net.ErrClosed)
	})
}

// A dial that has little time fails no other that waits for its association:
// that one makes one itself.
func TestImpatientDialFailsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		h := w.addHost(1)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(h, "b.example")
		w.register("b.example", b.endpoint)
		h.isolate(w, true)
		dial := func(patience time.Duration) <-chan error {
			end := make(chan error, 1)
			go func() { // ends with the dial
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				c, err := a.d.DialContext(ctx, "mh", "b.example:7")
				if err == nil {
					c.Close()
				}
				end <- err
			}()
			synctest.Wait()
			return end
		}
		impatient, patient := dial(100*time.Millisecond), dial(10*time.Second)
		wantIs(t, "the impatient dial", <-impatient, syscall.ETIMEDOUT)
		h.isolate(w, false)
		if err := <-patient; err != nil {
			t.Errorf("the patient dial: %v", err)
		}
	})
}

// An association that nobody uses ends; one with a connection stays, however
// quiet that is.
func TestUnusedAssociationEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b, c := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example"), w.addParty(w.addHost(1), "c.example")
		w.register("b.example", b.endpoint)
		w.register("c.example", c.endpoint)
		quiet := a.dial("b.example")
		over := a.dial("c.example")
		must(t, over.Close())
		began := time.Now()
		select {
		case <-over.s.assoc.Done():
		case <-time.After(2 * unusedLimit):
		}
		if d := time.Since(began); d < unusedLimit || d > unusedLimit+time.Minute {
			t.Fatalf("an unused association ended after %v, want %v", d, unusedLimit)
		}
		if err := over.s.assoc.Err(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("it ended by %v, want a graceful end", err)
		}
		a.ask(quiet)
		if more := a.dial("b.example"); more.s != quiet.s {
			t.Error("an association with a connection is not used any more")
		}
		if again := a.dial("c.example"); again.s == over.s {
			t.Error("the association that ended is used")
		}
	})
}

// A peer that crashed and came back knows nothing of any connection. They end
// as TCP's would, and the next one gets a new association.
func TestCrashOfThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		h := w.addHost(1)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(h, "b.example")
		w.register("b.example", b.endpoint)
		x, y := a.dial("b.example"), a.dial("b.example")
		h.isolate(w, true)
		b.l.Close()
		must(t, b.endpoint.Close()) // nobody hears of it
		reborn, err := sctpmh.Listen(b.endpoint.Addrs(), &sctpmh.Config{Socket: h.Listen, Adaptation: AdaptationCode})
		must(t, err)
		defer reborn.Close()
		h.isolate(w, false)
		l, err := Listen(reborn, &ListenConfig{Name: "b.example", Resolver: w})
		must(t, err)
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			l.Shutdown(ctx)
		}()
		fmt.Fprintln(x)
		for _, c := range []*Conn{x, y} {
			_, err := c.Read(make([]byte, 1))
			wantIs(t, "Read", err, syscall.ECONNRESET)
		}
		go l.Accept() // ends with the dial
		z, err := a.d.DialContext(t.Context(), "mh", "b.example:7")
		must(t, err)
		if z.(*Conn).s == x.s {
			t.Error("the dead association is used")
		}
		z.(*Conn).Reset()
	})
}

// The dial that finds out about a crash is not its victim.
func TestDialAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		h := w.addHost(1)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(h, "b.example")
		w.register("b.example", b.endpoint)
		a.dial("b.example")
		h.isolate(w, true)
		b.l.Close()
		must(t, b.endpoint.Close())
		reborn, err := sctpmh.Listen(b.endpoint.Addrs(), &sctpmh.Config{Socket: h.Listen, Adaptation: AdaptationCode})
		must(t, err)
		defer reborn.Close()
		h.isolate(w, false)
		l, err := Listen(reborn, nil)
		must(t, err)
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			l.Shutdown(ctx)
		}()
		go l.Accept() // ends with the dial
		z, err := a.d.DialContext(t.Context(), "mh", "b.example:7")
		must(t, err)
		z.(*Conn).Reset()
	})
}
