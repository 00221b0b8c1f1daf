package engine

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A name may cover several hosts: another one that answers for an address of
// it with a reflected tag ends that path and nothing else.
func TestReflectedAbortFromAnotherHost(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(100 * time.Millisecond)
	stranger := addrPort("10.2.0.66:9899")
	n.a.assoc.Permit(n.now, []netip.Addr{stranger.Addr()})
	on := Pair{aLocals[1], stranger}
	if n.a.assoc.paths.find(on) == nil {
		t.Fatalf("%v is not probed", on)
	}
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: n.a.assoc.PeerTag()})
	b = wire.AppendError(b, wire.TypeAbort, wire.FlagT, nil)
	wire.SetChecksum(b)
	n.a.assoc.Handle(n.now, on, b)
	if n.a.assoc.Closed() || n.a.assoc.paths.find(on) != nil {
		t.Errorf("closed %v, path %v", n.a.assoc.Closed(), n.a.assoc.paths.find(on))
	}
	n.send(n.a, 1, 10, 100)
	n.wantMessages(n.b, time.Second, 10, 100)
}

// A peer that lost its state says so at once (RFC 9260 section 8.4 rule 8 and
// section 8.5.1 rule B).
func TestPeerThatLostItsStateIsNoticed(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.b.assoc = nil
	n.send(n.a, 1, 1, 100)
	n.advance(200 * time.Millisecond)
	var abort *AbortError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &abort) || !abort.Remote {
		t.Errorf("closed with %v", e.Err)
	}
}

// An INIT that one candidate refuses goes to the next at once; when all have
// refused, the refusal is the error.
func TestRefusedCandidate(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	n.step()
	refuse := func(on Pair) {
		b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: n.a.assoc.LocalTag()})
		b = wire.AppendError(b, wire.TypeAbort, 0, nil)
		wire.SetChecksum(b)
		n.a.assoc.Handle(n.now, on, b)
		n.step()
	}
	refuse(onPath1)
	if c := n.count(n.a, func(on Pair, b []byte) bool { return on == onPath2 && has(b, wire.TypeInit) }); c != 1 {
		t.Fatalf("%d INITs to the second candidate after the first refused", c)
	}
	refuse(onPath2)
	var abort *AbortError
	if e := n.wantEvent(n.a, EventClosed); !errors.As(e.Err, &abort) {
		t.Errorf("closed with %v", e.Err)
	}
}

// Queued replies, events and addresses stay within their limits whatever a
// peer sends.
func TestRepliesAreBounded(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: n.b.assoc.LocalTag()})
	b = wire.AppendHeartbeat(b, wire.TypeHeartbeat, make([]byte, 8))
	wire.SetChecksum(b)
	for range 1000 {
		n.b.assoc.Handle(n.now, Pair{bLocals[0], aLocals[0]}, b)
	}
	if got := len(n.b.assoc.replies); got > maxReplies || n.b.assoc.Stats().RepliesDropped == 0 {
		t.Errorf("%d replies wait, %d dropped", got, n.b.assoc.Stats().RepliesDropped)
	}
	for i := range 1000 {
		on := Pair{bLocals[0], netip.AddrPortFrom(aLocals[0].Addr(), uint16(20000+i))}
		n.b.assoc.Handle(n.now, on, b)
	}
	if got := len(n.b.assoc.paths.all); got > maxPaths {
		t.Errorf("%d paths after packets from a thousand ports", got)
	}
	n.send(n.a, 1, 10, 100)
	n.wantMessages(n.b, time.Second, 10, 100)
}

// 9.1: a packet with an ABORT in it is not answered, also when what comes before
// it is of the end or of the set-up of an association.
//
//rfc:9260 9.1-4
func TestNothingAnswersAnAbortAtTheEnds(t *testing.T) {
	for _, state := range []string{"COOKIE-WAIT", "COOKIE-ECHOED", "SHUTDOWN-SENT", "SHUTDOWN-ACK-SENT"} {
		s := newRFCSetup(t)
		p := s.reach(state)
		s.send("4000>5000 tag=%08x SHUTDOWN-ACK{} ABORT{}", p.local)
		if len(s.sent) > 0 {
			t.Errorf("%s: SHUTDOWN ACK and ABORT are answered with %s", state, s.sent[0].text)
		}
	}
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.advance(time.Minute) // the cookie is stale
	s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} ABORT{}", ack.init.Tag, ack.cookie)
	if len(s.sent) > 0 {
		t.Errorf("COOKIE ECHO and ABORT are answered with %s", s.sent[0].text)
	}
	s = newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	ack = s.ask(rfcNewTag, 9000, "") // a restart
	s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	s.skip()
	s.is("SHUTDOWN-ACK-SENT")
	s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} ABORT{}", ack.init.Tag, ack.cookie)
	if len(s.sent) > 0 {
		t.Errorf("in SHUTDOWN-ACK-SENT, COOKIE ECHO and ABORT are answered with %s", s.sent[0].text)
	}
}

// A peer that has forgotten the association while its end is awaited ended it
// well: its SHUTDOWN COMPLETE was lost.
func TestAbortInsteadOfShutdownComplete(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("SHUTDOWN-ACK-SENT")
	s.send("4000>5000 tag=%08x ABORT{flags=T}", p.peer)
	if s.is("CLOSED"); s.assoc.Err() != nil {
		t.Errorf("ended with %v", s.assoc.Err())
	}
}

// Packets of the peer put the repetition of a SHUTDOWN off by one timeout at the
// most: a peer that probes because the SHUTDOWN was lost would otherwise keep it
// from ever being repeated.
func TestProbesDoNotStopTheShutdown(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("SHUTDOWN-SENT")
	s.skip()
	for range 5 { // RTO is 1 s
		s.advance(400 * time.Millisecond)
		s.send("4000>5000 tag=%08x HEARTBEAT{info=0001020304050607}", p.local)
	}
	s.first("SHUTDOWN")
}
