package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	rfcTag    = 0x0a0b0c0d // the peer's usual tag
	rfcNewTag = 0x1b2c3d4e // its tag after a restart, or in a collision
	rfcTSN    = 100        // the peer's usual first TSN
	rfcCookie = "c00c1e5511223344"
)

// rfcSetup is a dialogue with the helpers that the setup tests share.
type rfcSetup struct {
	*dialogue
	t *testing.T
}

// rfcPlace is what the scripted peer knows after reach.
type rfcPlace struct {
	local, peer uint32 // L's tag, the peer's tag as L knows it
	ltsn        uint32 // L's first TSN
	ack         seen   // L's INIT-ACK, when the peer opened
}

// rfcSnap is all of L's state that a discarded packet must leave alone.
type rfcSnap struct {
	state                  string
	local, peer            uint32
	made, restarted, ended int
}

func newRFCSetup(t *testing.T) *rfcSetup {
	t.Helper()
	return &rfcSetup{newDialogue(t), t}
}

func (s *rfcSetup) snap() rfcSnap {
	r := rfcSnap{state: s.state(), made: s.made(), restarted: s.restarted(), ended: s.ended()}
	if r.state != "CLOSED" {
		r.local, r.peer = s.localTag(), s.peerTag()
	}
	return r
}

func (s *rfcSetup) same(want rfcSnap, what string) {
	s.t.Helper()
	if got := s.snap(); got != want {
		s.t.Errorf("%s: L changed from %+v to %+v", what, want, got)
	}
}

// silent sends a packet that must have no effect and no answer.
func (s *rfcSetup) silent(format string, args ...any) {
	s.t.Helper()
	before := s.snap()
	s.send(format, args...)
	s.none()
	s.same(before, fmt.Sprintf(format, args...))
}

// first reads a packet whose first chunk must be name.
func (s *rfcSetup) first(name string) seen {
	s.t.Helper()
	p := s.next()
	if len(p.chunks) == 0 || p.chunks[0] != name {
		s.t.Fatalf("want a packet that begins with %s, got %s", name, p.text)
	}
	return p
}

// only reads a packet that must hold nothing but one chunk.
func (s *rfcSetup) only(name string) seen {
	s.t.Helper()
	p := s.first(name)
	if len(p.chunks) != 1 {
		s.t.Fatalf("want %s alone, got %s", name, p.text)
	}
	return p
}

// tagged checks the verification tag and the T bit of the first chunk.
func (s *rfcSetup) tagged(p seen, tag uint32, reflected bool) {
	s.t.Helper()
	if p.tag != tag {
		s.t.Errorf("verification tag %08x, want %08x: %s", p.tag, tag, p.text)
	}
	if (p.flags[0]&1 == 1) != reflected {
		s.t.Errorf("T bit is %d, want reflected %v: %s", p.flags[0]&1, reflected, p.text)
	}
}

func (s *rfcSetup) is(state string) {
	s.t.Helper()
	if got := s.state(); got != state {
		s.t.Errorf("state %s, want %s", got, state)
	}
}

func (s *rfcSetup) counts(made, restarted, ended int) {
	s.t.Helper()
	if m, r, e := s.made(), s.restarted(), s.ended(); m != made || r != restarted || e != ended {
		s.t.Errorf("made, restarted, ended = %d, %d, %d; want %d, %d, %d", m, r, e, made, restarted, ended)
	}
}

func (s *rfcSetup) tags(local, peer uint32) {
	s.t.Helper()
	if s.localTag() != local || s.peerTag() != peer {
		s.t.Errorf("tags %08x, %08x; want %08x, %08x", s.localTag(), s.peerTag(), local, peer)
	}
}

func (s *rfcSetup) sendINIT(tag, tsn uint32, extra string) {
	s.send("4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=10 tsn=%d%s}", tag, tsn, extra)
}

