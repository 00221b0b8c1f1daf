package publish

import (
	"fmt"
	"testing"
	"time"

	"github.com/sctpmh/mh/noid"
)

// An address that the host is to lose goes from the DNS first; until the TTL is
// over peers may still have it, and so long the host has to keep it.
func TestDrain(t *testing.T) {
	w := newWorld(t, "")
	w.publish(wanted("9.0.0.1", "9.0.0.2", "2a00:a::1"), 1)
	now := time.Now()
	names, err := noid.New(noid.Config{Upstreams: []noid.Upstream{{Addr: w.Addr}}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	known := func(want int) {
		t.Helper()
		e, err := names.Explain(t.Context(), host, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(e.Hosts[0].Locators); n != want {
			t.Errorf("a peer knows %d addresses, want %d", n, want)
		}
	}
	known(3)
	plan := w.publish(wanted("9.0.0.1", "2a00:a::1"), 1)
	d := plan.Drain()
	if got := fmt.Sprint(d); got != "{[9.0.0.2] false 5m0s}" {
		t.Errorf("drain %s", got)
	}
	now = now.Add(d.For - time.Second)
	known(3)
	now = now.Add(2 * time.Second)
	known(2)
}

// What only changes its TTL need not be kept, and what is withdrawn is kept
// for the longest TTL that anything had.
func TestDrainTTLs(t *testing.T) {
	w := newWorld(t, host+" 900 IN A 9.0.0.1\n"+host+" 900 IN A 9.0.0.2\n")
	moving := wanted("9.0.0.1", "9.0.0.2", "2a00:a::1")
	moving.TTL = MovingTTL
	if d := w.publish(moving, 1).Drain(); len(d.Addrs) > 0 || d.Service || d.For != 0 {
		t.Errorf("TTL: %v", d)
	}
	if got := fmt.Sprint(w.publish(wanted("9.0.0.1", "2a00:a::1"), 1).Drain()); got != "{[9.0.0.2] false 30s}" {
		t.Errorf("with another TTL: %s", got)
	}
	if got := fmt.Sprint(w.publish(Withdrawal(host, self), 1).Drain()); got != "{[9.0.0.1 2a00:a::1] true 5m0s}" {
		t.Errorf("withdrawn: %s", got)
	}
	if got := fmt.Sprint(w.publish(Withdrawal(host, self), 0).Drain()); got != "{[] false 0s}" {
		t.Errorf("nothing: %s", got)
	}
}
