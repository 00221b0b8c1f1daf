package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const rfcHi = "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}"

// 5.1 B: INIT ACK is alone, goes to the source of the INIT, carries the peer's tag and a cookie; L keeps no state.
//
//rfc:9260 3.3.2-4 3.3.3-5 5.1-3 5.1-4 5.1-5 5.1-6 5.1-9 5.1-10 5.1-11 5.1.2-7 6.4-2 8.4-3
func TestRFC9260CookieInitAck(t *testing.T) {
	for _, from := range []netip.AddrPort{peerA, peerB, netip.MustParseAddrPort("10.1.0.1:6001")} {
		s := newRFCSetup(t)
		for i := range 20 {
			s.sendFrom(from, "4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=10 tsn=%d}", rfcTag+i, i)
			ack := s.only("INIT-ACK")
			if ack.to != from || ack.tag != uint32(rfcTag+i) || ack.init.Tag == 0 || ack.cookie == "" {
				t.Errorf("to %v: %s", ack.to, ack.text)
			}
			s.none()
		}
		s.is("CLOSED")
		s.counts(0, 0, 0)
		s.advance(20 * time.Second)
		s.none()
	}
}

// 5.1 D, 5.1.5: a valid cookie makes the association with the tags and TSNs that were exchanged; COOKIE ACK comes first.
//
//rfc:9260 3.3.3.1.1-1 5.1-4 5.1-5 5.1-8 5.1-18 5.1.5-5 8.4-5
func TestRFC9260CookieAccepted(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.open(rfcTag, rfcTSN, "")
	s.tags(ack.init.Tag, rfcTag)
	s.counts(1, 0, 0)
	s.usable(ack.init.Tag, rfcTag, rfcTSN, ack.init.TSN)
}

// 5.1.5: each of several outstanding cookies is good on its own, as L keeps no state for any.
func TestRFC9260CookieOlderOfTwo(t *testing.T) {
	for i := range 2 {
		s := newRFCSetup(t)
		acks := []seen{s.ask(rfcTag, rfcTSN, ""), s.ask(rfcNewTag, 9000, "")}
		s.echo(acks[i])
		s.tagged(s.first("COOKIE-ACK"), acks[i].tag, false)
		s.tags(acks[i].init.Tag, acks[i].tag)
		s.usable(acks[i].init.Tag, acks[i].tag, []uint32{rfcTSN, 9000}[i], acks[i].init.TSN)
	}
}

// 5.1.5 steps 1, 2: a flipped bit anywhere makes the packet vanish, with its DATA; the true cookie still works.
//
//rfc:9260 3.3.3.1.1-1 4-1 5.1.3-1 5.1.5-2
func TestRFC9260CookieBitFlips(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	for i := range len(ack.cookie) {
		for bit := range 4 {
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, rfcFlip(ack.cookie, i, 1<<bit), rfcHi)
		}
	}
	s.echo(ack)
	s.first("COOKIE-ACK")
	if len(s.received()) != 0 || s.made() != 1 {
		t.Errorf("received %q, made %d", s.received(), s.made())
	}
}

// 5.1.5 step 2: cookies of a wrong length, or patched together from two, are no cookies of L's.
//
//rfc:9260 5.1.5-2
func TestRFC9260CookieMalformed(t *testing.T) {
	s := newRFCSetup(t)
	ack, other := s.ask(rfcTag, rfcTSN, ""), s.ask(rfcNewTag, 9000, "")
	c, o := ack.cookie, other.cookie
	bad := []string{"", "00", c + "00", c + "00000000", "00" + c, c + c, strings.Repeat("00", len(c)/2), strings.Repeat("ff", len(c)/2), strings.Repeat("ab", 1000)}
	for i := 2; i < len(c); i += 2 {
		bad = append(bad, c[:i])
	}
	if len(c) == len(o) {
		for i := 8; i < len(c); i += 8 {
			if m := c[:i] + o[i:]; m != c && m != o {
				bad = append(bad, m)
			}
		}
	}
	for _, v := range bad {
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, v, rfcHi)
	}
}

