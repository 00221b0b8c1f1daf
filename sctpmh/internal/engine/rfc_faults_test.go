package engine

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// newFaults returns a pair with two paths whose timeouts are short: an unanswered
// HEARTBEAT is an error each second.
func newFaults(t *testing.T) *pair {
	cfg := Config{RTOMax: time.Second, PathMaxRetrans: 3, AssocMaxRetrans: 5}
	n := newPair(t, cfg, cfg)
	n.connect()
	return n
}

// until lets time pass in small steps until f, or fails.
func (n *pair) until(what string, within time.Duration, f func() bool) {
	n.t.Helper()
	for end := n.now.Add(within); !f(); n.advance(10 * time.Millisecond) {
		if n.now >= end {
			n.t.Fatalf("not within %v: %s\n%s", within, what, n.trace())
		}
	}
}

// timedOut checks that the association ended for want of answers, and that its
// user heard of it once.
func (s *rfcSetup) timedOut(op string) {
	s.t.Helper()
	s.counts(1, 0, 1)
	var timeout *TimeoutError
	if err := s.assoc.Err(); s.state() != "CLOSED" || !errors.As(err, &timeout) || timeout.Op != op {
		s.t.Errorf("%s with %v, want a timeout of the %s", s.state(), err, op)
	}
}

func (n *pair) probes(on Pair) int {
	return n.count(n.a, func(at Pair, b []byte) bool { return at == on && has(b, wire.TypeHeartbeat) })
}

// 8.1: timeouts on all paths count together; when they exceed the limit the
// association ends with an error and nothing is sent any more.
//
//rfc:9260 8.1-1 8.1-3 8.1-4
func TestErrorsOfAllPathsEndTheAssociation(t *testing.T) {
	n := newFaults(t)
	a := n.a.assoc
	limit := 2 * a.cfg.PathMaxRetrans // more than AssocMaxRetrans
	n.drop = silent(onPath1, onPath2)
	n.send(n.a, 1, 10, 1000)
	var both bool
	n.until("the end", time.Minute, func() bool {
		both = both || a.paths.find(onPath1).errors > 0 && a.paths.find(onPath2).errors > 0
		if a.assocErrors > limit && !a.Closed() {
			t.Fatalf("%d errors and no end", a.assocErrors)
		}
		return a.Closed()
	})
	var timeout *TimeoutError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &timeout) || a.assocErrors != limit+1 || !both {
		t.Errorf("closed with %v after %d errors, want %d; both paths had some: %v", e.Err, a.assocErrors, limit+1, both)
	}
	sent := n.count(n.a, func(Pair, []byte) bool { return true })
	n.advance(time.Minute)
	if now := n.count(n.a, func(Pair, []byte) bool { return true }); now != sent {
		t.Errorf("%d packets after the end", now-sent)
	}
}

// 8.1: unanswered probes of the path in use count too: an idle association
// notices that its peer is gone.
//
//rfc:9260 8.1-1 8.1-3
func TestIdleAssociationEnds(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	seen := 0
	for range 600 {
		s.advance(time.Second)
		if s.state() != "ESTABLISHED" {
			break
		}
		seen = max(seen, s.assoc.assocErrors)
	}
	s.timedOut("association")
	if seen != s.assoc.cfg.AssocMaxRetrans {
		t.Errorf("%d errors before the end, want %d", seen, s.assoc.cfg.AssocMaxRetrans)
	}
	s.skip()
	s.advance(time.Hour)
	s.none()
}

// 8.1: unanswered probes of a path that is not in use do not count for the
// association.
//
//rfc:9260 8.1-2
func TestDeadStandbyDoesNotEndTheAssociation(t *testing.T) {
	n := newFaults(t)
	n.drop = silent(onPath2)
	for end := n.now.Add(5 * time.Minute); n.now < end; n.advance(50 * time.Millisecond) {
		if n.a.assoc.assocErrors != 0 {
			t.Fatalf("%d errors\n%s", n.a.assoc.assocErrors, n.trace())
		}
	}
	if p := n.a.assoc.paths.find(onPath2); p.state != Inactive {
		t.Errorf("the standby is %v", p.state)
	}
	n.wantNoEvent(n.a, EventClosed)
}

