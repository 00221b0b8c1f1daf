package engine

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// newListener returns an accepting endpoint on port 5000.
func newListener() *Endpoint {
	return NewEndpoint(1e9, Config{Port: 5000, Accept: true}, rand.NewPCG(1, 2))
}

// exchange hands an endpoint a packet in text form and returns its reply's.
func exchange(t *testing.T, e *Endpoint, now Time, on Pair, text string) string {
	t.Helper()
	p, err := wire.ParseText(text)
	if err != nil {
		t.Fatal(err)
	}
	e.Handle(now, on, p, nil)
	b, _, ok := e.Poll(now, nil)
	if !ok {
		return ""
	}
	if _, _, more := e.Poll(now, nil); more {
		t.Errorf("%s provokes more than one packet", text)
	}
	return wire.Text(b)
}

var (
	client = Pair{Local: addrPort("10.1.0.2:9899"), Remote: addrPort("10.1.0.1:5001")}

	goodInit = "4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=100}"
)

// RFC 9260 section 8.4, rule by rule.
//
//rfc:9260 3.1-1 3.1-2 6-3 8.4-1
func TestOutOfTheBlue(t *testing.T) {
	for packet, want := range map[string]string{
		"4000>5000 tag=00000007 ABORT{}":                                         "", // rule 2
		"4000>5000 tag=00000007 DATA{tsn=1 data=00} ABORT{}":                     "",
		"4000>5000 tag=00000007 SHUTDOWN-ACK{}":                                  "5000>4000 tag=00000007 SHUTDOWN-COMPLETE{flags=T}", // rule 5
		"4000>5000 tag=00000007 SHUTDOWN-COMPLETE{}":                             "",                                                  // rule 6
		"4000>5000 tag=00000007 COOKIE-ACK{}":                                    "",                                                  // rule 7
		"4000>5000 tag=00000007 ERROR{c0003=00000000}":                           "",
		"4000>5000 tag=00000007 DATA{flags=BE tsn=1 sid=0 ssn=0 ppid=0 data=00}": "5000>4000 tag=00000007 ABORT{flags=T}", // rule 8
		"4000>5000 tag=00000007 HEARTBEAT{info=0000000000000000}":                "5000>4000 tag=00000007 ABORT{flags=T}",
		"4000>5001 tag=00000007 DATA{tsn=1 data=00}":                             "5001>4000 tag=00000007 ABORT{flags=T}", // a port that a dial had
		"0>5000 tag=00000007 DATA{tsn=1 data=00}":                                "",                                      // no port at all
		"4000>5000 tag=00000007 COOKIE-ECHO{value=0102}":                         "",                                      // forged
	} {
		if got := exchange(t, newListener(), 1e9, client, packet); got != want {
			t.Errorf("%s\n got %s\nwant %s", packet, got, want)
		}
	}
	// Rule 1: "If the OOTB packet is to or from a non-unicast address, a
	// receiver SHOULD silently discard the packet."
	multicast := Pair{client.Local, addrPort("224.0.0.1:5001")}
	if got := exchange(t, newListener(), 1e9, multicast, "4000>5000 tag=00000007 SHUTDOWN-ACK{}"); got != "" {
		t.Errorf("an answer to a multicast address: %s", got)
	}
}

// Replies to what nobody asked for are limited: they could be a reflector.
func TestOutOfTheBlueRate(t *testing.T) {
	e := newListener()
	answers := 0
	for i := range 1000 {
		if exchange(t, e, Time(1e9+i*1e6), client, "4000>5000 tag=00000007 SHUTDOWN-ACK{}") != "" {
			answers++
		}
	}
	if answers > outOfTheBlueBurst+outOfTheBlueRate {
		t.Errorf("%d answers within a second", answers)
	}
}