// ask sends an INIT and returns the INIT-ACK.
func (s *rfcSetup) ask(tag, tsn uint32, extra string) seen {
	s.t.Helper()
	s.sendINIT(tag, tsn, extra)
	ack := s.only("INIT-ACK")
	if ack.tag != tag || ack.init.Tag == 0 || ack.cookie == "" || ack.to != peerA {
		s.t.Fatalf("bad INIT-ACK to %v for tag %08x: %s", ack.to, tag, ack.text)
	}
	return ack
}

func (s *rfcSetup) echo(ack seen) {
	s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
}

// open lets the peer establish an association.
func (s *rfcSetup) open(tag, tsn uint32, extra string) seen {
	s.t.Helper()
	ack := s.ask(tag, tsn, extra)
	s.echo(ack)
	s.tagged(s.first("COOKIE-ACK"), tag, false)
	s.skip()
	s.is("ESTABLISHED")
	return ack
}

func (s *rfcSetup) sendINITACK(local, tag, tsn uint32) {
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=%d p0007=%s}", local, tag, tsn, rfcCookie)
}

// dialled lets L open until the state COOKIE-WAIT, COOKIE-ECHOED or ESTABLISHED.
func (s *rfcSetup) dialled(state string, tag uint32) rfcPlace {
	s.t.Helper()
	s.dial()
	i := s.only("INIT").init
	p := rfcPlace{local: i.Tag, ltsn: i.TSN}
	if state != "COOKIE-WAIT" {
		s.sendINITACK(p.local, tag, rfcTSN)
		s.first("COOKIE-ECHO")
		p.peer = tag
	}
	if state == "ESTABLISHED" {
		s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
		s.none()
	}
	s.is(state)
	return p
}

// reach brings L into a state; all packets are read.
func (s *rfcSetup) reach(state string) rfcPlace {
	s.t.Helper()
	switch state {
	case "CLOSED":
		return rfcPlace{local: 0x5e5e5e5e}
	case "COOKIE-WAIT", "COOKIE-ECHOED":
		return s.dialled(state, rfcTag)
	}
	ack := s.open(rfcTag, rfcTSN, "")
	p := rfcPlace{ack.init.Tag, rfcTag, ack.init.TSN, ack}
	if state == "SHUTDOWN-PENDING" || state == "SHUTDOWN-RECEIVED" {
		s.submit("outstanding")
		s.first("DATA")
	}
	switch state {
	case "SHUTDOWN-PENDING", "SHUTDOWN-SENT":
		s.shutdown()
	case "SHUTDOWN-RECEIVED", "SHUTDOWN-ACK-SENT":
		s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	}
	s.skip()
	if s.state() != state {
		s.t.Fatalf("state %s instead of %s: the rule cannot be tested", s.state(), state)
	}
	return p
}

// acked checks that p, or else the next packet, acknowledges cum.
func (s *rfcSetup) acked(p seen, cum uint32) {
	s.t.Helper()
	if !slices.Contains(p.chunks, "SACK") {
		p = s.first("SACK")
	}
	if got := rfcField(p.text, "cum"); got != strconv.FormatUint(uint64(cum), 10) {
		s.t.Errorf("cumulative TSN %s, want %d: %s", got, cum, p.text)
	}
}

// rfcField is the value of a key in the text form of a packet.
func rfcField(text, key string) string {
	m := regexp.MustCompile(`[{ ]` + key + `=([0-9a-fA-F]*)`).FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return m[1]
}

// rfcEach runs one test for each state with a new dialogue that reached it.
func rfcEach(t *testing.T, states []string, f func(s *rfcSetup, p rfcPlace)) {
	for _, state := range states {
		t.Run(state, func(t *testing.T) {
			s := newRFCSetup(t)
			f(s, s.reach(state))
		})
	}
}

var (
	rfcShutdowns   = []string{"SHUTDOWN-PENDING", "SHUTDOWN-SENT", "SHUTDOWN-RECEIVED"}
	rfcRestartable = append([]string{"ESTABLISHED"}, rfcShutdowns...)
	rfcLate        = append([]string{"SHUTDOWN-ACK-SENT"}, rfcRestartable...)
	rfcAll         = append([]string{"COOKIE-WAIT", "COOKIE-ECHOED"}, rfcLate...)
)

