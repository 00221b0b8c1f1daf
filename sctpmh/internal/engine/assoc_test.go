package engine

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

//rfc:9260 5.1.1-1 5.1.1-2 5.1.1-3 8.4-3
//rfc:6951 3.2-1 3.2-3 5.7-1
func TestHandshake(t *testing.T) {
	n := newPair(t, Config{Adaptation: 0x6D680001}, Config{Adaptation: 0x6D680001, MaxStreams: 100})
	n.connect()
	for _, s := range []*side{n.a, n.b} {
		n.wantEvent(s, EventEstablished)
		p := s.assoc.Peer()
		if p.Adaptation != 0x6D680001 || p.OutStreams != 100 || p.InStreams != 100 || !p.Silent {
			t.Errorf("%s knows of its peer %+v", s.name, p)
		}
	}
}

// An INIT must cost a victim no more than the attacker (RFC 5062 section 9).
//
//rfc:9260 3.3.11-3 5.1.3-7 12.4-5
func TestInitAckIsNotLargerThanInit(t *testing.T) {
	var list []netip.Addr
	for i := range maxPeerAddrs {
		list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	n := newPair(t, Config{List: list, Adaptation: 1}, Config{List: list, Adaptation: 1})
	n.connect()
	if len(n.b.assoc.Peer().Listed) != maxPeerAddrs {
		t.Errorf("listed: %v", n.b.assoc.Peer().Listed)
	}
	init, ack := n.seen[0].data, n.seen[1].data
	if !has(init, wire.TypeInit) || !has(ack, wire.TypeInitAck) || len(ack) > len(init) {
		t.Errorf("INIT has %d octets, INIT ACK %d\n%s", len(init), len(ack), n.trace())
	}
}

//rfc:9260 6-11 6.8-2 6.9-1 6.9-9
func TestTransferBothWays(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 3, 200, 3000)
	n.send(n.b, 4, 200, 100)
	n.wantMessages(n.b, 5*time.Second, 200, 3000)
	n.wantMessages(n.a, 5*time.Second, 200, 100)
	if s := n.a.assoc.Stats(); s.Retransmits != 0 {
		t.Errorf("retransmits without loss: %+v", s)
	}
}

//rfc:9260 3.3.8-1 3.3.9-1 6.7-3 9.2-17 9.2-20
func TestShutdownDeliversEverything(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 100, 5000)
	n.a.assoc.Shutdown(n.now)
	if err := n.a.assoc.Send(n.now, Message{Data: []byte("late")}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after Shutdown: %v", err)
	}
	n.wantMessages(n.b, 5*time.Second, 100, 5000)
	n.advance(time.Second)
	n.wantEvent(n.b, EventPeerShutdown)
	for _, s := range []*side{n.a, n.b} {
		if e := n.wantEvent(s, EventClosed); e.Err != nil {
			t.Errorf("%s closed with %v", s.name, e.Err)
		}
	}
}

func TestShutdownFromBothEnds(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.Shutdown(n.now)
	n.b.assoc.Shutdown(n.now)
	n.advance(time.Second)
	for _, s := range []*side{n.a, n.b} {
		if e := n.wantEvent(s, EventClosed); e.Err != nil {
			t.Errorf("%s closed with %v", s.name, e.Err)
		}
	}
}

//rfc:9260 9.1-1 9.1-7
func TestAbortTellsThePeerWhy(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.Abort(n.now, wire.CauseUserAbort, "changed my mind")
	n.advance(time.Second)
	var abort *AbortError
	if e := n.wantEvent(n.b, EventClosed); !errors.As(e.Err, &abort) || !abort.Remote || abort.Reason != "changed my mind" {
		t.Errorf("peer closed with %v", e.Err)
	}
}

// The first timeout moves the data, and nothing is lost or repeated.
//
//rfc:9260 6.3.3-2 6.4-4 6.4.1-1
//rfc:7829 3.2-3 3.2-4
//rfc:6951 5.5-2
func TestFailoverAtTheFirstTimeout(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 50, 1000)
	n.advance(300 * time.Millisecond)
	n.drop = silent(onPath1)
	n.send(n.a, 1, 50, 1000)
	n.wantMessages(n.b, time.Second, 100, 1000)
	f := n.wantEvent(n.a, EventFailover).Failover
	if f.From != onPath1 || f.To != onPath2 || f.Cause != CauseTimeout {
		t.Errorf("failover %+v", f)
	}
	if f.Stall > 200*time.Millisecond {
		t.Errorf("stall %v", f.Stall)
	}
}