// 5.1.3, 5.1.5: a cookie of another instance of L does not pass, as the secret is random.
//
//rfc:9260 8.4-5
func TestRFC9260CookieOfOther(t *testing.T) {
	other := newRFCSetup(t).ask(rfcTag, rfcTSN, "")
	s := newRFCSetup(t)
	s.ep = NewEndpoint(s.now, s.ep.cfg, rand.NewPCG(7, 8)) // the harness gives all the same random numbers
	s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", other.init.Tag, other.cookie)
}

// 5.1.5 step 3: ports and tag of the packet must be those in the cookie.
//
//rfc:9260 5.1.5-3
func TestRFC9260CookiePortsAndTag(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	for _, ports := range []string{"4001>5000", "4000>5001", "5000>4000"} {
		s.silent("%s tag=%08x COOKIE-ECHO{value=%s} %s", ports, ack.init.Tag, ack.cookie, rfcHi)
	}
	for _, tag := range []uint32{ack.init.Tag ^ 1, ^ack.init.Tag, rfcTag, 0} {
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", tag, ack.cookie, rfcHi)
	}
	s.echo(ack)
	s.first("COOKIE-ACK")
	s.is("ESTABLISHED")
}

// 5.1.5: the RFC does not bind a cookie to the address; L may take it from elsewhere or not, but when it does not,
// the cookie stays good for its owner.
func TestRFC9260CookieOtherAddress(t *testing.T) {
	for _, from := range []netip.AddrPort{peerB, netip.MustParseAddrPort("10.1.0.1:6001"), netip.MustParseAddrPort("10.9.9.9:5001")} {
		t.Run(from.String(), func(t *testing.T) {
			s := newRFCSetup(t)
			ack := s.ask(rfcTag, rfcTSN, "")
			s.sendFrom(from, "4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
			s.skip()
			taken := s.made()
			s.echo(ack)
			if taken == 0 {
				s.first("COOKIE-ACK")
				s.is("ESTABLISHED")
				s.counts(1, 0, 0)
			}
		})
	}
}

// 5.1.5, stricter: the cookie is bound to the address that the INIT came from, even when the INIT listed others: a
// listed address is a claim, and L's own dialler echoes over the pair that the cookie came by.
//
//rfc:9260 5.4-3
func TestRFC9260CookieListedAddress(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, " addr=10.1.0.1 addr=10.2.0.1")
	s.sendFrom(peerB, "4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
	s.none()
	s.counts(0, 0, 0)
}

// 5.1.5 step 4: within its life the cookie is good.
//
//rfc:9260 5.1.5-4
func TestRFC9260CookieJustInTime(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.advance(14900 * time.Millisecond)
	s.none()
	s.echo(ack)
	s.tagged(s.first("COOKIE-ACK"), rfcTag, false)
	s.is("ESTABLISHED")
}

// 5.1.5 step 4: after its life, L drops cookie and DATA and reports by how many microseconds it came too late.
//
//rfc:9260 4-2 5.1.5-4
func TestRFC9260CookieStale(t *testing.T) {
	for _, late := range []time.Duration{100 * time.Millisecond, 5 * time.Second, time.Minute} {
		t.Run(late.String(), func(t *testing.T) {
			s := newRFCSetup(t)
			ack := s.ask(rfcTag, rfcTSN, "")
			s.advance(15*time.Second + late)
			s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi)
			e := s.only("ERROR")
			s.tagged(e, rfcTag, false)
			if !slices.Equal(e.causes, []uint16{3}) || len(e.cause[0]) != 8 {
				t.Fatalf("want cause 3 with 4 octets: %s", e.text)
			}
			us, _ := strconv.ParseUint(e.cause[0], 16, 32)
			if d := time.Duration(us)*time.Microsecond - late; d < -time.Millisecond || d > time.Millisecond {
				t.Errorf("staleness %d us, want %v", us, late)
			}
			s.none()
			s.is("CLOSED")
			s.counts(0, 0, 0)
			if len(s.received()) != 0 {
				t.Errorf("received %q", s.received())
			}
			s.open(rfcTag, rfcTSN, "") // a new cookie works
		})
	}
}