// 5.2.1: a colliding INIT is answered with the tag, TSN and stream numbers of L's own INIT, to the one address
// that is both dialled and reported; L's state stays and its timer is left running.
//
//rfc:9260 5.1-9 5.1-10 5.2.1-1 5.2.1-2 5.2.1-5 5.2.1-6 5.2.1-10 5.2.1-11
func TestRFC9260RestartInitCollisionAnswer(t *testing.T) {
	timer := map[string]string{"COOKIE-WAIT": "INIT", "COOKIE-ECHOED": "COOKIE-ECHO"}
	rfcEach(t, []string{"COOKIE-WAIT", "COOKIE-ECHOED"}, func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		s.advance(600 * time.Millisecond)
		for range 2 { // a repeated INIT gets the same answer
			ack := s.ask(rfcNewTag, 9000, "")
			if ack.init.Tag != p.local || ack.init.TSN != p.ltsn {
				s.t.Errorf("INIT-ACK with tag %08x TSN %d, want those of the INIT: %08x, %d", ack.init.Tag, ack.init.TSN, p.local, p.ltsn)
			}
			s.same(before, "colliding INIT")
		}
		s.none()
		s.advance(400 * time.Millisecond)
		s.first(timer[before.state])
	})
}

// 5.2.1: the answer offers no other window or stream numbers than L's INIT did (bounded by the peer's limits).
//
//rfc:9260 5.2.1-1
func TestRFC9260RestartInitCollisionSameParameters(t *testing.T) {
	s := newRFCSetup(t)
	s.dial()
	i := s.only("INIT").init
	s.send("4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=65535 is=65535 tsn=7}", rfcNewTag)
	got := s.only("INIT-ACK").init
	if got.Tag != i.Tag || got.ARwnd != i.ARwnd || got.OutStreams != i.OutStreams || got.InStreams != i.InStreams || got.TSN != i.TSN {
		t.Errorf("INIT-ACK %+v, INIT was %+v", got, i)
	}
}

// 5.2.1: in COOKIE-WAIT an INIT may list more addresses; the answer goes only to the dialled one.
//
//rfc:9260 5.2.1-2 5.2.1-4
func TestRFC9260RestartCookieWaitMoreAddresses(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	ack := s.ask(rfcNewTag, 9000, " addr=10.1.0.1 addr=10.2.0.1") // ask checks the destination
	if ack.init.Tag != p.local {
		t.Errorf("tag %08x, want %08x", ack.init.Tag, p.local)
	}
	s.none()
	s.is("COOKIE-WAIT")
}

// refused sends an INIT that adds an address and checks the ABORT.
func (s *rfcSetup) refused(extra, tlv string) {
	s.t.Helper()
	before := s.snap()
	s.sendINIT(rfcNewTag, 9000, extra)
	a := s.only("ABORT")
	s.tagged(a, rfcNewTag, false)
	if i := slices.Index(a.causes, 11); i >= 0 && a.cause[i] != tlv {
		s.t.Errorf("cause 11 lists %s, want %s", a.cause[i], tlv)
	}
	s.none()
	s.same(before, "INIT that adds an address")
}

// 5.2.1, 5.2.2: an INIT that adds addresses to a forming or existing association is refused by an ABORT with the
// INIT's tag, the list (if any) holds just the added ones; the association stays as it is.
//
//rfc:9260 5.2.1-7 5.2.1-8 5.2.2-2 5.2.2-3 5.2.2-9
func TestRFC9260RestartNewAddress(t *testing.T) {
	const v6 = "20010db8000000000000000000000001"
	rfcEach(t, append([]string{"COOKIE-ECHOED"}, rfcRestartable...), func(s *rfcSetup, p rfcPlace) {
		s.refused(" addr=10.2.0.1", "000500080a020001")
		s.refused(" addr=10.1.0.1 addr=10.2.0.1", "000500080a020001")
		s.refused(" p0006="+v6, "00060014"+v6)
	})
}