// 8.1, 8.3: a SACK of new data, or a HEARTBEAT ACK, clears the error counters
// of the association and of the path; also when the path had none.
//
//rfc:9260 8.1-5 8.1-6 8.2-3 8.3-7 8.3-11
func TestAnswersClearTheErrorCounters(t *testing.T) {
	for _, answer := range []string{"SACK", "HEARTBEAT-ACK"} {
		s := newRFCSetup(t)
		place := s.reach("ESTABLISHED")
		if answer == "SACK" {
			s.submit("x")
		}
		s.advance(20 * time.Second)
		p := s.assoc.paths.current
		if s.assoc.assocErrors < 2 || p.errors < 2 || p.state != PotentiallyFailed {
			t.Fatalf("%s: %d errors, %d of the path, which is %v", answer, s.assoc.assocErrors, p.errors, p.state)
		}
		s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", place.local, place.ltsn-1) // it acknowledges nothing
		if s.assoc.assocErrors < 2 {
			t.Errorf("a SACK of nothing clears the counter")
		}
		if answer == "SACK" {
			s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", place.local, place.ltsn)
		} else {
			s.send("4000>5000 tag=%08x HEARTBEAT-ACK{info=%016x}", place.local, p.hb.nonce)
		}
		if s.assoc.assocErrors != 0 || p.errors != 0 || p.state != Active {
			t.Errorf("%s: %d errors, %d of the path, which is %v", answer, s.assoc.assocErrors, p.errors, p.state)
		}
		if answer == "SACK" {
			s.submit("y")
			s.assoc.assocErrors = 2 // of other paths
			s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", place.local, place.ltsn+1)
			if s.assoc.assocErrors != 0 {
				t.Errorf("a SACK over a sound path leaves %d errors", s.assoc.assocErrors)
			}
		}
	}
}

// 8.2, 8.3: each path has its own counter. A HEARTBEAT without an answer within
// the timeout adds one; the one that exceeds Path.Max.Retrans, not an earlier
// one, makes the path inactive, and the user hears of it.
//
//rfc:9260 8.2-1 8.2-2 8.3-3 8.3-4
func TestUnansweredProbesMakeAPathInactive(t *testing.T) {
	n := newFaults(t)
	p, q := n.a.assoc.paths.find(onPath2), n.a.assoc.paths.find(onPath1)
	n.drop = silent(onPath2)
	before := n.probes(onPath2)
	last := 0
	n.until("inactive", time.Minute, func() bool {
		unanswered := n.probes(onPath2) - before
		if p.errors != unanswered && p.errors != unanswered-1 || p.errors > last+1 || q.errors != 0 {
			t.Fatalf("%d errors, %d a moment ago, after %d probes; %d of the other path\n%s", p.errors, last, unanswered, q.errors, n.trace())
		}
		last = p.errors
		if (p.state == Inactive) != (p.errors > n.a.assoc.cfg.PathMaxRetrans) {
			t.Fatalf("%v after %d errors", p.state, p.errors)
		}
		return p.state == Inactive
	})
	n.advance(0)
	if e := n.a.events[len(n.a.events)-1]; e.Kind != EventPath || e.Pair != onPath2 || e.State != Inactive {
		t.Errorf("last event %+v", e)
	}
}

