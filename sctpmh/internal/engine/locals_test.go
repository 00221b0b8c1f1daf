package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// movingPair is a pair whose end a has the networks named, and b as many as
// there are.
func movingPair(t *testing.T, all int, nets ...int) *pair {
	t.Helper()
	n := newPair(t, Config{}, Config{})
	var as, bs []netip.AddrPort
	for i := 1; i <= all; i++ {
		bs = append(bs, pfOn(i).Remote)
		if slices.Contains(nets, i) {
			as = append(as, pfOn(i).Local)
		}
	}
	n.a.ep.SetLocals(as, nil)
	n.b.ep.SetLocals(bs, nil)
	n.connect()
	n.a.assoc.Permit(n.now, pfAddrs(bs))
	n.b.assoc.Permit(n.now, pfAddrs(as))
	n.advance(time.Second)
	return n
}

// addLocal gives an end an address, as a driver does.
func addLocal(n *pair, s *side, l netip.AddrPort) {
	n.t.Helper()
	s.ep.SetLocals(append(slices.Clone(s.ep.cfg.Locals), l), nil)
	s.assoc.LocalAdded(n.now, l)
	n.step()
}

// removeLocal takes one away.
func removeLocal(n *pair, s *side, l netip.AddrPort) {
	n.t.Helper()
	s.ep.SetLocals(slices.DeleteFunc(slices.Clone(s.ep.cfg.Locals), func(x netip.AddrPort) bool { return x == l }), nil)
	s.assoc.LocalRemoved(n.now, l)
	n.step()
}

// A host that gets an address uses it, once it is proved, and can lose the one
// that it had; the peer follows.
func TestNewLocalAddressIsUsed(t *testing.T) {
	n := movingPair(t, 2, 1)
	n.b.assoc.Permit(n.now, []netip.Addr{pfOn(2).Local.Addr()}) // its name has it already
	n.send(n.a, 1, 20, 1000)
	addLocal(n, n.a, pfOn(2).Local)
	if p := pfInfo(n, 2); p.Confirmed {
		t.Errorf("a path is believed before it is proved: %s", pfText(p))
	}
	pfAwait(n, 2, Active, 100*time.Millisecond)
	if p := pfInfo(n, 1); !p.InUse {
		t.Errorf("data left a path that works: %v", pfBelief(n.a.assoc))
	}
	n.advance(100 * time.Millisecond)
	n.send(n.a, 1, 20, 1000)
	n.send(n.b, 1, 20, 1000)
	from := n.now
	removeLocal(n, n.a, pfOn(1).Local)
	n.wantMessages(n.b, time.Second, 40, 1000)
	n.wantMessages(n.a, time.Second, 20, 1000)
	if e := n.wantEvent(n.a, EventFailover); e.Failover.Cause != CauseInterface || e.Failover.To != pfOn(2) {
		t.Errorf("failover %+v", e.Failover)
	}
	if at := pfSent(n, 1, wire.TypeData, from+1); len(at) > 0 {
		t.Errorf("%d packets with DATA from the address that is gone", len(at))
	}
	n.advance(twoHeartbeats + time.Second)
	wantNets(t, n, "after the old address was gone for long", 2)
	n.send(n.b, 1, 1, 1000)
	n.wantMessages(n.a, time.Second, 21, 1000)
}

// A peer that does not know the address yet does not answer. It is asked again,
// not more often than other paths, and at once when it permits the address.
func TestNewLocalAddressWaitsForThePeer(t *testing.T) {
	n := movingPair(t, 1, 1)
	on := Pair{netip.MustParseAddrPort("10.1.0.9:5001"), pfOn(1).Remote}
	addLocal(n, n.a, on.Local)
	n.advance(30 * time.Second)
	if p := n.a.assoc.paths.find(on); p == nil || p.confirmed() {
		t.Errorf("an address that the peer does not know: %v", pfBelief(n.a.assoc))
	}
	if got := n.count(n.a, func(x Pair, b []byte) bool { return x == on && has(b, wire.TypeHeartbeat) }); got < 3 || got > 10 {
		t.Errorf("%d HEARTBEATs in 30 s, want some", got)
	}
	if got := n.count(n.b, func(x Pair, _ []byte) bool { return x.Remote == on.Local }); got > 0 {
		t.Errorf("%d packets to an address that was not permitted", got)
	}
	n.b.assoc.Permit(n.now, []netip.Addr{on.Local.Addr()})
	n.advance(100 * time.Millisecond)
	if p := n.a.assoc.paths.find(on); p == nil || p.state != Active {
		t.Errorf("when the peer knows it: %v", pfBelief(n.a.assoc))
	}
}

// A listener that gets an address is reached there; so is one whose dialler
// knew the address before.
func TestPeerGetsAnAddress(t *testing.T) {
	n := pfPair(t, 2, Config{})
	removeLocal(n, n.b, pfOn(2).Remote)
	n.advance(time.Minute)
	if p := pfInfo(n, 2); p.State == Active {
		t.Fatalf("the address is gone, its path is %s", pfText(p))
	}
	addLocal(n, n.b, pfOn(2).Remote)
	pfAwait(n, 2, Active, 11*time.Second) // a asks at least every RTO.Max
	pfCut(n, 1)
	n.send(n.b, 1, 1, 100)
	n.wantMessages(n.a, time.Second, 1, 100)
}

