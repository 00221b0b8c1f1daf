package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// advInit is an INIT or INIT ACK with parameters as they are.
func advInit(typ wire.ChunkType, params []byte) []byte {
	b := wire.AppendInit(nil, typ, wire.Init{Tag: rfcTag, ARwnd: 65536, OutStreams: 10, InStreams: 10, TSN: rfcTSN})
	b = append(b, params...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// A last parameter that is cut, or whose length lies, makes INIT and INIT ACK vanish: what is checked and what is used ends
// at the same octet (CVE-2019-20503, CVE-2026-15422, usrsctp 256, 351, 352).
func TestAdvisoryPartialParameters(t *testing.T) {
	first := wire.AppendParam(wire.AppendAddrParam(nil, peerA.Addr()), wire.ParamStateCookie, []byte("cookie12"))
	for _, last := range [][]byte{
		wire.AppendAddrParam(nil, peerB.Addr()), wire.AppendAddrParam(nil, netip.MustParseAddr("2001:db8::1")),
		wire.AppendParam(nil, wire.ParamStateCookie, make([]byte, 8)), wire.AppendParam(nil, 0xC123, make([]byte, 4)),
		wire.AppendParam(nil, wire.ParamHMAC, []byte{0, 3, 0, 1}), wire.AppendParam(nil, wire.ParamAdaptation, make([]byte, 4)),
	} {
		var bad [][]byte
		for n := 1; n < len(last); n++ {
			bad = append(bad, last[:n:n])
		}
		for _, length := range []uint16{0, 1, 2, 3, uint16(len(last) + 1), 65535} {
			lie := bytes.Clone(last)
			binary.BigEndian.PutUint16(lie[2:], length)
			bad = append(bad, lie)
		}
		s, d := newRFCSetup(t), newRFCSetup(t)
		local := d.reach("COOKIE-WAIT").local
		before := d.snap()
		for _, v := range bad {
			s.advRaw(0, advInit(wire.TypeInit, append(bytes.Clone(first), v...)))
			s.none()
			d.advRaw(local, advInit(wire.TypeInitAck, append(bytes.Clone(first), v...)))
			d.none()
			d.same(before, fmt.Sprintf("INIT ACK that ends with %x", v))
		}
		s.advRaw(0, advInit(wire.TypeInit, append(bytes.Clone(first), last...)))
		s.only("INIT-ACK")
		d.advRaw(local, advInit(wire.TypeInitAck, append(bytes.Clone(first), last...)))
		d.first("COOKIE-ECHO")
	}
}

// Parameters of chunk and key negotiation, of any length, are read over (CVE-2026-68376, CVE-2026-68320, usrsctp 8789a6da).
func TestAdvisoryAuthParameters(t *testing.T) {
	for _, typ := range []wire.ParamType{wire.ParamRandom, wire.ParamChunks, wire.ParamHMAC, wire.ParamSupportedExt} {
		for _, n := range []int{0, 1, 2, 3, 31, 32, 33, 255, 256, 257, 20000} {
			s := newRFCSetup(t)
			params := wire.AppendParam(nil, typ, bytes.Repeat([]byte{0xc1}, n))
			s.advRaw(0, advInit(wire.TypeInit, params[:4+n]))
			s.echo(s.only("INIT-ACK"))
			s.only("COOKIE-ACK")
			s.is("ESTABLISHED")
		}
	}
}

// The largest INIT that UDP carries gets a small answer and leaves nothing; an INIT ACK of that size makes no larger packet
// (CVE-2010-1173, CVE-2018-5803, CVE-2019-3874, CVE-2026-99758, Solaris CVE-2007-5726).
//
//rfc:9260 12.4-5
func TestAdvisoryHugeSetup(t *testing.T) {
	const room = (65507 - wire.HeaderLen - 20) &^ 3
	for name, param := range map[string][]byte{
		"one":       wire.AppendParam(nil, 0xC123, make([]byte, room-4)),
		"unknown":   wire.AppendParam(nil, 0xC123, nil),
		"odd":       wire.AppendParam(nil, 0xC123, []byte{1}),
		"stop":      wire.AppendParam(nil, 0x4123, nil),
		"addresses": wire.AppendAddrParam(nil, peerB.Addr()),
		"cookie":    wire.AppendParam(nil, wire.ParamStateCookie, make([]byte, room-4)),
	} {
		params := bytes.Repeat(param, room/len(param))
		s := newRFCSetup(t)
		s.advRaw(0, advInit(wire.TypeInit, params))
		if m := s.next(); len(m.chunks) != 1 || len(s.ep.replies) != 0 || s.assoc != nil {
			t.Errorf("%s: %s", name, m.text)
		}
		s.none()
		e := newListener()
		p := append(wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000}), advInit(wire.TypeInit, params)...)
		wire.SetChecksum(p)
		e.Handle(1e9, client, p, nil)
		if b, _, ok := e.Poll(1e9, nil); !ok || len(b) > maxInitAck {
			t.Errorf("%s: the answer has %d octets", name, len(b))
		}
		d := newRFCSetup(t)
		local := d.reach("COOKIE-WAIT").local
		d.advRaw(local, advInit(wire.TypeInitAck, params))
		for _, m := range d.sent {
			if len(m.text) > 2*65507+100 {
				t.Errorf("%s: an answer of %d octets", name, len(m.text)/2)
			}
		}
	}
}