// 8.3: an inactive path is still probed and its counter rests; an answer makes
// it active with no errors, and the user hears of it.
//
//rfc:9260 8.2-3 8.3-5 8.3-7 8.3-9 8.3-10
func TestInactivePathReturns(t *testing.T) {
	n := newFaults(t)
	p := n.a.assoc.paths.find(onPath2)
	n.drop = silent(onPath2)
	n.until("inactive", time.Minute, func() bool { return p.state == Inactive })
	n.a.assoc.assocErrors = 2 // as from the path in use
	before := n.probes(onPath2)
	n.drop = func(s *side, on Pair, b []byte) bool {
		return silent(onPath2)(s, on, b) || has(b, wire.TypeHeartbeat)
	}
	n.advance(4 * time.Second)
	if n.probes(onPath2) < before+3 || p.errors != n.a.assoc.cfg.PathMaxRetrans+1 {
		t.Errorf("%d probes of the inactive path in 4 s, %d errors", n.probes(onPath2)-before, p.errors)
	}
	events := len(n.a.events)
	n.drop = nil
	n.until("active", 3*time.Second, func() bool { return p.state == Active })
	n.advance(0)
	back := func(e Event) bool { return e.Kind == EventPath && e.Pair == onPath2 && e.State == Active }
	if p.errors != 0 || !slices.ContainsFunc(n.a.events[events:], back) {
		t.Errorf("%d errors, events %+v", p.errors, n.a.events[events:])
	}
}

// 8.2: an acknowledgement of data that went over an inactive path alone clears
// its counter and makes it active, without any probe; the user hears of it.
//
//rfc:9260 8.2-3
func TestAcknowledgedDataMakesAPathActive(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	p := n.a.assoc.paths.find(onPath1)
	n.drop = silent(onPath1)
	n.send(n.a, 1, 1, 100)
	n.until("inactive", time.Minute, func() bool { return p.state == Inactive })
	n.drop = func(_ *side, _ Pair, b []byte) bool { return has(b, wire.TypeHeartbeat) }
	events := len(n.a.events)
	n.wantMessages(n.b, 11*time.Second, 1, 100)
	n.advance(50 * time.Millisecond)
	if p.errors != 0 || len(n.a.events) != events+1 || n.a.events[events] != (Event{Kind: EventPath, Pair: onPath1, State: Active}) {
		t.Errorf("%d errors, events %+v", p.errors, n.a.events[events:])
	}
}

// 8.2: when the path in use fails and several others work, one of them takes
// all new data.
//
//rfc:9260 8.2-4
func TestOneAlternateTakesOver(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.ep.cfg.Locals = append(slices.Clone(aLocals), addrPort("10.1.0.3:5001"))
	n.connect()
	n.send(n.a, 1, 10, 1000)
	n.advance(time.Second)
	n.drop = silent(onPath1)
	n.send(n.a, 1, 10, 1000)
	n.until("another path", time.Second, func() bool { return n.a.assoc.paths.current.pair != onPath1 })
	to, before := n.a.assoc.paths.current.pair, len(n.seen)
	for range 20 {
		n.send(n.a, 1, 10, 1000)
		n.advance(200 * time.Millisecond)
	}
	if got := len(n.a.got) + len(n.b.got); got != 220 {
		t.Errorf("%d messages arrived", got)
	}
	for _, s := range n.seen[before:] {
		if s.from == "a" && has(s.data, wire.TypeData) && s.on != to {
			t.Fatalf("data over %v and %v\n%s", s.on, to, n.trace())
		}
	}
}

// 8.3: idle paths are probed, each HB.interval and a timeout with its jitter
// after the last answer.
//
//rfc:9260 8.3-1
func TestIdlePathsAreProbed(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.advance(time.Minute)
	for _, on := range []Pair{onPath1, onPath2} {
		var last Time
		count := 0
		for _, s := range n.seen {
			if s.from != "a" || s.on != on || !has(s.data, wire.TypeHeartbeat) || s.at < 2e9 {
				continue
			}
			if gap := s.at.Sub(last); count > 0 && (gap < 5050*time.Millisecond || gap > 5200*time.Millisecond) {
				t.Errorf("%v: %v between probes", on, gap)
			}
			last = s.at
			count++
		}
		if count < 10 {
			t.Errorf("%v: %d probes in a minute", on, count)
		}
	}
}

