package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const rfcInit = "INIT{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=9000}"

// rfcOrdinary are chunks that follow the general tag rule.
func rfcOrdinary(p rfcPlace) []string {
	return []string{
		"DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}",
		fmt.Sprintf("SACK{cum=%d rwnd=65536}", p.ltsn),
		"HEARTBEAT{info=0001020304050607}",
		"HEARTBEAT-ACK{info=0001020304050607}",
		fmt.Sprintf("SHUTDOWN{cum=%d}", p.ltsn),
		"ERROR{c0003=00000000}",
		"ERROR{c0001=00000000}",
		"COOKIE-ACK{}",
		"INIT-ACK{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=7 p0007=00112233}",
		"CHUNK-c5{value=00}",
		"CHUNK-45{value=00}",
	}
}

// 8.5: a packet whose tag is not L's own is dropped without a word and without effect, in each state; the peer's tag
// and 0 are as wrong as any other.
//
//rfc:9260 3.3.2-6 3.3.3-4 8.5-2 8.5-3
func TestRFC9260TagsWrong(t *testing.T) {
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		for _, chunk := range rfcOrdinary(p) {
			for _, tag := range []uint32{p.local ^ 1, p.local ^ 1<<31, ^p.local, p.peer, 0} {
				s.silent("4000>5000 tag=%08x %s", tag, chunk)
			}
		}
		if got := s.received(); len(got) != 0 {
			s.t.Errorf("received %q", got)
		}
	})
}

// 8.5: a wrong tag does not touch timers or buffers either: afterwards the association is as usable as before.
//
//rfc:9260 8.5-2 8.5-3
func TestRFC9260TagsWrongThenRight(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for _, chunk := range rfcOrdinary(p) {
		s.silent("4000>5000 tag=%08x %s", p.local^0x100, chunk)
	}
	s.usable(p.local, rfcTag, rfcTSN, p.ltsn)
}

// 8.5: T1-init and T1-cookie go on after answers with a wrong tag.
//
//rfc:9260 8.5-3
func TestRFC9260TagsWrongLeavesT1(t *testing.T) {
	timer := map[string]string{"COOKIE-WAIT": "INIT", "COOKIE-ECHOED": "COOKIE-ECHO"}
	rfcEach(t, []string{"COOKIE-WAIT", "COOKIE-ECHOED"}, func(s *rfcSetup, p rfcPlace) {
		s.advance(500 * time.Millisecond)
		for _, chunk := range rfcOrdinary(p) {
			s.silent("4000>5000 tag=%08x %s", p.local+1, chunk)
		}
		s.advance(500 * time.Millisecond)
		s.first(timer[s.state()])
	})
}

// 8.5: each packet that L sends in an association carries the tag of the peer's INIT or INIT ACK.
//
//rfc:9260 3.1-3 3.3.2-6 3.3.3-4 5.1-1 8.5-1
func TestRFC9260TagsSent(t *testing.T) {
	for _, opener := range []string{"peer", "L"} {
		t.Run(opener, func(t *testing.T) {
			s := newRFCSetup(t)
			var p rfcPlace
			if opener == "L" {
				p = s.dialled("ESTABLISHED", rfcTag)
			} else {
				p = s.reach("ESTABLISHED")
			}
			s.tags(p.local, rfcTag)
			s.send("4000>5000 tag=%08x HEARTBEAT{info=0001020304050607}", p.local)
			h := s.only("HEARTBEAT-ACK")
			s.send("4000>5000 tag=%08x DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", p.local)
			a := s.first("SACK")
			s.submit("x")
			d := s.first("DATA")
			s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn)
			s.shutdown()
			for _, m := range []seen{h, a, d, s.first("SHUTDOWN")} {
				if m.tag != rfcTag {
					t.Errorf("tag %08x, want %08x: %s", m.tag, rfcTag, m.text)
				}
			}
		})
	}
}

// 8.5.1 A: L's INIT travels alone with tag 0.
// 8.5.1 D: COOKIE ECHO carries the tag of the INIT ACK.
//
//rfc:9260 3.1-4 5.1-9 5.1-10 8.5.1-1 8.5.1-12 12.3-1
func TestRFC9260TagsOfInitAndCookieEcho(t *testing.T) {
	s := newRFCSetup(t)
	s.dial()
	i := s.only("INIT")
	s.tagged(i, 0, false)
	if i.init.Tag == 0 {
		t.Error("Initiate Tag 0")
	}
	s.sendINITACK(i.init.Tag, rfcTag, rfcTSN)
	s.tagged(s.first("COOKIE-ECHO"), rfcTag, false)
}