// 5.1.5: a cookie that is forged and also old is forged: no ERROR; the same for a wrong tag.
func TestRFC9260CookieStaleAndForged(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.advance(20 * time.Second)
	for i := range len(ack.cookie) {
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, rfcFlip(ack.cookie, i, 8))
	}
	s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag^1, ack.cookie)
}

// 5.1.5 steps 6, 7: DATA behind COOKIE ECHO is delivered and acknowledged at once, after or behind the COOKIE ACK.
//
//rfc:9260 5.1-8 5.1.5-5 5.1.5-6 5.1.5-7
func TestRFC9260CookieWithData(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s DATA{flags=BE tsn=101 sid=1 ssn=0 ppid=0 data=686f}", ack.init.Tag, ack.cookie, rfcHi)
	c := s.first("COOKIE-ACK")
	s.tagged(c, rfcTag, false)
	s.acked(c, 101)
	if got := s.received(); !slices.Equal(got, []string{"hi", "ho"}) {
		t.Errorf("received %q", got)
	}
	s.is("ESTABLISHED")
}

// 5.2 E, 5.2.4 D: when COOKIE ACK was lost, each repeated COOKIE ECHO gets it again; its DATA is not delivered twice and
// nothing begins anew.
func TestRFC9260CookieAckLost(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	for range 5 {
		s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi)
		s.tagged(s.first("COOKIE-ACK"), rfcTag, false)
		s.is("ESTABLISHED")
		s.counts(1, 0, 0)
		s.advance(4 * time.Second) // in the end the cookie is older than its life
		s.skip()
	}
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=101 sid=0 ssn=1 ppid=0 data=686f}", ack.init.Tag)
	if got := s.received(); !slices.Equal(got, []string{"hi", "ho"}) {
		t.Errorf("received %q", got)
	}
}

// 5.2.4 D: a duplicate COOKIE ECHO does not reset L's sending side.
func TestRFC9260CookieDuplicateKeepsTSN(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	s.submit("one")
	s.first("DATA")
	s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn)
	s.echo(p.ack)
	s.first("COOKIE-ACK")
	s.submit("two")
	if d := s.first("DATA"); rfcField(d.text, "tsn") != strconv.Itoa(int(p.ltsn+1)) || rfcField(d.text, "ssn") != "1" {
		t.Errorf("want TSN %d SSN 1: %s", p.ltsn+1, d.text)
	}
}

// 5.2 C: L protects itself against the replay of a used cookie when the association is over; a new INIT works and gets
// another tag than the former association had.
//
//rfc:9260 5.3.1-3
func TestRFC9260CookieReplay(t *testing.T) {
	for _, end := range []string{"ABORT{}", "SHUTDOWN-ACK{}"} {
		t.Run(end, func(t *testing.T) {
			s := newRFCSetup(t)
			p := s.reach("ESTABLISHED")
			if end != "ABORT{}" {
				s.shutdown()
			}
			s.send("4000>5000 tag=%08x %s", p.local, end)
			s.skip()
			s.is("CLOSED")
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", p.local, p.ack.cookie, rfcHi)
			if ack := s.open(rfcTag, rfcTSN, ""); ack.init.Tag == p.local {
				t.Errorf("tag %08x was used again", p.local)
			}
			s.counts(2, 0, 1)
		})
	}
}

// 5.3.1: L's tags are never 0 and, like its first TSNs, random: 50 are most likely 50 different ones.
//
//rfc:9260 3.3.2-15 3.3.3-17
func TestRFC9260CookieTagsDiffer(t *testing.T) {
	s := newRFCSetup(t)
	tags, tsns := map[uint32]bool{}, map[uint32]bool{}
	for i := range uint32(50) {
		init := s.ask(rfcTag+i, rfcTSN+i, "").init // ask refuses tag 0
		tags[init.Tag], tsns[init.TSN] = true, true
	}
	if len(tags) < 50 || len(tsns) < 50 {
		t.Errorf("%d tags, %d TSNs of 50 differ", len(tags), len(tsns))
	}
}