// 8.3: the answer to a HEARTBEAT is a round trip measured, also where no data
// went.
//
//rfc:9260 8.3-12
func TestProbesMeasureTheRoundTrip(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	p := n.a.assoc.paths.find(onPath2)
	if p.rto.srtt != 20*time.Millisecond {
		t.Errorf("round trip of %v, want 20 ms", p.rto.srtt)
	}
	n.delay = 30 * time.Millisecond
	n.advance(10 * time.Minute)
	if p.rto.srtt < 59*time.Millisecond || p.rto.srtt > 60*time.Millisecond {
		t.Errorf("round trip of %v, want 60 ms", p.rto.srtt)
	}
}

// 8.3: HEARTBEATs are answered by the initiator from COOKIE-ECHOED on, by both
// in ESTABLISHED, and until SHUTDOWN or SHUTDOWN ACK was sent.
//
//rfc:9260 8.3-2
func TestWhenHeartbeatsAreAnswered(t *testing.T) {
	answered := []string{"COOKIE-ECHOED", "ESTABLISHED", "SHUTDOWN-PENDING", "SHUTDOWN-RECEIVED"}
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		state := s.state()
		s.send("4000>5000 tag=%08x HEARTBEAT{info=0001020304050607}", p.local)
		if slices.Contains(answered, state) {
			s.tagged(s.only("HEARTBEAT-ACK"), rfcTag, false)
		}
		s.none()
		s.is(state)
	})
}

// 9.1: an ABORT carries the peer's tag and travels without DATA, which is not
// sent any more.
//
//rfc:9260 9.1-2
func TestAbortLeavesDataBehind(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	for range 20 {
		if err := s.assoc.Send(s.now, Message{Data: make([]byte, 1000)}); err != nil {
			t.Fatal(err)
		}
	}
	s.abort()
	s.tagged(s.only("ABORT"), rfcTag, false)
	s.advance(time.Minute)
	s.none()
	s.is("CLOSED")
}

// 9.1: a packet with an ABORT in it is not answered, whatever comes before it.
//
//rfc:9260 9.1-4
func TestNothingAnswersAnAbort(t *testing.T) {
	for _, before := range []string{
		"HEARTBEAT{info=0001020304050607}", "CHUNK-c5{value=00}", "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}",
		"DATA{flags=BE tsn=100 sid=99 ssn=0 ppid=0 data=6869}", "DATA{flags=BE tsn=103 sid=0 ssn=0 ppid=0 data=6869} HEARTBEAT{info=00}",
	} {
		rfcEach(t, append([]string{"COOKIE-ECHOED"}, rfcLate...), func(s *rfcSetup, p rfcPlace) {
			s.send("4000>5000 tag=%08x %s ABORT{}", p.local, before)
			s.none()
			s.is("CLOSED")
			s.advance(time.Minute)
			s.none()
		})
	}
}

// t2 lets the time of T2-shutdown pass, which has to be want, and returns the
// packet that it repeats.
func (s *rfcSetup) t2(want time.Duration, chunk string) seen {
	s.t.Helper()
	if at := s.assoc.shut.t2; !at.armed || at.at.Sub(s.now) != want {
		s.t.Fatalf("T2-shutdown in %v, armed %v, want %v", at.at.Sub(s.now), at.armed, want)
	}
	s.advance(want - 1)
	s.none()
	s.advance(1)
	return s.only(chunk)
}

// faultsLast are the states that T2-shutdown runs in, and what it repeats.
var faultsLast = map[string]string{"SHUTDOWN-SENT": "SHUTDOWN", "SHUTDOWN-ACK-SENT": "SHUTDOWN-ACK"}

// 9.2: SHUTDOWN leaves when everything sent is acknowledged, not before; T2 and
// T5 run from then on.
//
//rfc:9260 9.2-1 9.2-12 9.2-20
func TestShutdownWaitsForTheLastAcknowledgement(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("SHUTDOWN-PENDING")
	s.advance(5 * time.Millisecond)
	s.none()
	s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn)
	s.tagged(s.only("SHUTDOWN"), rfcTag, false)
	s.is("SHUTDOWN-SENT")
	if got := s.assoc.shut.guard.at.Sub(s.now); got != 5*time.Minute {
		t.Errorf("T5-shutdown-guard in %v, want five times RTO.Max", got)
	}
	s.t2(s.assoc.paths.current.rto.rto, "SHUTDOWN")
}