// Whatever follows a COOKIE ECHO in its packet, new, again, after a restart or in a collision, is handled with what is there
// then. Nothing lingers, and the peer can begin anew (CVE-2013-2206, CVE-2021-46999, CVE-2025-40187, CVE-2026-74588 and its
// kin: COOKIE ECHO, SHUTDOWN and SHUTDOWN ACK in one packet).
func TestAdvisoryCookieEchoBundles(t *testing.T) {
	tails := map[string]string{ // and the state of a new association behind them
		"SHUTDOWN{cum=CUM} SHUTDOWN-ACK{}": "SHUTDOWN-ACK-SENT", "SHUTDOWN-ACK{} SHUTDOWN{cum=CUM}": "SHUTDOWN-ACK-SENT",
		"SHUTDOWN-ACK{}": "ESTABLISHED", "SHUTDOWN-COMPLETE{}": "ESTABLISHED", "ABORT{}": "CLOSED",
		"SHUTDOWN{cum=CUM} DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=78} ABORT{}": "CLOSED",
		"DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=} SHUTDOWN-ACK{}":              "CLOSED",
		"COOKIE-ECHO{value=SAME} SHUTDOWN{cum=CUM}":                                    "SHUTDOWN-ACK-SENT",
		"INIT-ACK{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=7 p0007=00}":                 "ESTABLISHED",
		"ERROR{c0003=00000000} DATA{flags=BE tsn=9000 sid=0 ssn=0 ppid=0 data=78}":     "ESTABLISHED",
		"COOKIE-ACK{} SACK{cum=CUM rwnd=0}":                                            "ESTABLISHED",
		rfcInit:                                                                        "ESTABLISHED",
		"CHUNK-45{value=00}":                                                           "ESTABLISHED",
	}
	for _, state := range append([]string{"CLOSED"}, rfcAll...) {
		for _, again := range []bool{false, true} {
			for tail, want := range tails {
				s := newRFCSetup(t)
				p := s.reach(state)
				ack := p.ack
				if !again || ack.cookie == "" {
					if s.sendINIT(rfcNewTag, 9000, ""); len(s.sent) == 0 || s.sent[0].cookie == "" {
						continue // no cookie in this state
					}
					ack = s.next()
				}
				s.skip()
				rest := strings.NewReplacer("CUM", fmt.Sprint(ack.init.TSN-1), "SAME", ack.cookie).Replace(tail)
				s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rest)
				if state == "CLOSED" {
					s.is(want)
				}
				s.send("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rest)
				if s.advance(time.Minute); s.state() != "CLOSED" {
					s.abort()
				}
				s.skip()
				s.open(0x77777777, 7, "")
			}
		}
	}
}