// 5.1.4: L echoes the cookie at once, octet for octet, as the first chunk, with the tag of the INIT ACK.
//
//rfc:9260 3.2.2-3 3.3.3-19 3.3.11-2 5.1-1 5.1-7 5.1.4-1
func TestRFC9260CookieEchoed(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 8, 100, 1000} {
		s := newRFCSetup(t)
		p := s.reach("COOKIE-WAIT")
		cookie := strings.Repeat("0123456789abcdef", n/8+1)[:2*n]
		s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=%s}", p.local, rfcTag, cookie)
		e := s.first("COOKIE-ECHO")
		s.tagged(e, rfcTag, false)
		if rfcField(e.text, "value") != cookie || e.to != peerA {
			t.Errorf("cookie of %d octets to %v: %s", n, e.to, e.text)
		}
		s.is("COOKIE-ECHOED")
		s.counts(0, 0, 0)
		s.advance(900 * time.Millisecond)
		s.none()
		s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
		s.is("ESTABLISHED")
		s.counts(1, 0, 0)
		s.usable(p.local, rfcTag, 100, p.ltsn)
	}
}

// 5.1: an INIT ACK that L cannot use ends the attempt with an ABORT that has the tag of the INIT ACK.
//
//rfc:9260 5.1-15 5.1-16 5.1-17
func TestRFC9260CookieMissing(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100}", p.local, rfcTag)
	a := s.only("ABORT")
	s.tagged(a, rfcTag, false)
	if !slices.Equal(a.causes, []uint16{2}) || a.cause[0] != "000000010007" {
		t.Errorf("want cause 2 that names parameter 7: %s", a.text)
	}
	s.is("CLOSED")
	s.counts(0, 0, 1)
}

// backoff lets T1 expire until L gives up: 8 repetitions of the same packet, the time doubles from 1 s up to 60 s.
func (s *rfcSetup) backoff(name, text string) {
	s.t.Helper()
	state := s.state()
	for i, wait := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
		s.advance(time.Duration(wait)*time.Second - 50*time.Millisecond)
		s.none()
		s.advance(50 * time.Millisecond)
		if p := s.first(name); p.text != text || p.to != peerA {
			s.t.Errorf("repetition %d to %v is %s, was %s", i+1, p.to, p.text, text)
		}
		s.is(state)
	}
	s.advance(60*time.Second - 50*time.Millisecond)
	s.none()
	s.is(state)
	s.advance(100 * time.Millisecond)
	s.skip()
	s.is("CLOSED")
	s.counts(0, 0, 1)
	s.advance(5 * time.Minute)
	s.none()
}

// 5.1.6, 6.3: T1-init: the same INIT again after 1 s, 2 s, 4 s and so on; after 8 repetitions the failure is reported.
//
//rfc:9260 4-3 4-4 4-5 5.1-12 5.1.6-1
func TestRFC9260CookieT1Init(t *testing.T) {
	s := newRFCSetup(t)
	s.dial()
	i := s.only("INIT")
	s.is("COOKIE-WAIT")
	s.backoff("INIT", i.text)
}

// 5.1.4: T1-cookie: the same for COOKIE ECHO.
//
//rfc:9260 4-6 4-7 4-8 5.1-12 5.1.4-2 5.1.4-3
func TestRFC9260CookieT1Cookie(t *testing.T) {
	s := newRFCSetup(t)
	s.dial()
	s.sendINITACK(s.only("INIT").init.Tag, rfcTag, rfcTSN)
	s.backoff("COOKIE-ECHO", s.first("COOKIE-ECHO").text)
}