// 9.2: SHUTDOWN is answered at once when nothing is outstanding, in
// ESTABLISHED, in SHUTDOWN-RECEIVED when the last data is acknowledged, also by
// the SHUTDOWN itself, and in SHUTDOWN-SENT; T2 runs from then on.
//
//rfc:9260 9.2-7 9.2-13 9.2-14 9.2-25
func TestShutdownIsAnswered(t *testing.T) {
	rfcEach(t, []string{"ESTABLISHED", "SHUTDOWN-RECEIVED", "SHUTDOWN-PENDING", "SHUTDOWN-SENT", "SHUTDOWN-ACK-SENT"}, func(s *rfcSetup, p rfcPlace) {
		s.advance(5 * time.Millisecond)
		cum := p.ltsn - 1
		if s.assoc.outstanding() {
			s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, cum)
			s.none()
			s.is("SHUTDOWN-RECEIVED")
			s.shutdown() // the user's request changes nothing any more
			s.none()
			s.is("SHUTDOWN-RECEIVED")
			cum++
		}
		s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, cum)
		s.tagged(s.only("SHUTDOWN-ACK"), rfcTag, false)
		s.is("SHUTDOWN-ACK-SENT")
		s.t2(s.assoc.paths.current.rto.rto, "SHUTDOWN-ACK")
	})
}

// 9.2, 6.3: T2 begins with the timeout of the path and doubles up to RTO.Max.
// T5 ends it all with an ABORT.
//
//rfc:9260 9.2-1 9.2-3 9.2-11 9.2-12 9.2-14
func TestT2BacksOff(t *testing.T) {
	for state, chunk := range faultsLast {
		s := newRFCSetup(t)
		s.reach(state)
		for _, seconds := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60} {
			s.t2(seconds*time.Second, chunk)
		}
		s.advance(57*time.Second - 1) // 300 s since the first
		s.none()
		s.is(state)
		s.advance(1)
		s.tagged(s.only("ABORT"), rfcTag, false)
		s.timedOut("shutdown")
	}
}

// 9.2: neither chunk is repeated more often than Association.Max.Retrans; then
// the association is gone, with an error.
//
//rfc:9260 9.2-4 9.2-5 9.2-15 9.2-16
func TestT2IsLimited(t *testing.T) {
	for state, chunk := range faultsLast {
		s := newRFCSetup(t)
		s.ep.cfg.AssocMaxRetrans, s.ep.cfg.PathMaxRetrans = 4, 2
		s.reach(state)
		for _, seconds := range []time.Duration{1, 2, 4, 8} {
			s.t2(seconds*time.Second, chunk)
		}
		s.advance(16*time.Second - 1)
		s.is(state)
		s.advance(time.Hour)
		s.none()
		s.timedOut("association")
	}
}

// 9.2: in SHUTDOWN-SENT any packet of the peer clears the counter and restarts
// T2.
//
//rfc:9260 9.2-6
func TestAnyPacketGivesThePeerTime(t *testing.T) {
	for _, chunk := range []string{"HEARTBEAT{info=0001020304050607}", "ERROR{c0001=00000000}", "COOKIE-ACK{}", "CHUNK-85{value=00}"} {
		s := newRFCSetup(t)
		p := s.reach("SHUTDOWN-SENT")
		s.t2(time.Second, "SHUTDOWN")
		s.t2(2*time.Second, "SHUTDOWN")
		s.advance(3 * time.Second)
		if s.assoc.assocErrors != 2 {
			t.Fatalf("%d errors, want 2", s.assoc.assocErrors)
		}
		s.send("4000>5000 tag=%08x %s", p.local, chunk)
		if s.none(); s.assoc.assocErrors != 0 {
			t.Errorf("%s: %d errors", chunk, s.assoc.assocErrors)
		}
		s.t2(4*time.Second, "SHUTDOWN")
	}
}

