package engine

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// sec5Cookie decodes the cookie of an INIT ACK.
func sec5Cookie(t *testing.T, ack seen) (c stateCookie, raw []byte) {
	t.Helper()
	raw, err := hex.DecodeString(ack.cookie)
	if err != nil || len(raw) < cookieMACLen || !c.decode(raw[:len(raw)-cookieMACLen]) {
		t.Fatalf("cookie %s: %v", ack.cookie, err)
	}
	return c, raw
}

// 5.1.3: a cookie ends with its HMAC-SHA-256 under the present key.
//
//rfc:9260 5.1.3-1 5.1.3-3
func TestRFC9260SetupCookieMAC(t *testing.T) {
	s := newRFCSetup(t)
	_, raw := sec5Cookie(t, s.ask(rfcTag, rfcTSN, ""))
	m := hmac.New(sha256.New, s.ep.jar.keys[0][:])
	m.Write(raw[:len(raw)-sha256.Size])
	if !bytes.Equal(raw[len(raw)-sha256.Size:], m.Sum(nil)) {
		t.Errorf("%x does not end with its MAC", raw)
	}
}

// 5.1.3: keys come from the random source: what one endpoint signed another does not take.
//
//rfc:9260 5.1.3-4
func TestRFC9260SetupCookieKeysAreRandom(t *testing.T) {
	other, s := newRFCSetup(t), newRFCSetup(t)
	s.ep = NewEndpoint(s.now, s.ep.cfg, rand.NewPCG(7, 8))
	theirs, ours := other.ask(rfcTag, rfcTSN, ""), s.ask(rfcTag, rfcTSN, "")
	s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", theirs.init.Tag, theirs.cookie)
	if n := s.ep.Stats().ForgedCookies; n != 1 {
		t.Errorf("%d forged cookies", n)
	}
	s.echo(ours)
	s.is("ESTABLISHED")
}

// 5.1.3, 5.1.5: keys change each minute; the one before is kept for a minute, and what it signed is known as stale.
// After that the cookie and its DATA are dropped without a word.
//
//rfc:9260 5.1.3-5 5.1.5-1
func TestRFC9260SetupCookieKeysChange(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	for _, want := range []EndpointStats{{StaleCookies: 1}, {StaleCookies: 1, ForgedCookies: 1}} {
		key := s.ep.jar.keys[0]
		s.advance(keyLife + time.Second)
		s.ask(rfcNewTag, 9000, "")
		if s.ep.jar.keys[0] == key {
			t.Error("the key is the same after its life")
		}
		s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi)
		if got := s.ep.Stats(); got.StaleCookies != want.StaleCookies || got.ForgedCookies != want.ForgedCookies {
			t.Errorf("stale %d, forged %d; want %d, %d", got.StaleCookies, got.ForgedCookies, want.StaleCookies, want.ForgedCookies)
		}
		if want.ForgedCookies == 0 {
			s.only("ERROR")
		}
		s.none()
		s.is("CLOSED")
	}
}

// 5.2.1, 5.2.2: from COOKIE-ECHOED on the cookie for an unexpected INIT has the association's Tie-Tags, which are not its
// tags; before that they are 0.
//
//rfc:9260 5.2.1-12 5.2.2-5 5.2.2-10
func TestRFC9260SetupTieTags(t *testing.T) {
	rfcEach(t, append([]string{"CLOSED", "COOKIE-WAIT", "COOKIE-ECHOED"}, rfcRestartable...), func(s *rfcSetup, p rfcPlace) {
		state := s.state()
		c, _ := sec5Cookie(s.t, s.ask(rfcNewTag, 9000, ""))
		if state == "CLOSED" || state == "COOKIE-WAIT" {
			if c.ties != (tieTags{}) {
				s.t.Errorf("Tie-Tags %08x in %s", c.ties, state)
			}
			return
		}
		x := c.ties
		if x != s.assoc.TCB().ties || x.local == 0 || x.peer == 0 || uint32(x.local) == p.local || uint32(x.peer) == p.peer {
			s.t.Errorf("Tie-Tags %08x, TCB has %08x, tags are %08x and %08x", x, s.assoc.TCB().ties, p.local, p.peer)
		}
	})
}

// 5.1.3: the cookie for a restart, which anybody can read, does not tell the tags of the association that there is.
//
//rfc:9260 5.1.3-6
func TestRFC9260SetupCookieTellsNoTags(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	_, raw := sec5Cookie(t, s.ask(rfcNewTag, 9000, ""))
	for _, tag := range []uint32{p.local, p.peer} {
		if bytes.Contains(raw, binary.BigEndian.AppendUint32(nil, tag)) {
			t.Errorf("the cookie holds tag %08x", tag)
		}
	}
	if !bytes.Contains(raw, binary.BigEndian.AppendUint32(nil, rfcNewTag)) {
		t.Error("it does not hold the tag of the new INIT either: the test shows nothing")
	}
}