// A cookie that was sealed here and means nonsense makes nothing, or an association that keeps its invariants; what is
// truncated or says another number of addresses than it holds makes nothing (CVE-2026-53224, CVE-2026-53246, CVE-2026-72398).
func TestAdvisoryCookieContents(t *testing.T) {
	e := newListener()
	echo, _, _ := wire.NextChunk(cookieEcho(t, e, 1e9, client)[wire.HeaderLen:])
	good := echo.Value[:len(echo.Value)-cookieMACLen]
	takes := func(body []byte) bool {
		tag := uint32(0)
		if len(body) >= 50 {
			tag = binary.BigEndian.Uint32(body[46:])
		}
		p := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: wire.Tag(tag)})
		p = wire.AppendChunk(p, wire.TypeCookieEcho, 0, append(bytes.Clone(body), cookieMAC(&e.jar.keys[0], body)...))
		wire.SetChecksum(p)
		a, _ := e.Handle(1e9, client, p, nil)
		for _, ok := e.advPoll(); ok; _, ok = e.advPoll() {
		}
		if a != nil {
			_ = a.Send(1e9, Message{Data: []byte("x")})
			drain(t, a, 1e9)
			a.Expire(5e9)
			drain(t, a, 5e9)
		}
		return a != nil
	}
	for n := range len(good) {
		if takes(good[:n]) {
			t.Errorf("cut to %d octets", n)
		}
	}
	for n := range 256 {
		body := bytes.Clone(good)
		body[1] = byte(n)
		if takes(body) != (n == 0) {
			t.Errorf("%d addresses, none there", n)
		}
		if body = append(body, make([]byte, 16*n)...); n > 0 && takes(body) != (n <= maxPeerAddrs) {
			t.Errorf("%d addresses of zeros", n)
		}
		if takes(append(bytes.Clone(good), make([]byte, n)...)) && n > 0 {
			t.Errorf("%d octets too many", n)
		}
	}
	for _, made := range []int64{1e9 - 15e9 - 1, 1e9 + 1, math.MaxInt64} {
		body := bytes.Clone(good)
		binary.BigEndian.PutUint64(body[2:], uint64(made))
		if takes(body) {
			t.Errorf("made at %d", made)
		}
	}
	for i := range good {
		for _, v := range []byte{0, 0x7f, 0x80, 0xff} {
			body := bytes.Clone(good)
			body[i] = v
			takes(body)
		}
	}
}

// A cookie and the chunk around it are made of what the INIT said, the time and random numbers: no octet of old memory, and
// nothing that the peer of an association that is there could not know (CVE-2013-5209, CVE-2020-6514).
func TestAdvisoryCookieAudit(t *testing.T) {
	answer := func(before ...string) (*Endpoint, []byte) {
		e := NewEndpoint(1e9, Config{Port: 5000, Accept: true, List: []netip.Addr{bLocals[0].Addr()}}, rand.NewPCG(1, 2))
		for _, text := range append(before, goodInit) {
			e.rng = rand.New(rand.NewPCG(3, 4)) // the same numbers for each
			e.Handle(1e9, client, advPacket(t, strings.TrimPrefix(text, "4000>5000 tag=00000000 ")), nil)
		}
		var b []byte
		for out, ok := e.advPoll(); ok; out, ok = e.advPoll() {
			b = out
		}
		return e, b
	}
	_, first := answer()
	long := "INIT{tag=ffffffff rwnd=4294967295 os=65535 is=65535 tsn=4294967295" + strings.Repeat(" addr=255.254.253.252 pc123=ffffffffffffff", 8) + "}"
	e, second := answer(long, long, long)
	if !bytes.Equal(first, second) {
		t.Errorf("the same question gets\n%x and\n%x", first, second)
	}
	c, _, _ := wire.NextChunk(second[wire.HeaderLen:])
	in, _ := wire.ParseInit(c)
	s, _ := parseSetup(in.Params)
	cookie, v := e.jar.open(1e9, s.cookie)
	if again := e.jar.seal(&cookie); v != cookieGood || !bytes.Equal(again, s.cookie) {
		t.Errorf("octets of the cookie that mean nothing:\n%x\n%x", s.cookie, again)
	}
	d := newRFCSetup(t)
	p := d.reach("ESTABLISHED")
	told, _ := hex.DecodeString(d.ask(rfcNewTag, 9000, "").cookie)
	for name, secret := range map[string]uint32{"own tag": p.local, "peer's tag": rfcTag, "own TSN": p.ltsn} {
		if bytes.Contains(told, binary.BigEndian.AppendUint32(nil, secret)) {
			t.Errorf("the cookie tells the %s of the association that is there: %x", name, told)
		}
	}
	for _, k := range d.ep.jar.keys {
		if bytes.Contains(told, k[:8]) {
			t.Error("the cookie tells a key")
		}
	}
}

// advPoll is Poll without time and pair, which do not matter here.
func (e *Endpoint) advPoll() ([]byte, bool) {
	b, _, ok := e.Poll(1e9, nil)
	return b, ok
}

