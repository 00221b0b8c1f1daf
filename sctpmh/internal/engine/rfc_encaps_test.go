package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// 6951 5.1, 5.3: each address of the peer has a UDP port of its own; packets go to it from the local port of their path.
// The port of an address that only the peer knows is learnt from what it sends.
//
//rfc:6951 5.1-1 5.3-1
func TestRFC6951PortOfEachAddress(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.b.ep.cfg.Locals = []netip.AddrPort{bLocals[0], addrPort("10.2.0.2:7777")}
	n.connect()
	n.advance(time.Second)
	second := Pair{aLocals[1], addrPort("10.2.0.2:7777")}
	for _, use := range []Pair{onPath1, second, onPath1} {
		if !n.a.assoc.SetPrimary(n.now, use) {
			t.Fatalf("no confirmed path %v: %v", use, pfBelief(n.a.assoc))
		}
		from := n.now
		n.send(n.a, 1, 5, 100)
		n.advance(100 * time.Millisecond)
		data := 0
		for _, p := range n.seen {
			if p.at >= from && p.from == "a" && has(p.data, wire.TypeData) {
				if data++; p.on != use {
					t.Errorf("DATA over %v, want %v", p.on, use)
				}
			}
		}
		if data == 0 {
			t.Errorf("no DATA over %v", use)
		}
	}
	if len(n.b.got) != 15 {
		t.Errorf("%d messages arrived", len(n.b.got))
	}
}

// 6951 5.4: when a translator gives the peer a new UDP port, that is a path to be proved by a nonce; then data goes there.
func TestRFC6951ChangedPort(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.ep.cfg.Locals, n.b.ep.cfg.Locals = aLocals[:1], bLocals[:1]
	n.connect()
	n.advance(time.Second)
	rebound := addrPort("10.1.0.1:6001") // a sends from there from now on, and is reached nowhere else
	n.a.ep.cfg.Locals = []netip.AddrPort{rebound}
	proved := false
	n.drop = func(s *side, on Pair, b []byte) bool {
		to, as := n.b, Pair{bLocals[0], rebound}
		if s == n.b {
			to, as = n.a, onPath1
			if on.Remote != rebound {
				return true
			}
			if has(b, wire.TypeData) && !proved {
				t.Errorf("DATA to a port that was not proved: %s", wire.Text(b))
			}
		}
		proved = proved || s == n.a && has(b, wire.TypeHeartbeatAck)
		n.queue = append(n.queue, transit{n.now.Add(n.delay), to, as, b})
		return true
	}
	for range 5 {
		n.send(n.a, 1, 1, 100)
		n.send(n.b, 2, 1, 100)
		n.advance(500 * time.Millisecond)
	}
	n.wantMessages(n.b, time.Second, 5, 100)
	n.wantMessages(n.a, time.Second, 5, 100)
	if p := n.b.assoc.paths.current; p.pair.Remote != rebound || !proved {
		t.Errorf("data goes to %v, proved %v", p.pair.Remote, proved)
	}
	n.wantNoEvent(n.a, EventClosed)
}

// 12.2.4.1: an INIT ACK with a host name is answered by an ABORT.
//
//rfc:9260 12.2.4.1-1
func TestRFC9260HostNameInInitAck(t *testing.T) {
	for _, params := range []string{"p000b=6100 p0007=00112233", "p0007=00112233 p000b=6100"} {
		s := newRFCSetup(t)
		p := s.reach("COOKIE-WAIT")
		s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 %s}", p.local, rfcTag, params)
		a := s.only("ABORT")
		s.tagged(a, rfcTag, false)
		if !slices.Equal(a.causes, []uint16{5}) {
			t.Errorf("causes %v: %s", a.causes, a.text)
		}
		s.none()
		s.is("CLOSED")
	}
}

// 12.4, 8.3: what answers the chunks of one packet shares one packet; each HEARTBEAT is answered.
//
//rfc:9260 12.4-2
func TestRFC9260AnswersShareAPacket(t *testing.T) {
	const (
		beat, unknown = "HEARTBEAT{info=0001020304050607}", "CHUNK-c5{value=00}"
		data          = "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=6869}"
		stray         = "DATA{flags=BE tsn=100 sid=900 ssn=0 ppid=0 data=6869}"
	)
	for chunks, want := range map[string][]string{
		beat + beat:                      {"HEARTBEAT-ACK", "HEARTBEAT-ACK"},
		beat + unknown:                   {"HEARTBEAT-ACK", "ERROR"},
		unknown + beat:                   {"HEARTBEAT-ACK", "ERROR"},
		unknown + data + beat:            {"HEARTBEAT-ACK", "ERROR", "SACK"},
		stray + beat:                     {"HEARTBEAT-ACK", "ERROR", "SACK"},
		"cookie" + beat + unknown + data: {"COOKIE-ACK", "HEARTBEAT-ACK", "ERROR", "SACK"},
	} {
		s := newRFCSetup(t)
		p := s.reach("ESTABLISHED")
		if rest, ok := strings.CutPrefix(chunks, "cookie"); ok {
			chunks = fmt.Sprintf("COOKIE-ECHO{value=%s} %s", p.ack.cookie, rest)
		}
		s.send("4000>5000 tag=%08x %s", p.local, chunks)
		if got := s.next(); !slices.Equal(got.chunks, want) {
			t.Errorf("%s\nis answered by %v, want %v", chunks, got.chunks, want)
		}
		s.none()
	}
}

// 14.1: the keys of State Cookies are 32 random octets, others at each endpoint and after each change.
//
//rfc:9260 14.1-1
func TestRFC9260CookieKeys(t *testing.T) {
	seen := map[[32]byte]bool{{}: true}
	for seed := range uint64(20) {
		e := NewEndpoint(1e9, Config{}, rand.NewPCG(seed, 1))
		for now := Time(1e9); now < 10*Time(keyLife); now = now.Add(keyLife) {
			e.jar.rotate(now, e.rng)
			if k := e.jar.keys[0]; seen[k] {
				t.Fatalf("seed %d: key %x was there before", seed, k)
			} else {
				seen[k] = true
			}
		}
		if e.jar.keys[0] == e.jar.keys[1] {
			t.Errorf("seed %d: both keys are the same", seed)
		}
	}
}