// 5.2.2: an INIT with all, some or none of the known addresses adds nothing, so that the restart works.
//
//rfc:9260 5.2.2-2
func TestRFC9260RestartKnownAddresses(t *testing.T) {
	for _, extra := range []string{"", " addr=10.1.0.1", " addr=10.2.0.1", " addr=10.2.0.1 addr=10.1.0.1"} {
		t.Run(extra, func(t *testing.T) {
			s := newRFCSetup(t)
			s.open(rfcTag, rfcTSN, " addr=10.1.0.1 addr=10.2.0.1")
			s.open(rfcNewTag, 9000, extra)
			s.counts(2, 1, 0)
		})
	}
}

// 5.2.2: an INIT for an association that is up gets an INIT-ACK with a new tag and a cookie; nothing else changes.
//
//rfc:9260 5.2.2-1 5.2.2-6 5.2.2-7 5.2.2-9
func TestRFC9260RestartUnexpectedInit(t *testing.T) {
	rfcEach(t, rfcRestartable, func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		for i := range uint32(3) {
			if ack := s.ask(rfcNewTag+i, 9000, ""); ack.init.Tag == p.local {
				s.t.Errorf("the tag %08x is not new", p.local)
			}
			s.none()
			s.same(before, "INIT")
		}
	})
}

// 5.2.2: the other parameters of that INIT-ACK are those of the association.
//
//rfc:9260 5.2.2-8
func TestRFC9260RestartInitAckParameters(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	got, want := s.ask(rfcNewTag, 9000, "").init, p.ack.init
	if got.OutStreams != want.OutStreams || got.InStreams != want.InStreams {
		t.Errorf("streams %d/%d, want %d/%d", got.OutStreams, got.InStreams, want.OutStreams, want.InStreams)
	}
}

// 5.2.2: as long as no cookie came back, the old association works with its old tags and TSNs.
//
//rfc:9260 5.2.2-9
func TestRFC9260RestartInitLeavesAssociationUsable(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	s.ask(rfcNewTag, 9000, "")
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", p.local)
	s.acked(s.next(), 100)
	s.submit("x")
	d := s.first("DATA")
	if d.tag != rfcTag || rfcField(d.text, "tsn") != fmt.Sprint(p.ltsn) || !slices.Equal(s.received(), []string{"hi"}) {
		t.Errorf("received %q, sent %s", s.received(), d.text)
	}
}

// 5.2.4 A (X X M M): the peer restarted; L is ESTABLISHED with both new tags and the upper layer hears of a restart,
// not of an end, whatever the state was.
//
//rfc:9260 5.1.5-8 5.2.4-4
func TestRFC9260RestartActionA(t *testing.T) {
	rfcEach(t, rfcRestartable, func(s *rfcSetup, p rfcPlace) {
		ack := s.ask(rfcNewTag, 9000, "")
		s.echo(ack)
		s.tagged(s.first("COOKIE-ACK"), rfcNewTag, false)
		s.is("ESTABLISHED")
		s.tags(ack.init.Tag, rfcNewTag)
		s.counts(2, 1, 0)
	})
}

// 5.2.4 A: the same when L had opened the association; a peer can restart again and again.
//
//rfc:9260 5.2.4-4
func TestRFC9260RestartActionARepeated(t *testing.T) {
	s := newRFCSetup(t)
	s.dialled("ESTABLISHED", rfcTag)
	for i := range 3 {
		s.open(rfcNewTag+uint32(i), 9000, "")
		s.counts(2+i, 1+i, 0)
	}
}

// 5.2.4 A: TSNs, stream sequence numbers and tags begin anew; packets with the old tag count no more.
func TestRFC9260RestartActionAFresh(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", p.local)
	s.submit("before")
	s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn)
	s.skip()
	ack := s.open(rfcNewTag, 9000, "")
	s.silent("4000>5000 tag=%08x DATA{flags=BE tsn=101 sid=0 ssn=1 ppid=0 data=6f6c64}", p.local)
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=6e6577}", ack.init.Tag)
	s.acked(s.next(), 9000)
	s.submit("after")
	d := s.first("DATA")
	if d.tag != rfcNewTag || rfcField(d.text, "tsn") != fmt.Sprint(ack.init.TSN) || rfcField(d.text, "ssn") != "0" {
		t.Errorf("want tag %08x TSN %d SSN 0: %s", rfcNewTag, ack.init.TSN, d.text)
	}
	if got := s.received(); !slices.Equal(got, []string{"hi", "new"}) {
		t.Errorf("received %q", got)
	}
}