// MACs are compared in constant time: by hmac.Equal only (CVE-2025-40204).
func TestAdvisoryConstantTime(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "cookie.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			calls[fmt.Sprint(s.X, ".", s.Sel)]++
		}
		return true
	})
	if calls["hmac.Equal"] != 2 || calls["bytes.Equal"]+calls["slices.Equal"]+calls["reflect.DeepEqual"] != 0 {
		t.Errorf("calls in cookie.go: %v", calls)
	}
}

// An association that its peer makes and aborts at once leaves nothing, ten thousand times (CVE-2014-4667).
func TestAdvisoryAcceptAndAbort(t *testing.T) {
	const cycles, every = 10_000, 10 * time.Millisecond
	e, now := newListener(), Time(1e9)
	for range cycles {
		echo := cookieEcho(t, e, now, client)
		a, _ := e.Handle(now, client, echo, nil)
		if a == nil {
			t.Fatal("refused")
		}
		abort := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: a.tag})
		abort = wire.AppendError(abort, wire.TypeAbort, 0, nil)
		wire.SetChecksum(abort)
		if a.Handle(now, client, abort); !a.Closed() || len(a.replies) > 0 {
			t.Fatal("an ABORT does not end it")
		}
		now = now.Add(every)
	}
	if used, most := len(e.jar.used), int(e.jar.life/every)+2; used > most || len(e.replies) > 0 || e.Stats().Accepted != cycles {
		t.Errorf("%d cookies, at most %d, and %d replies are kept; %d accepted", used, most, len(e.replies), e.Stats().Accepted)
	}
}

// Both ends begin, at any distance in time and whatever packet is lost: they agree on one association (CVE-2014-5077,
// CVE-2015-1421).
func TestAdvisorySimultaneousOpen(t *testing.T) {
	for ms := 0; ms <= 20; ms += 4 {
		for lost := -1; lost < 8; lost++ {
			n := newPair(t, Config{}, Config{})
			sent := -1
			n.drop = func(*side, Pair, []byte) bool { sent++; return sent == lost }
			n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
			n.advance(time.Duration(ms) * time.Millisecond)
			if n.b.assoc == nil {
				n.b.assoc = n.b.ep.Dial(n.now, []Pair{{bLocals[0], aLocals[0]}}, 5000, 4000)
			}
			n.advance(5 * time.Second)
			a, b := n.a.assoc, n.b.assoc
			if !a.Established() || !b.Established() || a.tag != b.peer.tag || b.tag != a.peer.tag {
				t.Fatalf("%d ms, packet %d lost: states %d and %d\n%s", ms, lost, a.state, b.state, n.trace())
			}
			n.send(n.a, 1, 2, 100)
			n.send(n.b, 2, 2, 100)
			n.wantMessages(n.b, time.Second, 2, 100)
			n.wantMessages(n.a, time.Second, 2, 100)
			n.wantNoEvent(n.a, EventClosed)
			n.wantNoEvent(n.b, EventClosed)
		}
	}
}

// A stale cookie is reported in any length and company: the handshake begins anew, nothing that came along counts, and the
// old answers are worth nothing (CVE-2026-64551, CVE-2026-52924, CVE-2026-98548).
func TestAdvisoryStaleCookie(t *testing.T) {
	const data = "DATA{flags=BE tsn=101 sid=0 ssn=0 ppid=0 data=6869}" // TSN 100 would say what COOKIE ACK says
	for _, cause := range []string{"", "00", "0000", "000000", "00000000", "ffffffff", "0000000000"} {
		for _, packet := range []string{"STALE", "STALE " + data, data + " STALE", "STALE COOKIE-ACK{} " + data, "ERROR{c0001=00000000} STALE"} {
			packet = strings.ReplaceAll(packet, "STALE", "ERROR{c0003="+cause+"}")
			s := newRFCSetup(t)
			p := s.reach("COOKIE-ECHOED")
			s.send("4000>5000 tag=%08x %s", p.local, packet)
			if s.is("COOKIE-WAIT"); len(s.received()) > 0 || s.made() > 0 {
				t.Errorf("%s: received %q, made %d", packet, s.received(), s.made())
			}
			i := s.only("INIT").init
			if s.none(); i.Tag == p.local {
				t.Errorf("%s: the tag is not new", packet)
			}
			s.send("4000>5000 tag=%08x COOKIE-ACK{} %s", p.local, data)
			s.is("COOKIE-WAIT")
			s.skip()
			s.sendINITACK(i.Tag, rfcNewTag, 9000)
			s.first("COOKIE-ECHO")
			s.send("4000>5000 tag=%08x COOKIE-ACK{}", i.Tag)
			s.usable(i.Tag, rfcNewTag, 9000, i.TSN)
		}
	}
}