// 5.1 C, E: the answers stop the timers, also when they come after a repetition.
func TestRFC9260CookieT1Stopped(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	s.advance(time.Second)
	s.only("INIT")
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	s.advance(2500 * time.Millisecond) // T1 is 1 s or, kept from the INIT, 2 s: one repetition, and none of the INIT
	s.first("COOKIE-ECHO")
	s.none()
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	s.is("ESTABLISHED")
	s.advance(20 * time.Second)
	s.none()
	s.counts(1, 0, 0)
}

// 5.2.3, 5.2.5: the second answer to a repeated INIT or COOKIE ECHO has no effect.
func TestRFC9260CookieSecondAnswers(t *testing.T) {
	s := newRFCSetup(t)
	p := s.dialled("COOKIE-ECHOED", rfcTag)
	ack := "INIT-ACK{tag=0a0b0c0d rwnd=65536 os=10 is=10 tsn=100 p0007=5ec0bd}"
	s.silent("4000>5000 tag=%08x %s", p.local, ack)
	s.advance(time.Second)
	if e := s.first("COOKIE-ECHO"); rfcField(e.text, "value") != rfcCookie {
		t.Errorf("the cookie changed: %s", e.text)
	}
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	s.is("ESTABLISHED")
	s.silent("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	s.silent("4000>5000 tag=%08x %s", p.local, ack)
	s.counts(1, 0, 0)
}

// 5.2.4 step 3: a cookie that is too old, with tags that do not both match, gets ERROR "Stale Cookie" and does nothing.
//
//rfc:9260 5.2.4-1 5.2.4-2
func TestRFC9260RestartStaleCookie(t *testing.T) {
	for _, c := range []rfcTable12{
		{"would be A", "ESTABLISHED", func(s *rfcSetup) seen { s.reach("ESTABLISHED"); return s.ask(rfcNewTag, 9000, "") }},
		{"would be B", "COOKIE-WAIT", func(s *rfcSetup) seen { s.reach("COOKIE-WAIT"); return s.ask(rfcNewTag, 9000, "") }},
		{"would be B", "ESTABLISHED", (*rfcSetup).crossingUp},
		{"would be C", "ESTABLISHED", func(s *rfcSetup) seen { return s.early("ESTABLISHED", rfcTag) }},
	} {
		t.Run(c.name+" "+c.state, func(t *testing.T) {
			s := newRFCSetup(t)
			ack := c.setup(s)
			s.advance(16 * time.Second)
			s.skip()
			before := s.snap()
			s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=6869}", ack.init.Tag, ack.cookie)
			e := s.only("ERROR")
			if !slices.Equal(e.causes, []uint16{3}) || e.tag != ack.tag || len(s.received()) != 0 {
				t.Errorf("want stale cookie with tag %08x: %s; received %q", ack.tag, e.text, s.received())
			}
			s.none()
			s.same(before, "stale cookie")
		})
	}
}

// 5.2.4 steps 1, 2: a forged or damaged cookie does nothing to an existing association.
func TestRFC9260RestartForgedCookie(t *testing.T) {
	rfcEach(t, rfcRestartable, func(s *rfcSetup, p rfcPlace) {
		ack := s.ask(rfcNewTag, 9000, "")
		for i := range len(ack.cookie) {
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, rfcFlip(ack.cookie, i, 1))
		}
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", p.local, strings.Repeat("00", len(ack.cookie)/2))
	})
}

// 5.2.5: COOKIE ACK counts only in COOKIE-ECHOED.
//
//rfc:9260 5.2.5-1
func TestRFC9260RestartUnexpectedCookieAck(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED", "COOKIE-WAIT"}, rfcLate...), func(s *rfcSetup, p rfcPlace) {
		s.silent("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	})
}

// 5.2.6: ERROR "Stale Cookie" outside of COOKIE-ECHOED is dropped.
//
//rfc:9260 5.2.6-1 5.2.6-2
func TestRFC9260RestartUnexpectedStaleError(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED", "COOKIE-WAIT"}, rfcLate...), func(s *rfcSetup, p rfcPlace) {
		s.silent("4000>5000 tag=%08x ERROR{c0003=00000000}", p.local)
	})
}

