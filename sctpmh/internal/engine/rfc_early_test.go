package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// sendEarly queues a message of an association that is being set up.
func (s *rfcSetup) sendEarly(m Message) {
	s.t.Helper()
	if err := s.assoc.Send(s.now, m); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
}

// 5.1 C, 6: DATA goes with COOKIE ECHO, which is first in its packet, every time that this is sent; what does not fit waits,
// and nothing else leaves, until COOKIE ACK is there. Then the rest follows.
//
//rfc:9260 5.1-7 6-1 6.10-3 6.10-4
func TestRFC9260EarlyData(t *testing.T) {
	s := newRFCSetup(t)
	p := s.dialled("COOKIE-WAIT", 0)
	for i, size := range []int{100, 200, 1100} {
		s.sendEarly(Message{Stream: wire.StreamID(i), Data: make([]byte, size)})
	}
	s.none()
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	for i := range 3 {
		e := s.first("COOKIE-ECHO")
		if got := sec5TSNs(e); e.tag != rfcTag || len(e.chunks) != 3 || !slices.Equal(got, []uint32{p.ltsn, p.ltsn + 1}) {
			t.Fatalf("want COOKIE ECHO with TSNs %d and the next: %s", p.ltsn, e.text)
		}
		s.none()
		s.sendEarly(Message{Stream: 3, Data: make([]byte, 1100)}) // too late, and too much
		s.none()
		if i < 2 {
			s.advance(time.Second << i) // T1-cookie
		}
	}
	s.send("4000>5000 tag=%08x COOKIE-ACK{} SACK{cum=%d rwnd=65536}", p.local, p.ltsn+1)
	var got []uint32
	for len(s.sent) > 0 {
		got = append(got, sec5TSNs(s.first("DATA"))...)
	}
	if want := []uint32{p.ltsn + 2, p.ltsn + 3, p.ltsn + 4, p.ltsn + 5}; !slices.Equal(got, want) {
		t.Errorf("TSNs %d after COOKIE ACK, want %d", got, want)
	}
}

// 6.3.2 R1, 6.3.3: what went with COOKIE ECHO and is not acknowledged has a timer, and is sent again.
func TestRFC9260EarlyDataIsRepeated(t *testing.T) {
	s := newRFCSetup(t)
	p := s.dialled("COOKIE-WAIT", 0)
	s.sendEarly(Message{Data: []byte("question")})
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	s.advance(20 * time.Millisecond)
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	s.none()
	s.advance(2 * time.Second)
	if got := sec5TSNs(s.first("DATA")); !slices.Equal(got, []uint32{p.ltsn}) {
		t.Errorf("TSNs %d were sent again, want %d", got, p.ltsn)
	}
}

// 5.2.1, 5.2.4 D and B: what was sent early survives INITs that cross, with COOKIE ECHO under way and without.
//
//rfc:9260 5.2.1-1 5.2.4-5
func TestRFC9260EarlyDataWhenBothDial(t *testing.T) {
	for _, state := range []string{"COOKIE-WAIT", "COOKIE-ECHOED"} {
		s := newRFCSetup(t)
		p := s.dialled("COOKIE-WAIT", 0)
		s.sendEarly(Message{Data: []byte("question")})
		ack := s.ask(rfcTag, rfcTSN, "")
		if state == "COOKIE-ECHOED" {
			s.sendINITACK(p.local, rfcTag, rfcTSN)
			if got := sec5TSNs(s.first("COOKIE-ECHO")); !slices.Equal(got, []uint32{p.ltsn}) {
				t.Errorf("TSNs %d", got)
			}
		}
		s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi)
		s.first("COOKIE-ACK")
		s.is("ESTABLISHED")
		s.advance(3 * time.Second)
		all := ""
		for len(s.sent) > 0 {
			all += s.next().text
		}
		if want := fmt.Sprintf("tsn=%d ", p.ltsn); strings.Count(all, want) == 0 || len(s.received()) != 1 {
			t.Errorf("%s: got %q, sent %s", state, s.received(), all)
		}
	}
}