// What a peer asks for in a Cookie Preservative does not prolong a cookie's life (usrsctp f4925bd5).
func TestAdvisoryCookiePreservative(t *testing.T) {
	for _, ms := range []string{"00000000", "00007530", "7fffffff", "80000000", "ffffffff"} {
		s := newRFCSetup(t)
		ack := s.ask(rfcTag, rfcTSN, " p0009="+ms)
		s.advance(15*time.Second + time.Millisecond)
		s.echo(ack)
		s.only("ERROR")
		s.is("CLOSED")
	}
}

// A peer that restarts with fewer streams has those: what waits on others goes with the old association (CVE-2026-52929).
func TestAdvisoryRestartWithFewerStreams(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	for sid := range wire.StreamID(10) {
		for range 5 {
			if err := s.assoc.Send(s.now, Message{Stream: sid, Data: make([]byte, 1000)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.settle()
	s.skip()
	s.send("4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=1 is=1 tsn=9000}", rfcNewTag)
	ack := s.only("INIT-ACK")
	old := s.assoc
	s.echo(ack)
	s.first("COOKIE-ACK")
	s.counts(2, 1, 0)
	if p := s.assoc.Peer(); !old.Closed() || p.OutStreams != 1 || p.InStreams != 1 || s.assoc.outstanding() {
		t.Errorf("%+v", p)
	}
	if err := s.assoc.Send(s.now, Message{Stream: 1, Data: []byte("x")}); !errors.Is(err, ErrStream) {
		t.Errorf("Send on stream 1: %v", err)
	}
	old.Handle(s.now, Pair{bLocals[0], peerA}, advPacket(t, "SACK{cum=1 rwnd=1}"))
	old.Expire(s.now.Add(time.Hour))
	if _, _, ok := old.Poll(s.now.Add(time.Hour), nil); ok {
		t.Error("the old association goes on sending")
	}
	s.usable(ack.init.Tag, rfcNewTag, 9000, ack.init.TSN)
}

// A restart by a cookie that comes again and again happens once (CVE-2021-46999).
func TestAdvisoryRestartOnce(t *testing.T) {
	for _, times := range []int{1, 3} {
		s := newRFCSetup(t)
		p := s.reach("ESTABLISHED")
		ack := s.ask(rfcNewTag, 9000, "")
		for range times {
			s.echo(ack)
			s.tagged(s.first("COOKIE-ACK"), rfcNewTag, false)
			s.counts(2, 1, 0)
			s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", p.local, p.ack.cookie)
		}
		s.usable(ack.init.Tag, rfcNewTag, 9000, ack.init.TSN)
		s.abort()
		s.skip()
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
	}
}

// Addresses that a peer lists get nothing at all as long as nobody permits them, and keep nobody who has them from an
// association of his own (RFC 5062 sections 2, 5 and 6).
func TestAdvisoryListedVictims(t *testing.T) {
	var victims []netip.Addr
	for i := range byte(maxPeerAddrs) {
		victims = append(victims, netip.AddrFrom4([4]byte{10, 1, 0, 100 + i}))
	}
	n := newPair(t, Config{List: victims}, Config{})
	n.connect()
	n.drop = silent(onPath1, onPath2)
	n.send(n.b, 1, 50, 1000)
	n.advance(5 * time.Minute)
	if len(n.b.assoc.Peer().Listed) != maxPeerAddrs {
		t.Errorf("%v", n.b.assoc.Peer().Listed)
	}
	if c := n.count(n.b, func(on Pair, _ []byte) bool { return slices.Contains(victims, on.Remote.Addr()) }); c > 0 {
		t.Errorf("%d packets to addresses that were only listed", c)
	}
	s := newRFCSetup(t)
	p := s.open(rfcTag, rfcTSN, " addr=10.1.0.1 addr=10.2.0.1").init
	camper := s.assoc
	s.sendFrom(peerB, "4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=10 tsn=9000}", rfcNewTag)
	ack := s.only("INIT-ACK")
	s.sendFrom(peerB, "4000>5000 tag=%08x COOKIE-ECHO{value=%s}", ack.init.Tag, ack.cookie)
	s.first("COOKIE-ACK")
	s.counts(2, 0, 0)
	if uint32(camper.tag) != p.Tag || !camper.Established() || s.localTag() == p.Tag {
		t.Error("the two associations are not apart")
	}
}