// What an INIT must be (sections 3.3.2, 8.5.1 rule A).
//
//rfc:9260 3.3.2-3 3.3.2.1.4-2 5.1-15 5.1-16 5.1-17 5.1.2-2 12.2.4.1-1 12.3-2
func TestInitIsChecked(t *testing.T) {
	for packet, want := range map[string]string{
		"4000>5000 tag=00000001 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=1}":              "", // tag not zero (section 12.3)
		"4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=1} COOKIE-ACK{}": "", // not alone
		"4000>5000 tag=00000000 INIT{tag=00000000 rwnd=65536 os=10 is=10 tsn=1}":              "", // zero Initiate Tag
		"4000>5000 tag=00000000 INIT{value=00}":                                               "",
		"4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=0 is=10 tsn=1}":               "5000>4000 tag=0000000a ABORT{c0007=}",
		"4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=0 tsn=1}":               "5000>4000 tag=0000000a ABORT{c0007=}",
		"4000>5000 tag=00000000 INIT{tag=0000000a rwnd=1499 os=10 is=10 tsn=1}":               "5000>4000 tag=0000000a ABORT{c0007=}",
		"4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=1 p000b=6100}":   "5000>4000 tag=0000000a ABORT{c0005=" + hexText("host name parameter") + "}",
	} {
		if got := exchange(t, newListener(), 1e9, client, packet); got != want {
			t.Errorf("%s\n got %s\nwant %s", packet, got, want)
		}
	}
	silent := NewEndpoint(1e9, Config{Port: 5000}, rand.NewPCG(1, 2))
	if got := exchange(t, silent, 1e9, client, goodInit); got != "5000>4000 tag=0000000a ABORT{}" {
		t.Errorf("an endpoint that does not accept answers %s", got)
	}
}

func hexText(s string) string {
	const digits = "0123456789abcdef"
	out := ""
	for i := range len(s) {
		out += string(digits[s[i]>>4]) + string(digits[s[i]&15])
	}
	return out
}

// A flood of addresses or unknown parameters makes neither state nor a large
// answer (CVE-2010-1173, CVE-2026-99758).
//
//rfc:9260 3.2.2-1 12.4-5
func TestHostileInitParameters(t *testing.T) {
	addrs, unknown := "", ""
	for range maxListedParams + 1 {
		addrs += " addr=192.0.2.1"
	}
	for range 200 {
		unknown += " pc123=00112233"
	}
	base := "4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=1"
	if got := exchange(t, newListener(), 1e9, client, base+addrs+"}"); got != "5000>4000 tag=0000000a ABORT{c000d="+hexText("too many addresses")+"}" {
		t.Errorf("%d addresses: %s", maxListedParams+1, got)
	}
	e := newListener()
	p, err := wire.ParseText(base + unknown + "}")
	if err != nil {
		t.Fatal(err)
	}
	e.Handle(1e9, client, p, nil)
	b, _, ok := e.Poll(1e9, nil)
	if !ok || len(b) > maxInitAck {
		t.Errorf("the INIT ACK has %d octets", len(b))
	}
}

// cookieEcho runs an INIT against an endpoint and returns the COOKIE ECHO that
// would follow.
func cookieEcho(t *testing.T, e *Endpoint, now Time, on Pair) []byte {
	t.Helper()
	p, err := wire.ParseText(goodInit)
	if err != nil {
		t.Fatal(err)
	}
	e.Handle(now, on, p, nil)
	b, _, ok := e.Poll(now, nil)
	if !ok {
		t.Fatal("no INIT ACK")
	}
	c, _, _ := wire.NextChunk(b[wire.HeaderLen:])
	in, _ := wire.ParseInit(c)
	s, _ := parseSetup(in.Params)
	echo := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: in.Tag})
	echo = wire.AppendChunk(echo, wire.TypeCookieEcho, 0, s.cookie)
	wire.SetChecksum(echo)
	return echo
}

func accepts(e *Endpoint, now Time, on Pair, echo []byte) bool {
	made, _ := e.Handle(now, on, echo, nil)
	return made != nil
}

func TestCookieMakesOneAssociation(t *testing.T) {
	e := newListener()
	echo := cookieEcho(t, e, 1e9, client)
	if !accepts(e, 1e9, client, echo) {
		t.Fatal("a good cookie is refused")
	}
	for range 100 {
		if accepts(e, 2e9, client, echo) {
			t.Fatal("a cookie makes a second association")
		}
	}
}