// The paths of an address that comes back before they are forgotten are what
// they were.
func TestLocalAddressComesBack(t *testing.T) {
	n := pfPair(t, 2, Config{})
	removeLocal(n, n.a, pfOn(2).Local)
	n.advance(time.Second)
	addLocal(n, n.a, pfOn(2).Local)
	pfAwait(n, 2, Active, 100*time.Millisecond)
	n.advance(time.Minute)
	wantNets(t, n, "a minute after it came back", 1, 2)
	for _, e := range n.a.events {
		if e.Kind == EventPath && e.State == Unconfirmed {
			t.Errorf("%v was forgotten though its address is back", e.Pair)
		}
	}
}

// Without any address the association waits for the last one to come back.
func TestLastLocalAddress(t *testing.T) {
	n := movingPair(t, 1, 1)
	removeLocal(n, n.a, pfOn(1).Local)
	n.send(n.a, 1, 1, 100)
	n.advance(10 * time.Second)
	wantNets(t, n, "the only path", 1)
	addLocal(n, n.a, pfOn(1).Local)
	n.wantMessages(n.b, 2*time.Second, 1, 100)
}

// Addresses that come and go do not bother a stranger more than one that stays.
func TestMovingBothersNobody(t *testing.T) {
	n := movingPair(t, 1, 1)
	stranger := netip.MustParseAddr("10.1.66.66")
	n.a.assoc.Permit(n.now, []netip.Addr{stranger})
	for i := range 20 {
		l := netip.MustParseAddrPort(fmt.Sprintf("10.1.0.%d:5001", 100+i))
		addLocal(n, n.a, l)
		n.advance(200 * time.Millisecond)
		removeLocal(n, n.a, l)
		n.advance(200 * time.Millisecond)
	}
	if got := n.count(n.a, func(on Pair, _ []byte) bool { return on.Remote.Addr() == stranger }); got > maxProbes {
		t.Errorf("a stranger got %d packets, at most %d are allowed", got, maxProbes)
	}
	if got := len(n.a.assoc.paths.all); got > 2 {
		t.Errorf("%d paths are left of addresses that are gone: %v", got, pfBelief(n.a.assoc))
	}
}

// Where the table of paths is full, a new address displaces those over which
// nothing was ever heard, and nothing displaces the new ones.
func TestNewLocalAddressFindsRoom(t *testing.T) {
	n := movingPair(t, 2, 1, 2)
	more := func(net, host int) netip.AddrPort {
		return netip.MustParseAddrPort(fmt.Sprintf("10.%d.0.%d:5001", net, host))
	}
	as := []netip.AddrPort{pfOn(1).Local, pfOn(2).Local, more(2, 99)}
	for i := range 6 {
		as = append(as, more(1, 10+i))
	}
	n.b.assoc.Permit(n.now, pfAddrs(as))
	for _, l := range as[3:] {
		addLocal(n, n.a, l)
	}
	n.advance(time.Minute)
	before := nets(n.a)
	if got := len(n.a.assoc.paths.all); got != maxPaths || len(before) != maxPaths/2 {
		t.Fatalf("%d paths, %d of them proved: the table is not full of others", got, len(before))
	}
	addLocal(n, n.a, more(2, 99))
	n.advance(time.Second)
	wantNets(t, n, "with one address more", append(before, 2)...)
	if got := len(n.a.assoc.paths.all); got != maxPaths {
		t.Errorf("%d paths, at most %d are allowed", got, maxPaths)
	}
}

// A local address that is gone makes no path, whatever still comes in by it.
func TestPacketsToAnAddressThatIsGone(t *testing.T) {
	n := pfPair(t, 2, Config{})
	removeLocal(n, n.a, pfOn(2).Local)
	n.advance(2 * twoHeartbeats)
	wantNets(t, n, "forgotten", 1)
	var late []byte
	for _, p := range n.seen {
		if p.from == "b" && p.on.Remote == pfOn(2).Local && has(p.data, wire.TypeHeartbeat) {
			late = p.data
		}
	}
	n.a.assoc.Handle(n.now, pfOn(2), late)
	n.step()
	if slices.ContainsFunc(n.a.assoc.AppendPaths(nil), func(p PathInfo) bool { return p.Local == pfOn(2).Local }) {
		t.Errorf("a path from an address that is gone: %v", pfBelief(n.a.assoc))
	}
}

// An address beside one whose peer answers at another port than that of the
// handshake asks it there.
func TestNewLocalAddressAsksWhereThePeerAnswers(t *testing.T) {
	n := pfPair(t, 1, Config{})
	moved := netip.AddrPortFrom(pfOn(1).Remote.Addr(), 4444)
	p := n.a.assoc.paths.find(pfOn(1))
	p.pair.Remote = moved
	local := netip.MustParseAddrPort("10.1.0.9:5001")
	addLocal(n, n.a, local)
	n.advance(10 * time.Millisecond)
	if n.count(n.a, func(on Pair, b []byte) bool { return on == Pair{local, moved} && has(b, wire.TypeHeartbeat) }) == 0 {
		t.Errorf("no HEARTBEAT to %v: %v", moved, pfBelief(n.a.assoc))
	}
}