// 9.2: in SHUTDOWN-SENT each packet with DATA is answered by a SHUTDOWN at
// once, T2 starts again, and its repetition says what has arrived. A SACK comes
// with it when there are holes or duplicates.
//
//rfc:9260 9.2-2 9.2-9 9.2-10
func TestDataInShutdownSent(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("SHUTDOWN-SENT")
	for _, c := range []struct {
		tsn  int
		cum  string
		sack string // what it has to name, beside cum
	}{{100, "100", ""}, {101, "101", ""}, {104, "101", "gaps=3-3"}, {102, "102", "gaps=2-2"}, {103, "104", ""}, {101, "104", "dups=101"}} {
		s.advance(300 * time.Millisecond)
		s.send("4000>5000 tag=%08x DATA{flags=BEU tsn=%d sid=0 ssn=0 ppid=0 data=6869}", s.localTag(), c.tsn)
		all := ""
		for _, p := range s.sent {
			all += p.text + "\n"
		}
		s.skip()
		if !strings.Contains(all, " SHUTDOWN{cum="+c.cum+"}") || c.sack != "" && (!strings.Contains(all, " SACK{cum="+c.cum) || !strings.Contains(all, c.sack)) {
			t.Errorf("TSN %d: want SHUTDOWN of %s, %q; got %s", c.tsn, c.cum, c.sack, all)
		}
	}
	if got := rfcField(s.t2(time.Second, "SHUTDOWN").text, "cum"); got != "104" {
		t.Errorf("the repetition acknowledges %s, want 104", got)
	}
}

// 9.2: a peer that goes on sending keeps T2 from expiring, but not T5.
//
//rfc:9260 9.2-11 9.2-12
func TestShutdownGuard(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("SHUTDOWN-SENT")
	for i := range 599 {
		s.advance(500 * time.Millisecond)
		s.send("4000>5000 tag=%08x DATA{flags=BEU tsn=%d sid=0 ssn=0 ppid=0 data=6869}", s.localTag(), rfcTSN+i)
	}
	s.is("SHUTDOWN-SENT")
	s.skip()
	s.advance(500 * time.Millisecond)
	s.tagged(s.only("ABORT"), rfcTag, false)
	s.timedOut("shutdown")
	if len(s.received()) != 599 {
		t.Errorf("%d messages for the user, want 599", len(s.received()))
	}
}

// 9.2: in each state of the shutdown the user can send no more.
//
//rfc:9260 9.2-8 9.2-21
func TestSendIsRefusedInShutdown(t *testing.T) {
	rfcEach(t, append([]string{"SHUTDOWN-ACK-SENT"}, rfcShutdowns...), func(s *rfcSetup, _ rfcPlace) {
		if err := s.assoc.Send(s.now, Message{Data: []byte("x")}); !errors.Is(err, ErrClosed) {
			s.t.Errorf("Send: %v", err)
		}
		s.settle()
		s.none()
	})
}

// 9.2: who gets a SHUTDOWN still sends, and repeats, all that its user gave
// before; then both ends close without an error.
//
//rfc:9260 9.2-8
func TestPeersShutdownLosesNothing(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	data := 0
	n.drop = func(s *side, _ Pair, b []byte) bool {
		if s == n.b && has(b, wire.TypeData) {
			data++
			return data%7 == 3
		}
		return false
	}
	n.send(n.b, 1, 300, 1000)
	n.a.assoc.Shutdown(n.now)
	n.until("SHUTDOWN-RECEIVED", time.Second, func() bool { return n.b.assoc.state == ShutdownReceived })
	if len(n.a.got) == 300 {
		t.Fatal("nothing is outstanding")
	}
	n.wantMessages(n.a, 10*time.Second, 300, 1000)
	n.advance(time.Second)
	for _, s := range []*side{n.a, n.b} {
		if e := n.wantEvent(s, EventClosed); e.Err != nil {
			t.Errorf("%s closed with %v", s.name, e.Err)
		}
	}
}