// Every octet of the cookie, the ports, the addresses and the tag are bound
// (RFC 5062 section 7).
//
//rfc:9260 4-1 5.1.3-1
func TestCookieIsBound(t *testing.T) {
	e := newListener()
	echo := cookieEcho(t, e, 1e9, client)
	c, _, _ := wire.NextChunk(echo[wire.HeaderLen:])
	for i := range wire.HeaderLen + len(c.Raw) {
		if i >= 8 && i < 12 || i == 13 {
			continue // the checksum; flags, "ignored on receipt" (section 3.3.11)
		}
		bad := append([]byte(nil), echo...)
		bad[i] ^= 0x40
		wire.SetChecksum(bad)
		if accepts(e, 1e9, client, bad) {
			t.Errorf("octet %d is not bound", i)
		}
	}
	for _, on := range []Pair{
		{client.Local, addrPort("10.1.0.9:5001")}, {client.Local, addrPort("10.1.0.1:5002")},
		{addrPort("10.2.0.2:9899"), client.Remote}, {addrPort("10.1.0.2:9898"), client.Remote},
	} {
		if accepts(e, 1e9, on, echo) {
			t.Errorf("the cookie is taken over %v", on)
		}
	}
	if !accepts(e, 1e9, client, echo) {
		t.Error("the cookie itself is refused")
	}
}

// A cookie lives CookieLife, over one change of keys, and a stale one is
// answered so that the peer begins anew (section 5.1.5 rule 3).
//
//rfc:9260 4-2
func TestCookieLife(t *testing.T) {
	e := newListener()
	now := Time(1e9)
	for range 20 {
		if !accepts(e, now.Add(14*time.Second), client, cookieEcho(t, e, now, client)) {
			t.Fatalf("a cookie made at %v is refused 14 s later", now)
		}
		e.Poll(now, nil)
		now = now.Add(17 * time.Second)
	}
	echo := cookieEcho(t, e, now, client)
	made, _ := e.Handle(now.Add(16*time.Second), client, echo, nil)
	b, _, ok := e.Poll(now, nil)
	if made != nil || !ok || wire.Text(b) != "5000>4000 tag=0000000a ERROR{c0003=000f4240}" {
		t.Errorf("a stale cookie: made %v, answer %s", made != nil, wire.Text(b))
	}
	if accepts(e, now.Add(10*time.Minute), client, echo) {
		t.Error("a cookie outlives its keys")
	}
}

// Spoofed INITs cost no memory.
//
//rfc:9260 3.3.3.1.1-1 5.1-6
func TestInitsLeaveNothing(t *testing.T) {
	e := newListener()
	p, err := wire.ParseText(goodInit)
	if err != nil {
		t.Fatal(err)
	}
	for range 10_000 {
		e.Handle(1e9, client, p, nil)
	}
	if len(e.replies) > maxReplies || len(e.jar.order) != 0 {
		t.Errorf("%d replies, %d cookies are kept", len(e.replies), len(e.jar.order))
	}
}

// A COOKIE ECHO that comes again because our COOKIE ACK was lost is answered
// by the association that it made (section 5.2.4 action D).
func TestLostCookieAck(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	lost := 0
	n.drop = func(s *side, _ Pair, b []byte) bool {
		if s == n.b && has(b, wire.TypeCookieAck) && lost == 0 {
			lost++
			return true
		}
		return false
	}
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(3 * time.Second)
	n.wantEvent(n.a, EventEstablished)
	n.send(n.a, 1, 10, 100)
	n.wantMessages(n.b, time.Second, 10, 100)
}

// One packet with many questions gets one answer (RFC 5062 section 8).
func TestOneAnswerToAPacket(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: n.b.assoc.LocalTag()})
	for range 30 {
		b = wire.AppendHeartbeat(b, wire.TypeHeartbeat, make([]byte, 8))
	}
	wire.SetChecksum(b)
	n.b.assoc.Handle(n.now, Pair{bLocals[0], aLocals[0]}, b)
	if got := len(n.b.assoc.replies); got != 1 {
		t.Errorf("30 HEARTBEATs get %d answers", got)
	}
	n.b.assoc.replies = nil
	b = wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: n.b.assoc.LocalTag()})
	for range 50 {
		b = wire.AppendChunk(b, 0xFE, 0, make([]byte, 8))
	}
	wire.SetChecksum(b)
	n.b.assoc.Handle(n.now, Pair{bLocals[0], aLocals[0]}, b)
	if r := n.b.assoc.replies; len(r) != 1 || len(r[0].b) > len(b) {
		t.Errorf("50 unknown chunks get %d answers", len(r))
	}
}