// A peer of another adaptation layer, or that cannot take what waits, never gets it: it gets ABORT, and the user the error.
func TestEarlyDataForSomebodyElse(t *testing.T) {
	for name, c := range map[string]struct {
		params string
		m      Message
	}{
		"another layer":    {" pc006=00000007", Message{}},
		"too few streams":  {"", Message{Stream: 10}},
		"too small window": {"", Message{Data: make([]byte, 40000)}},
	} {
		for _, crossing := range []bool{false, true} {
			s := newRFCSetup(t)
			p := s.dialled("COOKIE-WAIT", 0)
			if c.m.Data == nil {
				c.m.Data = []byte("secret")
			}
			s.sendEarly(c.m)
			if crossing {
				ack := s.ask(rfcTag, rfcTSN, c.params)
				s.echo(ack)
			} else {
				s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=%d p0007=%s%s}", p.local, rfcTag, rfcTSN, rfcCookie, c.params)
			}
			s.tagged(s.only("ABORT"), rfcTag, false)
			s.none()
			var abort *AbortError
			if err := s.assoc.Err(); !errors.As(err, &abort) || abort.Remote || abort.Reason == "" {
				t.Errorf("%s: ended by %v", name, err)
			}
		}
	}
}

// In COOKIE-ECHOED the peer is known, and what it would not get is refused.
func TestSendInCookieEchoed(t *testing.T) {
	for params, want := range map[string]error{"": nil, " pc006=00000007": ErrSetup} {
		s := newRFCSetup(t)
		p := s.dialled("COOKIE-WAIT", 0)
		s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=%d p0007=%s%s}", p.local, rfcTag, rfcTSN, rfcCookie, params)
		s.only("COOKIE-ECHO")
		if err := s.assoc.Send(s.now, Message{Data: []byte("x")}); err != want || s.assoc.MaySendEarly() != (want == nil) {
			t.Errorf("Send with %q: %v, want %v", params, err, want)
		}
		if err := s.assoc.Send(s.now, Message{Stream: 10, Data: []byte("x")}); want == nil && err != ErrStream {
			t.Errorf("Send on stream 10 of 10: %v", err)
		}
	}
}

// 5.2.6: after a cookie that was stale, the early data goes with the next one. Where an earlier echo may have made an
// association, the data may have been acted upon: then it is not sent to a second one.
//
//rfc:9260 5.2.6-1
func TestRFC9260EarlyDataAndAStaleCookie(t *testing.T) {
	for echoes := 1; echoes <= 2; echoes++ {
		s := newRFCSetup(t)
		p := s.dialled("COOKIE-WAIT", 0)
		s.sendEarly(Message{Data: []byte("question")})
		s.sendINITACK(p.local, rfcTag, rfcTSN)
		s.advance(time.Duration(echoes-1) * 1100 * time.Millisecond)
		for range echoes {
			s.first("COOKIE-ECHO")
		}
		s.send("4000>5000 tag=%08x ERROR{c0003=00000000}", p.local)
		if echoes == 2 {
			s.none()
			s.is("CLOSED")
			continue
		}
		s.only("INIT")
		s.sendINITACK(s.localTag(), rfcNewTag, rfcTSN)
		if e := s.first("COOKIE-ECHO"); e.tag != rfcNewTag || !slices.Equal(sec5TSNs(e), []uint32{p.ltsn}) {
			t.Errorf("want TSN %d with tag %08x: %s", p.ltsn, rfcNewTag, e.text)
		}
	}
}

// A peer that began anew, while what its former self may have taken was on its way, does not get it.
func TestEarlyDataIsNotForARestartedPeer(t *testing.T) {
	s := newRFCSetup(t)
	p := s.dialled("COOKIE-WAIT", 0)
	s.sendEarly(Message{Data: []byte("question")})
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	s.echo(s.ask(rfcNewTag, rfcTSN, ""))
	s.none()
	s.is("CLOSED")
	s.counts(0, 1, 0)
}

// A peer may acknowledge what never left with the cookie that it took: it had it by an earlier one, or it lies.
func TestEarlyDataThatDidNotLeaveIsAcknowledged(t *testing.T) {
	s := newRFCSetup(t)
	p := s.dialled("COOKIE-WAIT", 0)
	s.sendEarly(Message{Data: []byte("question")})
	s.sendINITACK(p.local, rfcTag, rfcTSN)
	s.first("COOKIE-ECHO")
	s.send("4000>5000 tag=%08x ERROR{c0003=00000000}", p.local)
	s.only("INIT")
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=%d p0007=%s}", s.localTag(), rfcNewTag, rfcTSN, strings.Repeat("c0", 1200))
	s.only("COOKIE-ECHO")
	s.send("4000>5000 tag=%08x COOKIE-ACK{} SACK{cum=%d rwnd=65536}", s.localTag(), p.ltsn)
	s.is("ESTABLISHED")
	s.none()
}