// 8.5.1 A: tag 0 is only for an INIT that is alone; all else with tag 0 is dropped without a word.
//
//rfc:9260 8.5.1-2 8.5.1-3 12.3-2
func TestRFC9260TagsZero(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED"}, rfcAll...), func(s *rfcSetup, p rfcPlace) {
		others := append(rfcOrdinary(p), "ABORT{}", "ABORT{flags=T}", "SHUTDOWN-COMPLETE{}", "SHUTDOWN-COMPLETE{flags=T}")
		for _, chunk := range others {
			s.silent("4000>5000 tag=00000000 %s", chunk)
		}
		for _, chunk := range others[:4] {
			s.silent("4000>5000 tag=00000000 %s %s", rfcInit, chunk)
			s.silent("4000>5000 tag=00000000 %s %s", chunk, rfcInit)
		}
	})
}

// 8.5.1 A, 12.3: an INIT with another tag than 0 changes nothing, whatever the tag, and is not answered.
//
//rfc:9260 3.1-4
func TestRFC9260TagsInitNotZero(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED"}, rfcAll...), func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		s.send("4000>5000 tag=%08x %s", p.local, rfcInit)
		s.none()
		s.same(before, "INIT with a tag")
	})
}

// rfcTagged is a tag with or without the T bit.
type rfcTagged struct {
	tag uint32
	t   string
}

// rfcAccepted are the two ways to tag ABORT and SHUTDOWN COMPLETE rightly, rfcRefused are the wrong ones.
func rfcAccepted(p rfcPlace) []rfcTagged {
	r := []rfcTagged{{p.local, ""}}
	if p.peer != 0 {
		r = append(r, rfcTagged{p.peer, "flags=T"})
	}
	return r
}

func rfcRefused(p rfcPlace) []rfcTagged {
	return []rfcTagged{{p.local, "flags=T"}, {p.peer, ""}, {p.local ^ 1, ""}, {p.local ^ 1, "flags=T"},
		{p.peer ^ 1, ""}, {p.peer ^ 1, "flags=T"}, {0, ""}, {0, "flags=T"}}
}

// 8.5.1 B: ABORT counts with L's tag and no T bit, or with the peer's tag and the T bit; L never answers it.
//
//rfc:9260 3.3.7-4 8.5.1-6 9.1-5 9.1-6
func TestRFC9260TagsAbortAccepted(t *testing.T) {
	for i := range 2 {
		rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
			if a := rfcAccepted(p); i < len(a) {
				s.send("4000>5000 tag=%08x ABORT{%s}", a[i].tag, a[i].t)
				s.none()
				s.is("CLOSED")
				if s.ended() != 1 || s.restarted() != 0 {
					s.t.Errorf("ended %d restarted %d", s.ended(), s.restarted())
				}
				s.advance(10 * time.Second) // no timer is left
				s.none()
			}
		})
	}
}

// 8.5.1 B: any other mix of tag and T bit is dropped; in COOKIE-WAIT the unknown peer's tag is not 0.
//
//rfc:9260 3.3.7-4 8.5.1-7 9.1-5
func TestRFC9260TagsAbortRefused(t *testing.T) {
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		for _, a := range rfcRefused(p) {
			s.silent("4000>5000 tag=%08x ABORT{%s}", a.tag, a.t)
		}
	})
}

// 8.5.1 B, 9.1: L's own ABORT carries the peer's tag, no T bit, no DATA and says that the user wanted it.
//
//rfc:9260 8.5.1-4 9.1-1 9.1-2 9.1-3
func TestRFC9260TagsAbortSent(t *testing.T) {
	rfcEach(t, rfcLate, func(s *rfcSetup, p rfcPlace) {
		s.abort()
		a := s.only("ABORT")
		s.tagged(a, rfcTag, false)
		if !slices.Equal(a.causes, []uint16{12}) {
			s.t.Errorf("causes %v, want 12", a.causes)
		}
		s.is("CLOSED")
	})
}

