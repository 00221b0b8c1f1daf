package tcpemu

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// What connections and associations tell of themselves.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, b := w.addParty(w.addHost(1), "a.example"), w.addParty(w.addHost(1), "b.example")
		w.register("a.example", a.endpoint)
		w.register("b.example", b.endpoint)
		began := time.Now()
		x, y := a.dial("b.example"), a.dial("b.example")
		back, _ := b.known()
		for range 9 {
			a.ask(x)
		}
		if s := x.Stats(); s.Sent != 10 || s.Received != 10*uint64(len("b.example\n")) || s.Since.Before(began) || s.Failovers != 0 || s.WorstStall != 0 {
			t.Errorf("connection: %+v", s)
		}
		made, served := a.d.Associations(), b.l.Associations()
		if len(made) != 1 || len(served) != 1 || len(a.l.Associations()) != 0 || len(b.d.Associations()) != 0 {
			t.Fatalf("%d made, %d served, want one each", len(made), len(served))
		}
		m, s := made[0], served[0]
		if m.ID != x.AssocID() || m.Connections != 2 || !m.Dialled || m.Leaving || m.Peer != b.endpoint.Addrs()[0] || m.Identity.Name != "b.example" ||
			m.Stats.PacketsSent == 0 || len(m.Paths) != 1 || m.Since.Before(began) {
			t.Errorf("as made: %+v", m)
		}
		if s.ID != back.AssocID() || s.Connections != 2 || s.Dialled || s.Peer != a.endpoint.Addrs()[0] || s.Identity.Name != "a.example" {
			t.Errorf("as served: %+v", s)
		}
		must(t, y.Close())
		moved := x.PathsChanged()
		b.w.hosts[1].isolate(w, true)
		select {
		case <-moved:
		case <-time.After(time.Minute):
			t.Error("a dead path is no change")
		}
		b.w.hosts[1].isolate(w, false)
		x.Reset()
	})
}

func TestStatsOfAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		a, b := w.pipe()
		w.wantPaths(a)
		w.wantPaths(b)
		w.cut(a)
		for range 3 { // it has ended when the first of what followed is acknowledged
			_, err := a.Write([]byte("still there?"))
			must(t, err)
			_, err = io.ReadFull(b, make([]byte, len("still there?")))
			must(t, err)
			_, err = b.Write([]byte("yes"))
			must(t, err)
			_, err = io.ReadFull(a, make([]byte, len("yes")))
			must(t, err)
		}
		if s := a.Stats(); s.Failovers != 1 || s.WorstStall <= 0 || s.WorstStall > stallLimit {
			t.Errorf("%+v, want one failover with a stall of at most %v", s, stallLimit)
		}
		// A connection that begins later did not see it.
		c, d := w.pipe()
		if s := c.Stats(); s.Failovers != 0 {
			t.Errorf("a later connection: %+v", s)
		}
		must(t, c.Close())
		must(t, d.Close())
		must(t, a.Close())
		must(t, b.Close())
	})
}
