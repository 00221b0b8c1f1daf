package engine

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// The answer to a question that was sent with the dial is there two round trips
// after it: INIT, INIT ACK, COOKIE ECHO with the question, the answer.
func TestEarlyQuestionIsAnsweredInTwoRoundTrips(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	n.send(n.a, 1, 1, 1000)
	n.advance(3 * n.delay)
	n.send(n.b, 1, 1, 1000)
	n.advance(n.delay)
	if len(n.a.got) != 1 || len(n.b.got) != 1 {
		t.Errorf("%d questions and %d answers\n%s", len(n.b.got), len(n.a.got), n.trace())
	}
	if s := n.a.assoc.Stats(); s.Retransmits+s.Timeouts+s.TailProbes != 0 {
		t.Errorf("sent again: %+v", s)
	}
	if p := n.a.assoc.paths.current; p.flight != 0 || n.a.assoc.outstanding() {
		t.Errorf("%d octets in flight after it was acknowledged", p.flight)
	}
}

// More than what fits follows at once, in order, and nothing is sent twice,
// whichever packets of the handshake are lost.
func TestEarlyDataAndLostPackets(t *testing.T) {
	for _, lost := range []wire.ChunkType{wire.TypePad, wire.TypeInit, wire.TypeInitAck, wire.TypeCookieEcho, wire.TypeCookieAck} {
		n := newPair(t, Config{}, Config{})
		done := false
		n.drop = func(_ *side, _ Pair, b []byte) bool {
			once := !done && has(b, lost)
			done = done || once
			return once
		}
		n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
		n.send(n.a, 1, 30, 1000)
		n.send(n.a, 2, 1, 50000)
		n.advance(5 * time.Second)
		if len(n.b.got) != 31 || n.b.assoc.Stats().Duplicates > 1 {
			t.Errorf("%v lost: %d messages of 31, %+v", lost, len(n.b.got), n.b.assoc.Stats())
		}
	}
}

// A path that dies between INIT ACK and COOKIE ECHO ends a dial with early data,
// because nobody knows whether it arrived; one without goes on over the next.
func TestEarlyDataIsNotSentToASecondAssociation(t *testing.T) {
	for _, early := range []bool{false, true} {
		n := newPair(t, Config{}, Config{})
		n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
		if early {
			n.send(n.a, 1, 1, 100)
		}
		n.drop = func(s *side, on Pair, b []byte) bool {
			return silent(onPath1)(s, on, b) && !has(b, wire.TypeInit) && !has(b, wire.TypeInitAck)
		}
		n.advance(20 * time.Second)
		var timeout *TimeoutError
		if early {
			if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &timeout) || len(n.b.got) > 0 {
				t.Errorf("ended by %v, %d messages", e.Err, len(n.b.got))
			}
			continue
		}
		n.wantEvent(n.a, EventEstablished)
	}
}

// A dial that fails tells it, whatever waits.
func TestEarlyDataOfADialThatFails(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = silent(onPath1)
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.send(n.a, 1, 3, 100)
	n.advance(5 * time.Minute)
	var timeout *TimeoutError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &timeout) {
		t.Errorf("ended by %v", e.Err)
	}
}

// The peer that has taken the cookie may lose the way back before its COOKIE
// ACK: what it sends over another path says as much. Otherwise the handshake
// would begin anew, and the peer be left with an association that nobody has.
func TestFirstDataSaysWhatCookieAckSays(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = func(s *side, on Pair, b []byte) bool {
		return s.name == "b" && on.Local == bLocals[0] && !has(b, wire.TypeInitAck)
	}
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	n.send(n.a, 1, 1, 100)
	n.advance(3 * n.delay)
	n.b.assoc.Permit(n.now, []netip.Addr{aLocals[0].Addr(), aLocals[1].Addr()})
	n.send(n.b, 1, 1, 100)
	n.advance(300 * time.Millisecond)
	if !n.a.assoc.Established() {
		t.Fatalf("not established\n%s", n.trace())
	}
	n.a.assoc.Permit(n.now, []netip.Addr{bLocals[0].Addr(), bLocals[1].Addr()})
	n.wantMessages(n.a, time.Second, 1, 100)
	n.wantMessages(n.b, time.Second, 1, 100)
	if c := n.count(n.a, func(_ Pair, b []byte) bool { return has(b, wire.TypeInit) }); c != 1 {
		t.Errorf("%d INITs", c)
	}
}