// 8.5.1 C: in SHUTDOWN-ACK-SENT, SHUTDOWN COMPLETE counts with L's tag, or with the peer's tag and the T bit.
//
//rfc:9260 8.5.1-10 9.2-19
func TestRFC9260TagsShutdownComplete(t *testing.T) {
	for i := range 2 {
		s := newRFCSetup(t)
		p := s.reach("SHUTDOWN-ACK-SENT")
		for _, a := range rfcRefused(p) {
			s.silent("4000>5000 tag=%08x SHUTDOWN-COMPLETE{%s}", a.tag, a.t)
		}
		a := rfcAccepted(p)[i]
		s.send("4000>5000 tag=%08x SHUTDOWN-COMPLETE{%s}", a.tag, a.t)
		s.none()
		s.is("CLOSED")
		s.counts(1, 0, 1)
	}
}

// 8.5.1 C: in any other state it is ignored, even with the right tag.
//
//rfc:9260 8.5.1-11 9.2-18
func TestRFC9260TagsShutdownCompleteElsewhere(t *testing.T) {
	for _, state := range rfcAll {
		if state == "SHUTDOWN-ACK-SENT" {
			continue
		}
		rfcEach(t, []string{state}, func(s *rfcSetup, p rfcPlace) {
			for _, a := range append(rfcAccepted(p), rfcRefused(p)...) {
				s.silent("4000>5000 tag=%08x SHUTDOWN-COMPLETE{%s}", a.tag, a.t)
			}
		})
	}
}

// 8.5.1 C: with an association, L's SHUTDOWN COMPLETE carries the peer's tag and no T bit.
//
//rfc:9260 3.3.13-1 8.5.1-8 9.2-17 9.2-26
func TestRFC9260TagsShutdownCompleteSent(t *testing.T) {
	rfcEach(t, []string{"SHUTDOWN-SENT", "SHUTDOWN-ACK-SENT"}, func(s *rfcSetup, p rfcPlace) {
		s.send("4000>5000 tag=%08x SHUTDOWN-ACK{}", p.local)
		s.tagged(s.only("SHUTDOWN-COMPLETE"), rfcTag, false)
		s.is("CLOSED")
		s.counts(1, 0, 1)
	})
}

// 8.5, 8.5.1 E: SHUTDOWN ACK with a wrong tag ends nothing.
func TestRFC9260TagsShutdownAckWrong(t *testing.T) {
	rfcEach(t, rfcLate, func(s *rfcSetup, p rfcPlace) {
		for _, tag := range []uint32{p.local ^ 1, p.peer, 0} {
			before := s.snap()
			s.send("4000>5000 tag=%08x SHUTDOWN-ACK{}", tag)
			s.skip()
			s.same(before, "SHUTDOWN-ACK")
		}
	})
}

// 8.5.1 E, 9.2: in COOKIE-WAIT and COOKIE-ECHOED, SHUTDOWN ACK is out of the blue: a lone SHUTDOWN COMPLETE reflects its
// tag; state and T1 stay.
//
//rfc:9260 3.1-5 8.5.1-9 8.5.1-13 9.2-23
func TestRFC9260TagsShutdownAckDuringSetup(t *testing.T) {
	timer := map[string]string{"COOKIE-WAIT": "INIT", "COOKIE-ECHOED": "COOKIE-ECHO"}
	rfcEach(t, []string{"COOKIE-WAIT", "COOKIE-ECHOED"}, func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		s.advance(600 * time.Millisecond)
		for _, tag := range []uint32{0x77777777, p.local} {
			s.send("4000>5000 tag=%08x SHUTDOWN-ACK{}", tag)
			s.tagged(s.only("SHUTDOWN-COMPLETE"), tag, true)
			s.none()
			s.same(before, "SHUTDOWN-ACK")
		}
		s.advance(400 * time.Millisecond)
		s.first(timer[before.state])
	})
}

