package sctpmh

import (
	"net/netip"
	"testing"
	"time"
)

// SetCandidates adds an address with a port of its own, moves data there when
// that of the handshake is withdrawn, and has it forgotten when it is idle.
func TestSetCandidates(t *testing.T) {
	f := listen(t, nil, "127.0.0.1:0")
	e := listen(t, &Config{HeartbeatInterval: 50 * time.Millisecond}, "127.0.0.1:0")
	r1, r2 := newRelay(t, "127.0.1.1:0", f.Addrs()[0]), newRelay(t, "127.0.1.2:0", f.Addrs()[0])
	a, b := connect(t, e, f, []netip.AddrPort{r1.addr()})
	b.Permit([]netip.Addr{r1.addr().Addr(), r2.addr().Addr()})
	a.SetCandidates([]netip.AddrPort{r1.addr(), r2.addr()})
	awaitConfirmed(t, a, 2)
	awaitConfirmed(t, b, 2)
	a.SetCandidates([]netip.AddrPort{r2.addr()})
	for _, p := range a.Paths() {
		if p.InUse != (p.Remote == r2.addr()) {
			t.Errorf("after the withdrawal of %v: %+v", r1.addr(), p)
		}
	}
	transfer(t, a, b, 1<<16, 1200)
	for {
		moved := a.PathsChanged()
		if confirmed(a) == 1 {
			break
		}
		select {
		case <-moved:
		case <-time.After(10 * time.Second):
			t.Fatalf("paths %+v", a.Paths())
		}
	}
	transfer(t, a, b, 1<<16, 1200)
}