// 5.2.2: each INIT ACK for an association that is up has another tag.
//
//rfc:9260 5.2.2-7
func TestRFC9260SetupRestartTags(t *testing.T) {
	s := newRFCSetup(t)
	tags := map[uint32]bool{s.reach("ESTABLISHED").local: true}
	for range 20 {
		tags[s.ask(rfcNewTag, 9000, "").init.Tag] = true
	}
	if len(tags) != 21 {
		t.Errorf("%d tags of 21 differ", len(tags))
	}
}

// 5.2.1, 5.2.2: the ABORT for an INIT that adds addresses names exactly these, and the set-up under way goes on.
//
//rfc:9260 5.2.1-7 5.2.1-8 5.2.1-9 5.2.2-3 5.2.2-4
func TestRFC9260SetupAddedAddressesNamed(t *testing.T) {
	rfcEach(t, append([]string{"COOKIE-ECHOED"}, rfcRestartable...), func(s *rfcSetup, p rfcPlace) {
		state := s.state()
		s.sendINIT(rfcNewTag, 9000, " addr=10.1.0.1 addr=10.2.0.1 p0006="+sec5V6)
		a := s.only("ABORT")
		if !slices.Equal(a.causes, []uint16{11}) || a.cause[0] != "000500080a020001"+"00060014"+sec5V6 {
			s.t.Errorf("causes %v %v", a.causes, a.cause)
		}
		if state == "COOKIE-ECHOED" {
			s.advance(time.Second)
			s.only("COOKIE-ECHO")
			s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
			s.usable(p.local, rfcTag, rfcTSN, p.ltsn)
		}
	})
}

// 5.2.1: the answer to a colliding INIT repeats what L's INIT said even when that INIT takes fewer streams.
//
//rfc:9260 5.2.1-1 5.2.1-6
func TestRFC9260SetupCollisionKeepsStreams(t *testing.T) {
	for _, echoed := range []bool{false, true} {
		s := newRFCSetup(t)
		s.dial()
		want := s.only("INIT").init
		if echoed {
			s.sendINITACK(want.Tag, rfcTag, rfcTSN)
			s.only("COOKIE-ECHO")
		}
		s.send("4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=1 is=1 tsn=7}", rfcNewTag)
		if got := s.only("INIT-ACK").init; got != want {
			t.Errorf("echoed %v: INIT-ACK %+v, INIT was %+v", echoed, got, want)
		}
	}
}

// 5.2.1: INIT ACK in a collision goes to the source of the INIT when L dialled that address, else to nobody.
//
//rfc:9260 5.2.1-2 5.2.1-3 5.2.1-4 5.2.1-5
func TestRFC9260SetupCollisionDestination(t *testing.T) {
	s := newRFCSetup(t)
	s.dialBoth()
	for _, from := range []netip.AddrPort{peerA, peerB} {
		s.sendFrom(from, "4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=10 tsn=7}", rfcNewTag)
		if ack := s.only("INIT-ACK"); ack.to != from || ack.init.Tag != s.localTag() {
			t.Errorf("INIT-ACK to %v: %s", ack.to, ack.text)
		}
		s.none()
	}
	rfcEach(t, []string{"COOKIE-WAIT", "COOKIE-ECHOED"}, func(s *rfcSetup, p rfcPlace) {
		init, err := wire.ParseText(goodInit)
		if err != nil {
			s.t.Fatal(err)
		}
		before := s.snap()
		s.ep.Handle(s.now, sec5OnB, init, s.assoc.TCB())
		s.settle()
		s.none()
		s.same(before, "INIT from an address that was not dialled")
	})
}

// 5.4: an INIT ACK from an address that L did not dial gets no COOKIE ECHO; COOKIE ECHO goes where L dialled, each time.
//
//rfc:9260 5.4-5 5.4-6
func TestRFC9260SetupCookieEchoDestination(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	for _, from := range []netip.AddrPort{peerB, addrPort("10.1.0.1:6001"), addrPort("10.1.0.66:5001")} {
		before := s.snap()
		s.sendFrom(from, "4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=0011 addr=10.1.0.1}", p.local, rfcTag)
		s.none()
		s.same(before, "INIT-ACK from elsewhere")
	}
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=0011 addr=10.2.0.1}", p.local, rfcTag)
	s.advance(10 * time.Second)
	for len(s.sent) > 0 {
		if e := s.only("COOKIE-ECHO"); e.to != peerA {
			t.Errorf("COOKIE-ECHO to %v", e.to)
		}
	}
}