// When both paths are dead for a while the association waits and goes on.
//
//rfc:9260 6.3.3-2
func TestSurvivesTotalSilence(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.drop = silent(onPath1, onPath2)
	n.send(n.a, 1, 50, 1000)
	n.advance(20 * time.Second)
	n.drop = nil
	n.wantMessages(n.b, 11*time.Second, 50, 1000)
}

// Silence for ever is an error at both ends in bounded time.
//
//rfc:9260 8.1-3 8.1-4
func TestGivesUp(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.drop = silent(onPath1, onPath2)
	n.send(n.a, 1, 50, 1000)
	n.advance(5 * time.Minute)
	for _, s := range []*side{n.a, n.b} {
		var timeout *TimeoutError
		if e := n.wantEvent(s, EventClosed); !errors.As(e.Err, &timeout) {
			t.Errorf("%s closed with %v", s.name, e.Err)
		}
	}
}

//rfc:9260 5.1-14 6.4-2
//rfc:6951 5.5-2
func TestDialOverTheSecondPath(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = silent(onPath1)
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	start := n.now
	n.advance(400 * time.Millisecond)
	e := n.wantEvent(n.a, EventEstablished)
	if e.Pair != onPath2 {
		t.Errorf("established over %v after %v", e.Pair, n.now.Sub(start))
	}
}

//rfc:9260 4-5 5.1-14
func TestDialTimesOutNamingThePairs(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = silent(onPath1, onPath2)
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	inits := func() int { return n.count(n.a, func(Pair, []byte) bool { return true }) }
	for _, until := range []struct {
		time  time.Duration
		inits int // to two addresses
	}{{5 * time.Second, 2 * maxProbes}, {30 * time.Second, 2 * maxProbes}, {40 * time.Second, 2*maxProbes + 2}, {2 * time.Minute, 2 * maxInits}} {
		n.advance(until.time - n.now.Sub(Time(1e9)))
		if inits() != until.inits {
			t.Errorf("%d INITs after %v, want %d\n%s", inits(), until.time, until.inits, n.trace())
		}
	}
	var timeout *TimeoutError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &timeout) || len(timeout.Tried) != 2 {
		t.Fatalf("closed with %v", e.Err)
	}
}

// Nobody has to wait for an answer to what will not be asked.
func TestDialEndsWithItsUsersPatience(t *testing.T) {
	for patience, ends := range map[time.Duration]bool{20 * time.Second: true, 40 * time.Second: false} {
		n := newPair(t, Config{}, Config{})
		n.drop = silent(onPath1, onPath2)
		n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
		n.a.assoc.GiveUpBy(n.now.Add(patience))
		n.advance(7 * time.Second) // the last INITs may still be answered
		n.wantNoEvent(n.a, EventClosed)
		n.advance(time.Second)
		if n.a.assoc.Closed() != ends {
			t.Errorf("with %v to wait, closed: %v", patience, !ends)
		}
	}
}

// The last INITs of a dial that has no time for more wait for their answers all the
// same, however many pairs there are.
func TestLastInitsAreAwaited(t *testing.T) {
	for _, locals := range [][]netip.AddrPort{aLocals, {aLocals[0], aLocals[1], addrPort("10.3.0.1:5001"), addrPort("10.4.0.1:5001")}} {
		n := newPair(t, Config{}, Config{})
		n.drop = silent(onPath1)
		var pairs []Pair
		for _, l := range locals {
			pairs = append(pairs, Pair{l, bLocals[0]})
		}
		n.a.assoc = n.a.ep.Dial(n.now, pairs, 4000, 5000)
		n.a.assoc.GiveUpBy(n.now.Add(20 * time.Second))
		for !n.a.assoc.Closed() && n.now < Time(21e9) {
			n.advance(50 * time.Millisecond)
		}
		last := n.seen[len(n.seen)-1].at
		if waited := n.now.Sub(last); waited < n.a.assoc.cfg.RTOInitial {
			t.Errorf("%d pairs: given up %v after the last of %d INITs", len(pairs), waited, len(n.seen))
		}
	}
}

// A network that is away for longer than the first INITs take is not the end of
// a dial.
func TestDialOutlivesAnOutage(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = silent(onPath1, onPath2)
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	n.advance(10 * time.Second)
	n.drop = nil
	n.advance(25 * time.Second)
	n.wantEvent(n.a, EventEstablished)
}