// 9.2: SHUTDOWN in COOKIE-WAIT and COOKIE-ECHOED is dropped, even with the right tag.
//
//rfc:9260 9.2-24
func TestRFC9260TagsShutdownDuringSetup(t *testing.T) {
	rfcEach(t, []string{"COOKIE-WAIT", "COOKIE-ECHOED"}, func(s *rfcSetup, p rfcPlace) {
		s.silent("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	})
}

// 8.5.1 D: COOKIE ECHO whose tag is not the cookie's changes nothing, with an association too.
func TestRFC9260TagsCookieEchoWrong(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED", "COOKIE-WAIT", "COOKIE-ECHOED"}, rfcRestartable...), func(s *rfcSetup, p rfcPlace) {
		ack := s.ask(rfcNewTag, 9000, "")
		for _, tag := range []uint32{ack.init.Tag ^ 1, rfcNewTag, rfcTag, 0} {
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", tag, ack.cookie)
		}
	})
}

// blue sends a packet out of the blue and checks the single answer, "" for none.
func (s *rfcSetup) blue(ports string, tag uint32, chunks, answer string) {
	s.t.Helper()
	if answer == "" {
		s.silent("%s tag=%08x %s", ports, tag, chunks)
		return
	}
	before := s.snap()
	s.send("%s tag=%08x %s", ports, tag, chunks)
	p := s.only(answer)
	s.tagged(p, tag, true)
	src, dst, _ := strings.Cut(ports, ">")
	if !strings.HasPrefix(p.text, dst+">"+src+" ") || p.to != peerA {
		s.t.Errorf("answer to %s goes to %v as %s", ports, p.to, p.text)
	}
	s.none()
	s.same(before, chunks)
}

var rfcBlue = []struct{ chunks, answer string }{
	{"DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", "ABORT"},
	{"SACK{cum=5 rwnd=1000}", "ABORT"},
	{"HEARTBEAT{info=0001020304050607}", "ABORT"},
	{"HEARTBEAT-ACK{info=0001020304050607}", "ABORT"},
	{"SHUTDOWN{cum=99}", "ABORT"},
	{"INIT-ACK{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=7 p0007=00112233}", "ABORT"},
	{"ERROR{c0001=00000000}", "ABORT"},
	{"CHUNK-c5{value=00}", "ABORT"},
	{"DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869} COOKIE-ECHO{value=00112233}", "ABORT"},
	{"SHUTDOWN-ACK{}", "SHUTDOWN-COMPLETE"},
	{"SACK{cum=5 rwnd=1000} SHUTDOWN-ACK{}", "SHUTDOWN-COMPLETE"},
	{"COOKIE-ACK{} SHUTDOWN-ACK{}", "SHUTDOWN-COMPLETE"},
	{"ABORT{}", ""},
	{"ABORT{flags=T}", ""},
	{"ABORT{c000c=}", ""},
	{"DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869} ABORT{}", ""},
	{"SHUTDOWN-ACK{} ABORT{}", ""},
	{"SHUTDOWN-COMPLETE{}", ""},
	{"SHUTDOWN-COMPLETE{flags=T}", ""},
	{"COOKIE-ACK{}", ""},
	{"COOKIE-ACK{} SACK{cum=5 rwnd=1000}", ""},
	{"ERROR{c0003=00000000}", ""},
	{"COOKIE-ECHO{value=00112233}", ""},
	{"COOKIE-ECHO{value=00112233} DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", ""},
}

// 8.4: what L answers when it knows no association: nothing to ABORT, SHUTDOWN COMPLETE, COOKIE ACK, stale cookie ERROR
// and bad cookies, SHUTDOWN COMPLETE to SHUTDOWN ACK, else ABORT; answers reflect the tag and have the T bit.
//
//rfc:9260 3.1-5 3.3.7-3 3.3.7-4 3.3.7-5 3.3.13-2 6-3 6-6 8.4-2 8.4-6 8.4-7 8.4-8 8.4-9 8.4-10 8.4-11 8.4-12
//rfc:9260 8.5.1-5 8.5.1-9
func TestRFC9260TagsOutOfTheBlue(t *testing.T) {
	for _, c := range rfcBlue {
		t.Run(c.chunks, func(t *testing.T) { newRFCSetup(t).blue("4000>5000", 0x5e5e5e5e, c.chunks, c.answer) })
	}
}

// 8.4: packets for a port where nobody listens, or from another port than the association's, are out of the blue
// while there is an association, which they leave alone.
//
//rfc:9260 8.4-2 8.4-6 8.4-7 8.4-8 8.4-9 8.4-10 8.4-11 8.4-12 8.5.1-5
func TestRFC9260TagsOutOfTheBlueOtherPort(t *testing.T) {
	for _, ports := range []string{"4000>5001", "4001>5000"} {
		for _, c := range rfcBlue {
			t.Run(ports+" "+c.chunks, func(t *testing.T) {
				s := newRFCSetup(t)
				s.blue(ports, s.reach("ESTABLISHED").local, c.chunks, c.answer)
			})
		}
	}
}

// 8.4: once an association has ended, its packets are out of the blue.
//
//rfc:9260 8.4-2 8.4-6 8.4-7 8.4-8 8.4-9 8.4-10 8.4-11 8.4-12 8.5.1-5
func TestRFC9260TagsOutOfTheBlueAfterEnd(t *testing.T) {
	for _, c := range rfcBlue {
		t.Run(c.chunks, func(t *testing.T) {
			s := newRFCSetup(t)
			p := s.reach("ESTABLISHED")
			s.send("4000>5000 tag=%08x ABORT{}", p.local)
			s.none()
			s.blue("4000>5000", p.local, c.chunks, c.answer)
		})
	}
}

// 8.4 rule 3: an INIT that L cannot take is answered by an ABORT with its Initiate Tag and without the T bit.
//
//rfc:9260 3.3.2-3 3.3.2-9 3.3.2-12 3.3.2-14 5.1-17 8.4-4 8.5.1-4 12.2.4.1-1
func TestRFC9260TagsInitRejected(t *testing.T) {
	for _, fields := range []string{"rwnd=65536 os=0 is=10 tsn=1", "rwnd=65536 os=10 is=0 tsn=1", "rwnd=1499 os=10 is=10 tsn=1",
		"rwnd=65536 os=10 is=10 tsn=1 p000b=6c6f63616c00"} {
		t.Run(fields, func(t *testing.T) {
			s := newRFCSetup(t)
			s.send("4000>5000 tag=00000000 INIT{tag=%08x %s}", rfcNewTag, fields)
			s.tagged(s.only("ABORT"), rfcNewTag, false)
			s.none()
			s.is("CLOSED")
		})
	}
}

// 3.3.2: an INIT with Initiate Tag 0 is dropped without a word.
//
//rfc:9260 3.3.2-7
func TestRFC9260TagsInitiateTagZero(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED", "COOKIE-WAIT", "COOKIE-ECHOED"}, rfcRestartable...), func(s *rfcSetup, p rfcPlace) {
		s.silent("4000>5000 tag=00000000 INIT{tag=00000000 rwnd=65536 os=10 is=10 tsn=9000}")
	})
}