// 5.2.4 A: DATA behind the restarting COOKIE ECHO belongs to the new association.
func TestRFC9260RestartActionAWithData(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	ack := s.ask(rfcNewTag, 9000, "")
	s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=6869}", ack.init.Tag, ack.cookie)
	s.acked(s.first("COOKIE-ACK"), 9000)
	s.counts(2, 1, 0)
	if got := s.received(); !slices.Equal(got, []string{"hi"}) {
		t.Errorf("received %q", got)
	}
}

// 5.2.4 A in SHUTDOWN-ACK-SENT: no new association, the SHUTDOWN ACK again and an ERROR with cause 10.
//
//rfc:9260 5.2.4-6
func TestRFC9260RestartActionAShutdownAckSent(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	ack := s.ask(rfcNewTag, 9000, "")
	s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	s.only("SHUTDOWN-ACK")
	before := s.snap()
	s.echo(ack)
	answer := []seen{s.next()}
	if len(answer[0].chunks) == 1 {
		answer = append(answer, s.next())
	}
	s.none()
	s.same(before, "restarting cookie")
	var chunks []string
	var causes []uint16
	for _, a := range answer {
		chunks, causes = append(chunks, a.chunks...), append(causes, a.causes...)
		if slices.Contains(a.chunks, "SHUTDOWN-ACK") && a.tag != rfcTag {
			t.Errorf("SHUTDOWN-ACK with tag %08x", a.tag)
		}
	}
	slices.Sort(chunks)
	if !slices.Equal(chunks, []string{"ERROR", "SHUTDOWN-ACK"}) || !slices.Equal(causes, []uint16{10}) {
		t.Errorf("answer %v causes %v, want SHUTDOWN-ACK and ERROR with cause 10", chunks, causes)
	}
}

// rfcTable12 brings L into a situation and returns the cookie to be echoed.
type rfcTable12 struct {
	name, state string
	setup       func(s *rfcSetup) seen
}

// 5.2.4 B (M X, M 0): L takes the peer's tag from the cookie, keeps its own, is ESTABLISHED, stops T1, sends COOKIE ACK.
//
//rfc:9260 5.1.5-8 5.2.1-10 5.2.4-7
func TestRFC9260RestartActionB(t *testing.T) {
	for _, c := range []rfcTable12{
		{"M0 COOKIE-WAIT", "COOKIE-WAIT", nil}, {"MX both in COOKIE-ECHOED", "COOKIE-ECHOED", nil},
		{"MX cookie of COOKIE-WAIT", "COOKIE-ECHOED", (*rfcSetup).crossing}, {"MX ESTABLISHED", "ESTABLISHED", (*rfcSetup).crossingUp},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newRFCSetup(t)
			var ack seen
			if c.setup != nil {
				ack = c.setup(s)
			} else {
				s.reach(c.state)
				ack = s.ask(rfcNewTag, rfcTSN, "")
			}
			s.is(c.state)
			s.echo(ack)
			s.tagged(s.first("COOKIE-ACK"), rfcNewTag, false)
			s.is("ESTABLISHED")
			s.tags(ack.init.Tag, rfcNewTag)
			s.counts(1, 0, 0)
			s.skip()
			s.advance(5 * time.Second)
			s.none()
			s.usable(ack.init.Tag, rfcNewTag, rfcTSN, ack.init.TSN)
		})
	}
}

// crossing: L answers the peer's INIT in COOKIE-WAIT, and then gets an INIT-ACK with another tag.
func (s *rfcSetup) crossing() seen {
	p := s.reach("COOKIE-WAIT")
	ack := s.ask(rfcNewTag, rfcTSN, "")
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	return ack
}

