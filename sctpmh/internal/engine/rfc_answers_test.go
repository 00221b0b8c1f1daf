package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// 8.5, 8.5.1 B and C: the T bit of an ABORT or SHUTDOWN COMPLETE excuses the peer's tag for that chunk alone. What follows it in
// the packet has the wrong tag and does not count.
func TestRFC9260ReflectedTagCoversTheRest(t *testing.T) {
	for _, rest := range []string{"SHUTDOWN{cum=1}", "ABORT{}", "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}", "HEARTBEAT{info=0001020304050607}", "SACK{cum=1 rwnd=1}"} {
		s := newRFCSetup(t)
		s.reach("ESTABLISHED")
		for _, from := range []string{"10.1.0.1:5001", "10.9.9.9:1"} {
			before := s.snap()
			s.sendFrom(addrPort(from), "4000>5000 tag=%08x SHUTDOWN-COMPLETE{flags=T} %s", rfcTag, rest)
			if s.same(before, rest); len(s.received()) > 0 || len(s.sent) > 0 {
				t.Errorf("%s from %s: received %q, %d answers", rest, from, s.received(), len(s.sent))
			}
		}
	}
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	a, stranger := n.a.assoc, addrPort("10.2.0.66:9899")
	a.Permit(n.now, []netip.Addr{stranger.Addr()}) // the HEARTBEAT tells the stranger a.peer.tag
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.PeerTag()})
	b = wire.AppendError(b, wire.TypeAbort, wire.FlagT, nil)
	b = wire.AppendShutdown(b, a.flight.next-1)
	wire.SetChecksum(b)
	if a.Handle(n.now, Pair{aLocals[1], stranger}, b); a.state != Established {
		t.Errorf("a stranger without our tag shuts the association down: state %d", a.state)
	}
}

// 12.3: an INIT whose packet has a tag other than zero is dropped without a word, also out of the blue; so its answers do not
// tell which tags are in use either (usrsctp c4ebc2b9: from any address, the right tag is met by silence, a wrong one by ABORT).
// The ABORT of section 8.4 rule 8 is a SHOULD.
//
//rfc:9260 12.3-2
func TestRFC9260InitWithATag(t *testing.T) {
	for _, state := range []string{"CLOSED", "ESTABLISHED"} {
		for _, from := range []string{"10.1.0.1:5001", "10.9.9.9:1"} {
			s := newRFCSetup(t)
			p := s.reach(state)
			for _, tag := range []uint32{p.local, p.local ^ 1} {
				s.sendFrom(addrPort(from), "4000>5000 tag=%08x %s", tag, rfcInit)
				if len(s.sent) > 0 {
					t.Errorf("%s, from %s with tag %08x: %s", state, from, tag, s.sent[0].text)
				}
				s.skip()
			}
		}
	}
}