// No DATA to a path that did not answer with our nonce, and few probes.
//
//rfc:9260 3.3.5-1 5.4-2
func TestUnprovenAddressIsLeftAlone(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	stranger := netip.MustParseAddr("10.2.0.66")
	n.a.assoc.Permit(n.now, []netip.Addr{stranger})
	n.send(n.a, 1, 100, 1000)
	n.drop = silent(onPath1)
	n.advance(25 * time.Second)
	probes := n.count(n.a, func(on Pair, b []byte) bool { return on.Remote.Addr() == stranger && has(b, wire.TypeHeartbeat) })
	all := n.count(n.a, func(on Pair, b []byte) bool { return on.Remote.Addr() == stranger })
	if probes != all || probes == 0 || probes > maxProbes {
		t.Errorf("%d packets to a stranger, %d of them probes; at most %d allowed", all, probes, maxProbes)
	}
}

// A peer whose user does not read stalls, and goes on when it reads.
//
//rfc:9260 6.2-26
func TestClosedWindow(t *testing.T) {
	n := newPair(t, Config{}, Config{ReceiveBuffer: 64 << 10})
	n.connect()
	n.b.hold = true
	n.send(n.a, 1, 100, 1000)
	n.advance(30 * time.Second)
	n.wantNoEvent(n.a, EventClosed)
	n.wantNoEvent(n.a, EventFailover)
	n.b.hold = false
	n.wantMessages(n.b, 15*time.Second, 100, 1000)
}

// True losses are found at once, and the reductions that they cause stay.
//
//rfc:9260 6.7-4
func TestLossIsRepairedWithoutTimeout(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	i := 0
	n.drop = func(s *side, _ Pair, b []byte) bool {
		if s != n.a || !has(b, wire.TypeData) {
			return false
		}
		i++
		return i%29 == 10
	}
	n.send(n.a, 1, 500, 1200)
	n.wantMessages(n.b, 10*time.Second, 500, 1200)
	s := n.a.assoc.Stats()
	if s.FastRetransmits == 0 || s.Retransmits > s.ChunksSent/10 || s.Undone != 0 {
		t.Errorf("stats %+v", s)
	}
}

//rfc:9260 12.4-4
func TestSackOfUnsentDataAborts(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	a := n.b.assoc
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: a.LocalTag()})
	b = wire.AppendSack(b, a.flight.next.Add(10), 1e6, nil, nil)
	wire.SetChecksum(b)
	a.Handle(n.now, Pair{bLocals[0], aLocals[0]}, b)
	n.advance(time.Second)
	var abort *AbortError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &abort) || abort.Code != wire.CauseProtocolViolation {
		t.Errorf("closed with %v", e.Err)
	}
}

//rfc:9260 3.1-3
func TestWrongTagChangesNothing(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	for _, typ := range []wire.ChunkType{wire.TypeAbort, wire.TypeShutdown, wire.TypeShutdownAck, wire.TypeInitAck, wire.TypeCookieAck, wire.TypeShutdownComplete} {
		for _, flags := range []uint8{0, wire.FlagT} {
			b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: n.b.assoc.LocalTag() + 1})
			b = wire.AppendChunk(b, typ, flags, make([]byte, 16))
			wire.SetChecksum(b)
			n.b.assoc.Handle(n.now, Pair{bLocals[0], aLocals[0]}, b)
		}
	}
	n.send(n.a, 1, 10, 100)
	n.wantMessages(n.b, time.Second, 10, 100)
}

// Packets leave the octets free that sealing will add.
//
//rfc:9260 6.9-7 6.9-8 6.10-1
//rfc:6951 5.6-1
func TestRoomForSealing(t *testing.T) {
	n := newPair(t, Config{SealRoom: maxSealRoom}, Config{SealRoom: maxSealRoom})
	n.connect()
	n.send(n.a, 1, 20, 5000)
	n.send(n.b, 1, 200, 10)
	n.wantMessages(n.b, time.Second, 20, 5000)
	n.wantMessages(n.a, time.Second, 200, 10)
	for _, p := range n.seen {
		if len(p.data)+28+maxSealRoom > basePMTU && !has(p.data, wire.TypeInit) {
			t.Errorf("a packet has %d octets, %d are to stay free: %s", len(p.data), maxSealRoom, wire.Text(p.data))
		}
	}
	if got := n.a.assoc.MaxPayload(); got != 1196 {
		t.Errorf("largest payload %d, want 1196", got)
	}
}