// crossingUp is crossing with a COOKIE ACK that arrives before the peer's COOKIE ECHO.
func (s *rfcSetup) crossingUp() seen {
	ack := s.crossing()
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", ack.init.Tag)
	s.none()
	return ack
}

// usable checks that data flows in both directions.
func (s *rfcSetup) usable(local, peer, tsn, ltsn uint32) {
	s.t.Helper()
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=0 ssn=0 ppid=0 data=6869}", local, tsn)
	s.acked(s.next(), tsn)
	s.submit("x")
	if d := s.first("DATA"); d.tag != peer || rfcField(d.text, "tsn") != fmt.Sprint(ltsn) {
		s.t.Errorf("want tag %08x TSN %d: %s", peer, ltsn, d.text)
	}
}

// early: L's cookie from before L dialled; then L goes on with the same (C) or another peer's tag.
func (s *rfcSetup) early(state string, tag uint32) seen {
	ack := s.ask(rfcTag, rfcTSN, "")
	s.dialled(state, tag)
	return ack
}

// 5.2.4 C (X M 0 0) and all that Table 12 does not list: the cookie is dropped without a word, states and timers stay.
//
//rfc:9260 5.1.5-8 5.2.4-3 5.2.4-8 5.2.4-9
func TestRFC9260RestartCookieDropped(t *testing.T) {
	for _, c := range []rfcTable12{
		{"C late cookie", "COOKIE-ECHOED", func(s *rfcSetup) seen { return s.early("COOKIE-ECHOED", rfcTag) }},
		{"C late cookie", "ESTABLISHED", func(s *rfcSetup) seen { return s.early("ESTABLISHED", rfcTag) }},
		{"C late cookie", "SHUTDOWN-SENT", func(s *rfcSetup) seen {
			ack := s.early("ESTABLISHED", rfcTag)
			s.shutdown()
			s.only("SHUTDOWN")
			return ack
		}},
		{"X000", "COOKIE-WAIT", func(s *rfcSetup) seen { return s.early("COOKIE-WAIT", 0) }},
		{"XX00", "COOKIE-ECHOED", func(s *rfcSetup) seen { return s.early("COOKIE-ECHOED", rfcNewTag) }},
		{"XX00", "ESTABLISHED", func(s *rfcSetup) seen {
			ack := s.ask(rfcTag, rfcTSN, "")
			s.open(rfcNewTag, 9000, "")
			return ack
		}},
		{"XMMM restart with the old tag", "ESTABLISHED", func(s *rfcSetup) seen {
			s.open(rfcTag, rfcTSN, "")
			return s.ask(rfcTag, 9000, "")
		}},
		{"XXXX restart of an ended association", "ESTABLISHED", func(s *rfcSetup) seen {
			p := s.reach("ESTABLISHED")
			ack := s.ask(rfcNewTag, 9000, "")
			s.send("4000>5000 tag=%08x ABORT{}", p.local)
			s.open(0x77777777, 7, "")
			return ack
		}},
		{"XM second cookie of one restart", "ESTABLISHED", func(s *rfcSetup) seen {
			s.open(rfcTag, rfcTSN, "")
			ack := s.ask(rfcNewTag, 9000, "")
			s.open(rfcNewTag, 9000, "")
			return ack
		}},
	} {
		t.Run(c.name+" "+c.state, func(t *testing.T) {
			s := newRFCSetup(t)
			ack := c.setup(s)
			s.is(c.state)
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
			timer := map[string]string{"COOKIE-WAIT": "INIT", "COOKIE-ECHOED": "COOKIE-ECHO", "SHUTDOWN-SENT": "SHUTDOWN"}[c.state]
			s.advance(time.Second)
			if timer != "" {
				s.first(timer)
			}
			s.none()
		})
	}
}

// rfcFlip changes the bits of mask in the hex digit i.
func rfcFlip(cookie string, i int, mask int64) string {
	v, _ := strconv.ParseInt(cookie[i:i+1], 16, 8)
	return cookie[:i] + strconv.FormatInt(v^mask, 16) + cookie[i+1:]
}