// 5.2.3: INIT ACK outside of COOKIE-WAIT is dropped, well-formed or not.
//
//rfc:9260 3.3.3-7 3.3.3-13 3.3.3-16 5.2.3-1
func TestRFC9260RestartUnexpectedInitAck(t *testing.T) {
	rfcEach(t, append([]string{"COOKIE-ECHOED"}, rfcLate...), func(s *rfcSetup, p rfcPlace) {
		for _, f := range []string{
			"tag=0a0b0c0d rwnd=65536 os=10 is=10 tsn=100 p0007=00112233", "tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=7 p0007=00112233",
			"tag=00000000 rwnd=65536 os=10 is=10 tsn=7 p0007=00112233", "tag=1b2c3d4e rwnd=65536 os=0 is=10 tsn=7 p0007=00112233",
			"tag=1b2c3d4e rwnd=65536 os=10 is=0 tsn=7 p0007=00112233", "tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=7",
		} {
			s.silent("4000>5000 tag=%08x INIT-ACK{%s}", p.local, f)
		}
	})
}

// 9.2, 5.2.2: in SHUTDOWN-ACK-SENT an INIT is dropped and the SHUTDOWN ACK repeated.
//
//rfc:9260 9.2-22
func TestRFC9260RestartInitInShutdownAckSent(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("SHUTDOWN-ACK-SENT")
	before := s.snap()
	s.sendINIT(rfcNewTag, 9000, "")
	s.tagged(s.only("SHUTDOWN-ACK"), rfcTag, false)
	s.none()
	s.same(before, "INIT")
}