// Two paths over one link die together: the data finds the third, and does
// not wait for the timeout of a path whose round trip was never measured.
//
//rfc:9260 6.4.1-1 6.4.1-2
//rfc:7829 3.2-3
func TestFailoverPastAPathThatSharesTheDeadLink(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.ep.cfg.Locals = append(slices.Clone(aLocals), addrPort("10.1.0.3:5001"))
	n.connect()
	n.send(n.a, 1, 10, 1000)
	n.advance(7 * time.Second)
	n.drop = func(_ *side, on Pair, _ []byte) bool { return on.Remote.Addr().As4()[1] == 1 }
	n.send(n.a, 1, 10, 1000)
	n.wantMessages(n.b, time.Second, 20, 1000)
	f := n.wantEvent(n.a, EventFailover).Failover
	if f.To != onPath2 || f.Stall > 400*time.Millisecond {
		t.Errorf("failover %+v", f)
	}
}

// Probes that save the data of a dying path must not hide that it is dead,
// even when the other direction of it works and is busy.
func TestProbesDoNotHideADeadPath(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		n := newPair(t, Config{}, Config{})
		n.connect()
		n.send(n.a, 1, 3, 100)
		n.advance(time.Second)
		n.drop = func(s *side, on Pair, _ []byte) bool {
			return (s == n.a || !oneWay) && on.Remote.Addr().As4()[1] == 1
		}
		for range 40 {
			n.send(n.a, 1, 1, 100)
			n.send(n.b, 2, 1, 100)
			n.advance(60 * time.Millisecond)
		}
		n.wantMessages(n.b, time.Second, 43, 100)
		f := n.wantEvent(n.a, EventFailover).Failover
		if f.To != onPath2 || f.At.Sub(1e9+1200e6) > 400*time.Millisecond {
			t.Errorf("one way %v: failover %+v", oneWay, f)
		}
	}
}

// An uplink without a way out fails every send. That is reported each time,
// and must not make packets: the report of a probe's failure would cause the
// next probe at once, without end.
func TestFailedSendsDoNotCauseSends(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.send(n.a, 1, 5, 100)
	n.advance(time.Second)
	sent := 0
	n.drop = func(s *side, on Pair, _ []byte) bool {
		if s != n.a || on.Local.Addr() != aLocals[0].Addr() {
			return false
		}
		if sent++; sent > 1000 {
			t.Fatal("1,000 packets over an uplink without a way out")
		}
		s.assoc.LocalFailed(n.now, on.Local.Addr())
		return true
	}
	for range 100 {
		n.send(n.a, 1, 1, 100)
		n.advance(20 * time.Millisecond)
	}
	n.wantMessages(n.b, time.Second, 105, 100)
	if e := n.wantEvent(n.a, EventFailover).Failover; e.Cause != CauseInterface || e.Stall > 200*time.Millisecond {
		t.Errorf("failover %+v", e)
	}
	if sent > 50 {
		t.Errorf("%d packets in two seconds over an uplink without a way out", sent)
	}
}

// The end that verifies names permits addresses later than the other, whose
// probes until then go unanswered. Once it does, both have the second path at
// once, and not only when the next probe would be due.
//
//rfc:9260 3.3.5-1
//rfc:6951 3.2-3
func TestPathIsConfirmedSoonAfterALatePermission(t *testing.T) {
	for _, late := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond, 90 * time.Millisecond, 300 * time.Millisecond, 4 * time.Second} {
		n := newPair(t, Config{}, Config{})
		n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
		n.advance(50 * time.Millisecond)
		n.a.assoc.Permit(n.now, []netip.Addr{bLocals[0].Addr(), bLocals[1].Addr()})
		n.advance(late)
		n.b.assoc.Permit(n.now, []netip.Addr{aLocals[0].Addr(), aLocals[1].Addr()})
		n.advance(200 * time.Millisecond)
		for _, s := range []*side{n.a, n.b} {
			on := onPath2
			if s == n.b {
				on = Pair{on.Remote, on.Local}
			}
			if p := s.assoc.paths.find(on); p == nil || p.state != Active {
				t.Errorf("permitted %v later: the second path is not active at %s", late, s.name)
			}
		}
	}
}

// After a pause a path does not begin with the window it had.
//
//rfc:9260 7.1-1 7.2.1-10
func TestPauseShrinksTheWindow(t *testing.T) {
	n := bulk(t)
	p := n.a.assoc.paths.current
	before := p.cc.cwnd
	n.advance(10 * time.Second)
	n.send(n.a, 1, 1, 1200)
	if size := p.pmdcs(&n.a.assoc.cfg); before <= 8*size || p.cc.cwnd != 4*size {
		t.Errorf("window from %d to %d octets, want %d", before, p.cc.cwnd, 4*size)
	}
}