// 5.2.6: in COOKIE-ECHOED L either gives up and reports it, or begins again with an INIT, which may ask for a longer life
// of the cookie: not over 1 s more than the round trip, which is 0 here.
//
//rfc:9260 5.2.6-1
func TestRFC9260RestartStaleError(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-ECHOED")
	s.send("4000>5000 tag=%08x ERROR{c0003=00000000}", p.local)
	if s.state() == "CLOSED" {
		s.counts(0, 0, 1)
		return
	}
	s.is("COOKIE-WAIT")
	i := s.only("INIT")
	s.tagged(i, 0, false)
	if ms, _ := strconv.ParseUint("0"+rfcField(i.text, "p0009"), 16, 64); ms > 1000 {
		t.Errorf("asks for %d ms more: %s", ms, i.text)
	}
	s.silent("4000>5000 tag=%08x COOKIE-ACK{}", i.init.Tag)
	s.sendINITACK(i.init.Tag, rfcNewTag, 9000)
	s.tagged(s.first("COOKIE-ECHO"), rfcNewTag, false)
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", i.init.Tag)
	s.is("ESTABLISHED")
	s.counts(1, 0, 0)
}

// 5.2.4 D in later states: COOKIE ACK again and nothing changes, even when the cookie's life is over.
//
//rfc:9260 5.1.5-8
func TestRFC9260RestartActionDLater(t *testing.T) {
	for _, age := range []time.Duration{0, 16 * time.Second} {
		rfcEach(t, rfcLate, func(s *rfcSetup, p rfcPlace) {
			before := s.snap()
			s.advance(age)
			s.skip()
			s.echo(p.ack)
			if before.state != "SHUTDOWN-ACK-SENT" { // there it may also be told that L is shutting down
				s.tagged(s.first("COOKIE-ACK"), rfcTag, false)
			}
			s.same(before, "duplicate COOKIE ECHO")
		})
	}
}

// 5.2.4 D (M M) in COOKIE-ECHOED: L is ESTABLISHED once, T1-cookie stops, COOKIE ACK is sent.
//
//rfc:9260 5.1.5-8 5.2.4-10 5.2.4-11
func TestRFC9260RestartActionDCookieEchoed(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	ack := s.ask(rfcTag, rfcTSN, "")
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	s.echo(ack)
	s.tagged(s.first("COOKIE-ACK"), rfcTag, false)
	s.is("ESTABLISHED")
	s.silent("4000>5000 tag=%08x COOKIE-ACK{}", p.local) // the peer's answer to L's COOKIE ECHO
	s.advance(5 * time.Second)
	s.none()
	s.counts(1, 0, 0)
	s.usable(p.local, rfcTag, rfcTSN, p.ltsn)
}

// A cookie of a collision carries the tag of our own INIT. When that association has ended it makes nothing, and its
// sender is told to begin anew: the old tags would come back, and what is still on its way would be taken for new.
//
//rfc:9260 5.3.1-3
func TestRFC9260CookieOfCollisionOutlivesAssociation(t *testing.T) {
	for _, state := range []string{"COOKIE-WAIT", "COOKIE-ECHOED"} {
		t.Run(state, func(t *testing.T) {
			s := newRFCSetup(t)
			p := s.reach(state)
			ack := s.ask(rfcNewTag, 9000, "")
			s.abort()
			s.skip()
			s.echo(ack)
			e := s.only("ERROR")
			s.tagged(e, rfcNewTag, false)
			if !slices.Equal(e.causes, []uint16{3}) {
				t.Errorf("causes %v, want Stale Cookie", e.causes)
			}
			s.counts(0, 0, 1)
			s.open(rfcNewTag, 9000, "")
			if s.localTag() == p.local {
				t.Errorf("tag %08x again", p.local)
			}
		})
	}
}