// 5.4: whatever arrives from an address that is not confirmed, nothing but HEARTBEAT and its answer goes there; COOKIE
// ACK and what an association sends of itself do not either.
//
//rfc:9260 5.4-2 5.4-3
func TestRFC9260SetupUnconfirmedGetsProbesOnly(t *testing.T) {
	chunks := func(p rfcPlace) []string {
		return append(rfcOrdinary(p), "SHUTDOWN-ACK{}", "DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=}", "COOKIE-ECHO{value="+p.ack.cookie+"}")
	}
	answered := 0
	for i := range chunks(rfcPlace{}) {
		rfcEach(t, []string{"ESTABLISHED", "SHUTDOWN-SENT", "SHUTDOWN-RECEIVED"}, func(s *rfcSetup, p rfcPlace) {
			chunk := chunks(p)[i]
			s.assoc.Permit(s.now, []netip.Addr{peerB.Addr()})
			s.settle()
			if b := s.assoc.paths.find(sec5OnB); b == nil || b.confirmed() {
				s.t.Fatalf("path %+v: the rule cannot be tested", b)
			}
			for range 2 {
				if s.state() != "CLOSED" { // else it is out of the blue
					s.sendFrom(peerB, "4000>5000 tag=%08x %s", p.local, chunk)
				}
				if s.state() == "ESTABLISHED" {
					s.submit("x")
				}
				s.advance(1500 * time.Millisecond)
			}
			for _, m := range s.sent {
				if m.to.Addr() != peerB.Addr() {
					continue
				}
				if answered++; !slices.Equal(m.chunks, []string{"HEARTBEAT-ACK"}) {
					s.t.Errorf("answer to %s: %s", chunk, m.text)
				}
			}
		})
	}
	if answered == 0 {
		t.Error("no HEARTBEAT was answered: the test shows nothing")
	}
}

// 5.2.4 A: after a restart congestion control and the timeout are those of a new association.
//
//rfc:9260 5.2.4-5
func TestRFC9260SetupRestartBeginsSlowly(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	measure := func() [3]int64 {
		p := s.assoc.paths.current
		return [3]int64{int64(p.cc.cwnd), int64(p.cc.ssthresh), int64(p.rto.rto)}
	}
	fresh := measure()
	for range 10 {
		s.submit(strings.Repeat("x", 1000))
	}
	s.advance(1500 * time.Millisecond)
	s.skip()
	if got := measure(); got[0] == fresh[0] || got[1] == fresh[1] || got[2] == fresh[2] {
		t.Fatalf("a timeout changed %v to %v only", fresh, got)
	}
	s.open(rfcNewTag, 9000, "")
	if got := measure(); got != fresh {
		t.Errorf("window, threshold and timeout %v after the restart, were %v at first", got, fresh)
	}
}

// 5.3.1: a failover does not change the tags of an association, a new one with the same peer has new ones.
//
//rfc:9260 5.3.1-2 5.3.1-3
func TestRFC9260SetupTagsStay(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	used := map[wire.Tag]bool{}
	for range 3 {
		n.drop = nil
		n.connect()
		tags := map[string]wire.Tag{"a": n.b.assoc.LocalTag(), "b": n.a.assoc.LocalTag()}
		n.seen, n.a.got, n.b.got, n.a.sent, n.b.sent = nil, nil, nil, nil, nil
		n.drop = silent(onPath1)
		n.send(n.a, 1, 30, 1000)
		n.send(n.b, 2, 30, 1000)
		n.wantMessages(n.b, 2*time.Second, 30, 1000)
		n.wantMessages(n.a, 2*time.Second, 30, 1000)
		n.a.assoc.Shutdown(n.now)
		n.advance(2 * time.Second)
		n.wantEvent(n.a, EventFailover)
		for _, p := range n.seen {
			if h, _ := wire.ParseHeader(p.data); h.Tag != tags[p.from] {
				t.Fatalf("%s sends with tag %08x, was %08x: %s", p.from, h.Tag, tags[p.from], wire.Text(p.data))
			}
		}
		if used[tags["a"]] || used[tags["b"]] || !n.a.assoc.Closed() {
			t.Errorf("tags %08x were used before, or the end (%v) did not come", tags, n.a.assoc.Closed())
		}
		used[tags["a"]], used[tags["b"]] = true, true
	}
}
