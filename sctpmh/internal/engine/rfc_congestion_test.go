package engine

import (
	"fmt"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// congestSize is a message that fills a packet, congestChunk its DATA chunk.
const (
	congestChunk = basePMTU - 28 - commonHeader // over IPv4 and UDP
	congestSize  = congestChunk - dataHeader

	congestRTT = time.Millisecond
)

// congest is a dialogue in ESTABLISHED whose peer acknowledges as the test
// says. Chunks of the endpoint count from 1. Round trips take congestRTT: too
// short to be paced, and over before a tail loss probe.
type congest struct {
	*rfcSetup
	place rfcPlace
	p     *path // of the handshake
}

func newCongest(t *testing.T, algorithm CongestionControl) *congest {
	t.Helper()
	s := newRFCSetup(t)
	s.ep.cfg.CongestionControl = algorithm
	ack := s.ask(rfcTag, rfcTSN, "")
	s.advance(congestRTT)
	s.echo(ack)
	s.skip()
	s.is("ESTABLISHED")
	return &congest{s, rfcPlace{ack.init.Tag, rfcTag, ack.init.TSN, ack}, s.assoc.paths.current}
}

// queue has the user send messages.
func (c *congest) queue(count, size int) {
	c.t.Helper()
	for range count {
		if err := c.assoc.Send(c.now, Message{Data: make([]byte, size)}); err != nil {
			c.t.Fatal(err)
		}
	}
	c.settle()
}

// ack acknowledges the chunks up to cum, and those in gaps, which count from
// cum.
func (c *congest) ack(cum uint32, gaps string) {
	c.t.Helper()
	c.send("4000>5000 tag=%08x SACK{cum=%d rwnd=1000000%s}", c.place.local, c.place.ltsn-1+cum, gaps)
}

var congestTSN = regexp.MustCompile(`DATA\{[^}]*tsn=(\d+)`)

// flown returns the numbers of the chunks that were sent since the last call,
// packet by packet.
func (c *congest) flown() (packets [][]int) {
	for _, s := range c.sent {
		var chunks []int
		for _, m := range congestTSN.FindAllStringSubmatch(s.text, -1) {
			tsn, _ := strconv.ParseUint(m[1], 10, 32)
			chunks = append(chunks, int(uint32(tsn)-c.place.ltsn)+1)
		}
		if chunks != nil {
			packets = append(packets, chunks)
		}
	}
	c.skip()
	return packets
}

// widen sends full packets until chunks 13 to 28 are in flight, with more
// waiting, a round trip after they left.
func (c *congest) widen() {
	c.t.Helper()
	c.queue(80, congestSize)
	for _, cum := range []uint32{4, 12} {
		c.advance(congestRTT)
		c.ack(cum, "")
	}
	c.advance(congestRTT)
	c.skip()
	if got := c.assoc.flight.len(); got != 16 {
		c.t.Fatalf("%d chunks are in flight, want 16", got)
	}
}

// 7.2.1: the window before anything was acknowledged depends on the size of
// packets and the family of the address; the threshold is out of its reach.
//
//rfc:9260 7.2.1-1 7.2.1-3
func TestFirstWindow(t *testing.T) {
	for _, c := range []struct{ pmdcs, v4, v6 int }{
		{500, 2000, 2000}, {1086, 4344, 4344}, {1220, 4404, 4344}, {1460, 4404, 4344}, {2200, 4404, 4400}, {3000, 6000, 6000},
	} {
		for want, v4 := range map[int]bool{c.v4: true, c.v6: false} {
			if c.v4 == c.v6 {
				v4 = !v4
			}
			got := newCongestion(CUBIC, c.pmdcs, v4)
			if got.cwnd != want || got.ssthresh < math.MaxInt32 {
				t.Errorf("PMDCS %d, IPv4 %v: cwnd %d, ssthresh %d; want %d and no limit", c.pmdcs, v4, got.cwnd, got.ssthresh, want)
			}
		}
	}
	cfg := newDialogue(t).ep.cfg
	for remote, want := range map[string]int{"192.0.2.1:9899": 4404, "[2001:db8::1]:9899": 4344} {
		p := path{pair: Pair{Remote: addrPort(remote)}}
		if p.begin(&cfg); p.cc.cwnd != want {
			t.Errorf("path to %s: cwnd %d, want %d", remote, p.cc.cwnd, want)
		}
	}
}

// 7.2.1, 6.1 rule B: data leaves while less than the window is in flight, so
// that the last chunk may exceed it in part, and none after it.
//
//rfc:9260 7.2-1 7.2.1-4
func TestWindowIsOverbookedByLessThanAChunk(t *testing.T) {
	c := newCongest(t, CUBIC)
	c.queue(80, congestSize)
	for cum := uint32(0); cum < 24; cum += 3 {
		if excess := c.p.flight - c.p.cc.cwnd; excess < 0 || excess >= congestChunk {
			t.Errorf("after %d chunks: %d octets in flight, window %d", cum, c.p.flight, c.p.cc.cwnd)
		}
		if cum == 0 && len(c.flown()) != 4 {
			t.Error("the first flight is not of 4 packets")
		}
		c.advance(congestRTT)
		c.ack(cum+3, "")
	}
}

// 7.2: a chunk counts with its header and its padding, in flight and when it is
// acknowledged.
//
//rfc:9260 7.2-4 7.2.1-7
func TestPaddingCounts(t *testing.T) {
	c := newCongest(t, CUBIC)
	c.queue(1, 1)
	if c.p.flight != 20 {
		t.Fatalf("one octet of user data makes %d in flight, want 20", c.p.flight)
	}
	c.queue(299, 1)
	if got := c.assoc.flight.len(); got != 4404/20+1 {
		t.Errorf("%d chunks of 20 octets in a window of 4404", got)
	}
	c.ack(10, "")
	if c.p.cc.cwnd != 4404+200 {
		t.Errorf("10 chunks of 20 octets acknowledged: window %d, want %d", c.p.cc.cwnd, 4404+200)
	}
}

// 7.2.1: in slow start a SACK adds what it acknowledges, but no more than L
// packets' worth.
//
//rfc:9260 7.2.1-7
func TestSlowStartStep(t *testing.T) {
	for octets, want := range map[int]int{100: 100, ccMTU: ccMTU, growthLimit * ccMTU: growthLimit * ccMTU, 20 * ccMTU: growthLimit * ccMTU} {
		for _, algorithm := range []CongestionControl{CUBIC, NewReno} {
			c := newCongestion(algorithm, ccMTU, true)
			before := c.cwnd
			c.ack(1e9, ackedData{octets: octets, flight: 20 * ccMTU, xmit: 1, next: 21}, ccMTU)
			if c.cwnd-before != want {
				t.Errorf("algorithm %d: %d octets acknowledged add %d, want %d", algorithm, octets, c.cwnd-before, want)
			}
		}
	}
}

// 7.2, 7.2.5.2: each path has its own window and threshold, also the one from
// another source address to the same destination: what happens on one does not
// touch the other, which begins as if there was no traffic yet.
//
//rfc:9260 7.2-3 7.2.5.2-1
func TestEachPathHasItsOwnWindow(t *testing.T) {
	n := newPair(t, Config{CongestionControl: NewReno}, Config{})
	n.connect()
	used, other, crossed := n.a.assoc.paths.find(onPath1), n.a.assoc.paths.find(onPath2), n.a.assoc.paths.find(Pair{aLocals[1], bLocals[0]})
	fresh, freshRTO := crossed.cc, other.rto
	data := 0
	n.drop = func(s *side, _ Pair, b []byte) bool {
		if s == n.a && has(b, wire.TypeData) {
			data++
		}
		return s == n.a && data == 100
	}
	n.send(n.a, 1, 300, 1200)
	n.wantMessages(n.b, 10*time.Second, 300, 1200)
	if used.cc.cwnd == fresh.cwnd || used.cc.ssthresh == fresh.ssthresh || used.cc.undo.event == 0 {
		t.Fatalf("nothing happened to the path in use: %+v", used.cc)
	}
	for _, p := range []*path{other, crossed} {
		if p.cc != fresh {
			t.Errorf("%v: %+v\nwant %+v", p.pair, p.cc, fresh)
		}
	}
	if other.rto.rto != freshRTO.rto || crossed.rto.measured {
		t.Errorf("timeouts changed: %+v, %+v", other.rto, crossed.rto)
	}
	n.a.assoc.SetPrimary(n.now, onPath2)
	data = 100 // nothing more is dropped
	before := len(n.seen)
	for range 20 {
		if err := n.a.assoc.Send(n.now, Message{Stream: 1, Data: make([]byte, congestSize)}); err != nil {
			t.Fatal(err)
		}
	}
	n.step()
	first := slices.DeleteFunc(slices.Clone(n.seen[before:]), func(s sighting) bool { return !has(s.data, wire.TypeData) })
	if len(first) != 4 || first[0].on != onPath2 {
		t.Errorf("%d packets at once over the other path, want 4\n%s", len(first), n.trace())
	}
}

// 7.2.1: a SACK for data of two paths makes each window grow by what was
// acknowledged of its own.
//
//rfc:9260 7.2.1-9
func TestEachPathGrowsByItsShare(t *testing.T) {
	c := newCongest(t, CUBIC)
	q := c.second()
	c.queue(40, congestSize)
	c.assoc.SetPrimary(c.now, q.pair)
	c.settle()
	if c.p.flight != 4*congestChunk || q.flight != 4*congestChunk {
		t.Fatalf("%d and %d octets in flight, want 4 packets each", c.p.flight, q.flight)
	}
	p1, p2 := c.p.cc.cwnd, q.cc.cwnd
	c.advance(congestRTT)
	c.ack(3, " gaps=2-2") // 1 to 3 went over the first, 5 over the second
	if g1, g2 := c.p.cc.cwnd-p1, q.cc.cwnd-p2; g1 != 3*congestChunk || g2 != congestChunk {
		t.Errorf("windows grew by %d and %d octets, want %d and %d", g1, g2, 3*congestChunk, congestChunk)
	}
}

// second makes the path to the peer's second address active.
func (s *rfcSetup) second() *path {
	s.t.Helper()
	on := Pair{bLocals[1], peerB}
	s.assoc.Permit(s.now, []netip.Addr{peerA.Addr(), peerB.Addr()})
	s.advance(congestRTT) // the probe leaves at once
	p := s.assoc.paths.find(on)
	s.sendFrom(peerB, "4000>5000 tag=%08x HEARTBEAT-ACK{info=%016x}", s.localTag(), p.hb.nonce)
	if p.state != Active {
		s.t.Fatalf("the second path is %v", p.state)
	}
	return p
}

// 7.2.1: in Fast Recovery acknowledgements do not widen the window; after it
// they do.
//
//rfc:9260 7.2.1-5 7.2.1-6
func TestWindowRestsInFastRecovery(t *testing.T) {
	for _, algorithm := range []CongestionControl{CUBIC, NewReno} {
		c := newCongest(t, algorithm)
		c.widen()
		c.ack(13, " gaps=2-4") // 14 is lost
		w := c.p.cc.cwnd
		for last := 5; last <= 15; last++ {
			if c.ack(13, fmt.Sprintf(" gaps=2-%d", last)); c.p.cc.cwnd != w {
				t.Fatalf("algorithm %d: window from %d to %d", algorithm, w, c.p.cc.cwnd)
			}
		}
		for range 20 {
			c.advance(congestRTT)
			c.ack(uint32(c.assoc.flight.next)-c.place.ltsn, "")
		}
		if c.p.cc.inRecovery || c.p.cc.cwnd <= w {
			t.Errorf("algorithm %d: window from %d to %d after the recovery", algorithm, w, c.p.cc.cwnd)
		}
	}
}

// 7.2.4: when one SACK moves the cumulative TSN and shows a loss, the window
// grows first and is halved then.
//
//rfc:9260 7.2.3-1 7.2.4-6
func TestWindowGrowsBeforeItIsReduced(t *testing.T) {
	c := newCongest(t, NewReno)
	c.widen()
	before := c.p.cc.cwnd
	c.ack(13, " gaps=2-4")
	if want := (before + 4*congestChunk) / 2; c.p.cc.cwnd != want || c.p.cc.ssthresh != want || c.p.cc.reno.acked != 0 {
		t.Errorf("window from %d to %d, threshold %d, want %d", before, c.p.cc.cwnd, c.p.cc.ssthresh, want)
	}
}

// 7.2.4 rule 3: one packet of what was found lost leaves at once although the
// window is full; the rest waits for room.
//
//rfc:9260 7.2.4-4
func TestFastRetransmissionDoesNotWait(t *testing.T) {
	for gaps, wait := range map[string]int{" gaps=2-4": 0, " gaps=3-5": 1} {
		c := newCongest(t, NewReno)
		c.widen()
		c.ack(13, gaps)
		if c.p.flight-congestChunk < c.p.cc.cwnd {
			t.Fatalf("the window has room: %d octets in flight, window %d", c.p.flight, c.p.cc.cwnd)
		}
		if got := fmt.Sprint(c.flown()); got != "[[14]]" || c.assoc.flight.lostCount != wait {
			t.Errorf("%s: sent %s and %d chunks wait, want 14 alone and %d", gaps, got, c.assoc.flight.lostCount, wait)
		}
	}
}

// 7.2.3: after T3-rtx expired the window is one packet, the threshold half of
// what the window was, and slow start begins.
//
//rfc:9260 7.2.1-2 7.2.3-2
func TestNewRenoTimeout(t *testing.T) {
	for rounds, threshold := range map[int]int{0: 4, 1: 4, 4: 32} {
		c := newCCTest(t, NewReno, 50*time.Millisecond)
		for range rounds {
			c.round(c.rtt)
		}
		c.c.reno.acked = 1
		c.c.timeout(c.now, ccMTU)
		if c.c.cwnd != ccMTU || c.c.ssthresh != threshold*ccMTU || c.c.reno.acked != 0 {
			t.Errorf("after %d rounds: window %d, threshold %d, partial_bytes_acked %d", rounds, c.c.cwnd, c.c.ssthresh, c.c.reno.acked)
		}
		c.round(c.rtt)
		c.wantWindow("a round later", 2, 2)
		c.round(c.rtt)
		c.wantWindow("two rounds later", 4, 4)
	}
}

// 7.2.4: while a TSN is missing each packet with DATA is acknowledged at once;
// without a hole the second one is.
//
//rfc:9260 7.2.4-1
func TestHoleIsReportedForEachPacket(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	for _, c := range []struct {
		tsn        int
		cum, holes string // of the SACK; none if empty
	}{
		{100, "100", ""}, {101, "", ""}, {102, "102", ""}, {105, "102", "3-3"}, {106, "102", "3-4"}, {107, "102", "3-5"},
		{103, "103", "2-4"}, {104, "107", ""}, {108, "", ""},
	} {
		s.send("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=0 ssn=%d ppid=0 data=6869}", s.localTag(), c.tsn, c.tsn-100)
		if c.cum == "" {
			s.none()
			continue
		}
		want := fmt.Sprintf("5000>4000 tag=%08x SACK{cum=%s rwnd=%s gaps=%s}", rfcTag, c.cum, rfcField(s.sent[0].text, "rwnd"), c.holes)
		if c.holes == "" {
			want = want[:len(want)-len(" gaps=}")] + "}"
		}
		if got := s.only("SACK").text; got != want {
			t.Errorf("TSN %d: %s, want %s", c.tsn, got, want)
		}
		s.none()
	}
}

// 7.2.5: a path whose local link failed may return as another network: its
// window, threshold and timeout start over.
//
//rfc:9260 7.2.5-1 7.2.5.2-1
func TestFailedLinkStartsOver(t *testing.T) {
	c := newCongest(t, CUBIC)
	c.widen()
	c.ack(13, " gaps=2-4")
	c.assoc.LocalFailed(c.now, bLocals[1].Addr())
	if c.p.cc.undo.event == 0 || !c.p.rto.measured {
		t.Fatal("another link failed")
	}
	c.assoc.LocalFailed(c.now, bLocals[0].Addr())
	if cc := &c.p.cc; cc.cwnd != 4404 || cc.ssthresh < math.MaxInt32 || cc.inRecovery || c.p.rto != newRTO(&c.assoc.cfg) {
		t.Errorf("window %d, threshold %d, timeout %+v", cc.cwnd, cc.ssthresh, c.p.rto)
	}
}

// 7.2.1, 7.2.3: after T3-rtx expired one packet is in flight, however small its
// chunks are, until something is acknowledged.
//
//rfc:9260 7.2.1-2 7.2.3-2
func TestOnePacketAfterATimeout(t *testing.T) {
	for _, size := range []int{1, 100, 600, congestSize, 5000} {
		c := newCongest(t, CUBIC)
		c.queue(100, size)
		c.flown()
		for c.assoc.stats.Timeouts == 0 {
			c.flown() // a tail loss probe
			c.advance(time.Millisecond)
		}
		if got := c.flown(); len(got) != 1 || got[0][0] != 1 {
			t.Errorf("messages of %d octets: packets %v after the timeout", size, got)
		}
		c.ack(1, "")
		if got := c.flown(); len(got) == 0 {
			t.Errorf("messages of %d octets: nothing is sent after an acknowledgement", size)
		}
	}
}

// 7.2.4 rule 6: Fast Recovery lasts until everything that was in flight at its
// begin is acknowledged; a further loss of that flight costs no further window.
//
//rfc:9260 7.2.4-5
func TestLossesOfOneFlightCostOnce(t *testing.T) {
	c := newCongest(t, NewReno)
	c.widen()
	c.ack(13, " gaps=2-4") // 14 is lost
	w := c.p.cc.cwnd
	c.ack(13, " gaps=2-14") // so is 28
	c.advance(congestRTT)
	c.ack(27, "") // 14 arrived
	c.advance(5 * time.Millisecond)
	if c.p.cc.cwnd < w {
		t.Errorf("window from %d to %d by the second loss of a flight", w, c.p.cc.cwnd)
	}
}