// 12.4: one packet is answered by one packet at most, but for DATA and SACK: what is due of the handshake or the shutdown shares
// it with the other answers, or those are left out.
//
//rfc:9260 12.4-2
func TestRFC9260TwoAnswers(t *testing.T) {
	const (
		beat, unknown, stale = "HEARTBEAT{info=0001020304050607}", "CHUNK-c5{value=00}", "ERROR{c0003=00000000}"
		data                 = "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}"
		stray                = "DATA{flags=BE tsn=100 sid=900 ssn=0 ppid=0 data=6869}"
		initAck              = "INIT-ACK{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=100 p0007=00112233}"
	)
	for _, c := range []struct{ state, chunks string }{
		{"COOKIE-WAIT", initAck + beat}, {"COOKIE-WAIT", initAck + "SHUTDOWN-ACK{}"}, {"COOKIE-ECHOED", beat + stale}, {"COOKIE-ECHOED", stale + "SHUTDOWN-ACK{}"},
		{"SHUTDOWN-PENDING", beat + "SACK"}, {"SHUTDOWN-PENDING", unknown + "SACK"}, {"SHUTDOWN-PENDING", "SHUTDOWN" + unknown}, {"SHUTDOWN-PENDING", "ECHO" + "SACK"},
		{"SHUTDOWN-RECEIVED", beat + "SACK"}, {"SHUTDOWN-RECEIVED", "SHUTDOWN" + unknown}, {"SHUTDOWN-SENT", unknown + data}, {"SHUTDOWN-SENT", stray},
		{"SHUTDOWN-SENT", "SHUTDOWN" + unknown}, {"SHUTDOWN-SENT", "ECHO" + data}, {"SHUTDOWN-ACK-SENT", "SHUTDOWN" + unknown}, {"SHUTDOWN-ACK-SENT", "ECHO" + "SHUTDOWN"},
	} {
		s := newRFCSetup(t)
		p := s.reach(c.state)
		chunks := strings.NewReplacer("SACK", fmt.Sprintf("SACK{cum=%d rwnd=65536}", p.ltsn), "SHUTDOWN-ACK", "SHUTDOWN-ACK",
			"SHUTDOWN", fmt.Sprintf("SHUTDOWN{cum=%d}", p.ltsn), "ECHO", fmt.Sprintf("COOKIE-ECHO{value=%s}", p.ack.cookie)).Replace(c.chunks)
		s.send("4000>5000 tag=%08x %s", p.local, chunks)
		answers := slices.DeleteFunc(s.sent, func(m seen) bool { return slices.Equal(m.chunks, []string{"SACK"}) })
		if len(answers) > 1 {
			t.Errorf("%s: %s: %s and %s", c.state, c.chunks, answers[0].text, answers[1].text)
		}
	}
}

// 5.1.6: the time between COOKIE ECHOs never falls below RTO.Initial: a shift by 34 and more makes it negative, and what is left of
// the repetitions leaves at once (as CVE-2025-40281). Only a configuration of more than 33 repetitions gets there.
func TestAdvisoryCookieEchoShift(t *testing.T) {
	ep := NewEndpoint(1e9, Config{MaxInitRetransmits: 100, Locals: bLocals, MaxPMTU: basePMTU}, rand.NewPCG(1, 2))
	s := &rfcSetup{&dialogue{t: t, now: 1e9, ep: ep}, t}
	s.dial()
	s.sendINITACK(s.only("INIT").init.Tag, rfcTag, rfcTSN)
	for last := s.now; s.state() != "CLOSED"; s.advance(100 * time.Millisecond) {
		if len(s.sent) > 0 {
			if wait := s.now.Sub(last); wait != 0 && wait < time.Second || len(s.sent) > 1 {
				t.Fatalf("%d COOKIE ECHOs after %v", len(s.sent), wait)
			}
			last = s.now
			s.skip()
		}
	}
}

// A time in a cookie that lies so far back that the age overflows makes the cookie stale, not good (as usrsctp f4925bd5). Only who
// knows a key can make one.
func TestAdvisoryCookieAge(t *testing.T) {
	e := newListener()
	c, _, _ := wire.NextChunk(cookieEcho(t, e, 1e9, client)[wire.HeaderLen:])
	body := slices.Clone(c.Value[:len(c.Value)-cookieMACLen])
	made := int64(math.MinInt64)
	binary.BigEndian.PutUint64(body[2:], uint64(made))
	if _, v := e.jar.open(1e9, append(body, cookieMAC(&e.jar.keys[0], body)...)); v == cookieGood {
		t.Error("a cookie of 292 years ago is good")
	}
}

// An unknown chunk as long as a chunk can be is not reported, and does not panic ("BUG: chunk, parameter or cause exceeds 65,535
// octets"): its cause would be longer than a cause can be. No UDP datagram holds it (65,527 octets at most), so this is a matter of
// recv.go relying on its caller.
func TestAdvisoryLongestUnknownChunk(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	defer func() {
		if r := recover(); r != nil {
			t.Error(r)
		}
	}()
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: wire.Tag(p.local)})
	b = wire.AppendChunk(b, 0xc5, 0, make([]byte, 65531))
	wire.SetChecksum(b)
	s.arrive(Pair{bLocals[0], peerA}, b)
	s.is("ESTABLISHED")
}
