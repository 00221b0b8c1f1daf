package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// fmtUnknown are unknown parameters and those of them that are to be reported: the first bit of the type has the rest
// looked at, the second one asks for a report.
var fmtUnknown = []struct {
	params string
	want   []string
}{
	{" pc123=00112233", []string{"c123000800112233"}},
	{" p8123=00112233", nil},
	{" p8123=00112233 pc123=44556677 pc124=", []string{"c123000844556677", "c1240004"}},
	{" p4123=00112233 pc123=44556677", []string{"4123000800112233"}},
	{" p0123=00112233 pc123=44556677", nil},
}

// 3.2.2: the INIT ACK reports what was not understood in the INIT, as far as the types ask for it.
//
//rfc:9260 3.2.2-1 3.3.3.1.2-1
func TestRFC9260FormatUnknownInInit(t *testing.T) {
	for _, c := range fmtUnknown {
		if got := newRFCSetup(t).ask(rfcTag, rfcTSN, c.params).unrecognized; !slices.Equal(got, c.want) {
			t.Errorf("%s: reported %q, want %q", c.params, got, c.want)
		}
	}
	if got := newRFCSetup(t).ask(rfcTag, rfcTSN, " pc123=0011").unrecognized; !slices.Equal(got, []string{"c12300060011"}) {
		t.Errorf("reported %q with padding", got)
	}
}

// 3.2.2: what was not understood in the INIT ACK is reported by an ERROR behind the COOKIE ECHO.
//
//rfc:9260 3.2.2-2
func TestRFC9260FormatUnknownInInitAck(t *testing.T) {
	for _, c := range fmtUnknown {
		s := newRFCSetup(t)
		p := s.reach("COOKIE-WAIT")
		s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=00112233%s}", p.local, rfcTag, c.params)
		e := s.first("COOKIE-ECHO")
		s.is("COOKIE-ECHOED")
		if c.want == nil {
			if len(e.chunks) != 1 {
				t.Errorf("%s: %s", c.params, e.text)
			}
			continue
		}
		if !slices.Equal(e.chunks, []string{"COOKIE-ECHO", "ERROR"}) || !slices.Equal(e.causes, []uint16{8}) || e.cause[0] != strings.Join(c.want, "") {
			t.Errorf("%s: want cause 8 with %q: %s", c.params, c.want, e.text)
		}
	}
}

// 3.3.2, 3.3.3: INIT and INIT ACK have no flags, no zero in tag or streams, no small window, no parameter twice but
// addresses, no host names, no IPv4 address as an IPv6 one, whatever the configuration.
//
//rfc:9260 3.3.2-1 3.3.2-2 3.3.2-5 3.3.2-8 3.3.2-11 3.3.2-13 3.3.2.1.2-1 3.3.2.1.4-1 3.3.2.1.5-1 3.3.3-1
//rfc:9260 3.3.3-3 3.3.3-5 3.3.3-8 3.3.3-14 3.3.3.1-1
func TestRFC9260FormatSetupChunks(t *testing.T) {
	list := []netip.Addr{aLocals[0].Addr(), netip.MustParseAddr("::ffff:10.2.0.1"), netip.MustParseAddr("2001:db8::1")}
	for _, cfg := range []Config{{}, {MaxStreams: 1}, {List: list, Adaptation: 7}, {ReceiveBuffer: 1}, {ReceiveBuffer: 1499}, {ReceiveBuffer: -1}} {
		n := newPair(t, cfg, cfg)
		n.connect()
		for i, want := range []wire.ChunkType{wire.TypeInit, wire.TypeInitAck} {
			c := fmtChunks(n.seen[i].data)[0]
			in, ok := wire.ParseInit(c)
			if !ok || c.Type != want || c.Flags != 0 || in.Tag == 0 || in.ARwnd < 1500 || in.OutStreams == 0 || in.InStreams == 0 {
				t.Errorf("%+v: %s", cfg, wire.Text(n.seen[i].data))
			}
			fmtSetupParams(t, in.Params, len(cfg.List))
		}
	}
}

// fmtSetupParams checks the parameters of a chunk that lists so many addresses.
func fmtSetupParams(t *testing.T, params []byte, addrs int) {
	t.Helper()
	met := map[wire.ParamType]bool{}
	for p, rest, ok := wire.NextParam(params); ok; p, rest, ok = wire.NextParam(rest) {
		if addr, isAddr := p.Addr(); isAddr {
			if addrs--; addr.Is4In6() {
				t.Errorf("%v as an IPv6 address", addr)
			}
			continue
		}
		if met[p.Type] || p.Type == wire.ParamHostName || p.SupportsAddrType(wire.ParamHostName) {
			t.Errorf("parameter %04x", uint16(p.Type))
		}
		met[p.Type] = true
	}
	if addrs != 0 {
		t.Errorf("%d addresses missing", addrs)
	}
}

// 3.3.2, 3.3.3: flags that are set in INIT and INIT ACK mean nothing.
//
//rfc:9260 3.3.2-5 3.3.3-3
func TestRFC9260FormatFlagsIgnored(t *testing.T) {
	s := newRFCSetup(t)
	s.send("4000>5000 tag=00000000 INIT{flags=ff tag=%08x rwnd=65536 os=10 is=10 tsn=100}", rfcTag)
	ack := s.only("INIT-ACK")
	s.echo(ack)
	s.tagged(s.first("COOKIE-ACK"), rfcTag, false)
	s.is("ESTABLISHED")
	s = newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	s.send("4000>5000 tag=%08x INIT-ACK{flags=ff tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=%s}", p.local, rfcTag, rfcCookie)
	s.tagged(s.only("COOKIE-ECHO"), rfcTag, false)
}

// 3.3.2: an INIT with a small window or without streams is refused with its own tag and harms no association.
//
//rfc:9260 3.3.2-9 3.3.2-12 3.3.2-14
func TestRFC9260FormatBadInitHarmsNothing(t *testing.T) {
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		for _, f := range []string{"rwnd=1499 os=10 is=10 tsn=9", "rwnd=0 os=10 is=10 tsn=9", "rwnd=65536 os=0 is=10 tsn=9", "rwnd=65536 os=10 is=0 tsn=9"} {
			s.send("4000>5000 tag=00000000 INIT{tag=%08x %s}", rfcNewTag, f)
			s.tagged(s.only("ABORT"), rfcNewTag, false)
			s.none()
			s.same(before, f)
		}
	})
}

// 3.3.2, 3.3.3: once the user has read everything, the window is that of the INIT or INIT ACK again.
//
//rfc:9260 3.3.2-10 3.3.3-10
func TestRFC9260FormatWindowIsKept(t *testing.T) {
	for _, opener := range []string{"peer", "L"} {
		s := newRFCSetup(t)
		var announced, local uint32
		if opener == "L" {
			s.dial()
			i := s.only("INIT").init
			announced, local = i.ARwnd, i.Tag
			s.sendINITACK(local, rfcTag, rfcTSN)
			s.send("4000>5000 tag=%08x COOKIE-ACK{}", local)
		} else {
			ack := s.open(rfcTag, rfcTSN, "")
			announced, local = ack.init.ARwnd, ack.init.Tag
		}
		s.skip()
		window := func(on Pair, b []byte, _ bool) string { return rfcField(see(on, b).text, "rwnd") }
		for i := range uint32(10) {
			s.assoc.Handle(s.now, Pair{bLocals[0], peerA}, fmtPacket(t, "4000>5000 tag=%08x DATA{flags=IBE tsn=%d sid=0 ssn=%d ppid=0 data=~1000}", local, rfcTSN+i, i))
		}
		b, on, ok := s.assoc.Poll(s.now, nil)
		if got := window(on, b, ok); got == "" || got == fmt.Sprint(announced) {
			t.Errorf("%s opened: window %s while messages are held, %d was announced", opener, got, announced)
		}
		s.settle()
		s.skip()
		s.send("4000>5000 tag=%08x DATA{flags=IBE tsn=%d sid=0 ssn=10 ppid=0 data=00}", local, rfcTSN+10)
		if got := rfcField(s.first("SACK").text, "rwnd"); got != fmt.Sprint(announced) {
			t.Errorf("%s opened: window %s, %d was announced", opener, got, announced)
		}
	}
}

// 3.3.2, 3.3.3: the first TSN is random over the whole range.
//
//rfc:9260 3.3.2-15 3.3.3-17
func TestRFC9260FormatFirstTSNIsRandom(t *testing.T) {
	const draws = 256
	s := newRFCSetup(t)
	for name, draw := range map[string]func() uint32{
		"INIT": func() uint32 {
			b, on, _ := s.ep.Dial(s.now, []Pair{{bLocals[0], peerA}}, 5000, 4000).Poll(s.now, nil)
			return see(on, b).init.TSN
		},
		"INIT ACK": func() uint32 { s.now = s.now.Add(20 * time.Millisecond); return s.ask(rfcTag, rfcTSN, "").init.TSN },
	} {
		var quarters [4]int
		different := map[uint32]bool{}
		for range draws {
			tsn := draw()
			different[tsn] = true
			quarters[tsn>>30]++
		}
		if len(different) != draws || slices.Min(quarters[:]) < draws/8 {
			t.Errorf("%s: %d of %d TSNs differ, by quarters %v", name, len(different), draws, quarters)
		}
	}
}

// 3.3.2.1.2, 3.3.3: a peer that lists no address, and for which the user permits none, is sent nothing but to where its
// INIT or INIT ACK came from, even when that is dead.
//
//rfc:9260 3.3.2.1.2-2 3.3.3-20
func TestRFC9260FormatOnlyTheSource(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1}, 4000, 5000)
	n.advance(time.Second)
	n.drop = silent(onPath1)
	n.send(n.a, 1, 10, 100)
	n.send(n.b, 1, 10, 100)
	n.advance(5 * time.Second)
	n.drop = nil
	n.wantMessages(n.a, 11*time.Second, 10, 100)
	n.wantMessages(n.b, 11*time.Second, 10, 100)
	for _, s := range []*side{n.a, n.b} {
		to := s.other.ep.cfg.Locals[0]
		if c := n.count(s, func(on Pair, _ []byte) bool { return on.Remote != to }); c != 0 {
			t.Errorf("%s sent %d packets elsewhere than to %v", s.name, c, to)
		}
	}
}

// 3.3.3: an INIT ACK with a host name, without streams or with tag 0 ends the attempt. The ABORT has the tag of the INIT
// ACK or, when that is 0, L's own with the T bit.
//
//rfc:9260 3.3.2.1.4-2 3.3.3-2 3.3.3-6 3.3.3-12 3.3.3-15
func TestRFC9260FormatUselessInitAck(t *testing.T) {
	for _, c := range []struct {
		fields string
		tag    uint32
		cause  []uint16
	}{
		{"tag=00000000 rwnd=65536 os=10 is=10 tsn=7 p0007=00112233", 0, nil},
		{"tag=0a0b0c0d rwnd=65536 os=0 is=10 tsn=7 p0007=00112233", rfcTag, []uint16{7}},
		{"tag=0a0b0c0d rwnd=65536 os=10 is=0 tsn=7 p0007=00112233", rfcTag, []uint16{7}},
		{"tag=0a0b0c0d rwnd=65536 os=10 is=10 tsn=7 p0007=00112233 p000b=6c6f63616c00", rfcTag, []uint16{5}},
	} {
		s := newRFCSetup(t)
		p := s.reach("COOKIE-WAIT")
		s.send("4000>5000 tag=%08x INIT-ACK{%s}", p.local, c.fields)
		a := s.only("ABORT")
		if c.tag == 0 {
			s.tagged(a, p.local, true)
		} else {
			s.tagged(a, c.tag, false)
		}
		if !slices.Equal(a.causes, c.cause) || a.to != peerA {
			t.Errorf("%s: to %v %s", c.fields, a.to, a.text)
		}
		s.is("CLOSED")
		s.counts(0, 0, 1)
		s.advance(time.Minute)
		s.none()
	}
}

// 3.3.3: an INIT ACK with a small window is refused with its own tag, but the attempt goes on.
//
//rfc:9260 3.3.3-9
func TestRFC9260FormatSmallWindowInInitAck(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	before := s.snap()
	for _, rwnd := range []int{0, 1499} {
		s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=%d os=10 is=10 tsn=7 p0007=00112233}", p.local, rfcNewTag, rwnd)
		s.tagged(s.only("ABORT"), rfcNewTag, false)
		s.none()
		s.same(before, "INIT ACK with a small window")
	}
	s.advance(time.Second)
	s.only("INIT")
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=1500 os=10 is=10 tsn=7 p0007=00112233}", p.local, rfcTag)
	s.first("COOKIE-ECHO")
}

// 3.3.3: the INIT ACK asks for no more streams than the INIT accepts.
//
//rfc:9260 3.3.3-11
func TestRFC9260FormatStreamsOfInitAck(t *testing.T) {
	for accepts, want := range map[int]uint16{1: 1, 3: 3, defaultStreams + 1: defaultStreams, 65535: defaultStreams} {
		s := newRFCSetup(t)
		s.send("4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=%d tsn=7}", rfcTag, accepts)
		if got := s.only("INIT-ACK").init.OutStreams; got != want {
			t.Errorf("the INIT accepts %d streams, the INIT ACK asks for %d, want %d", accepts, got, want)
		}
	}
}

// 3.3.3: an INIT ACK may be larger than 1,500 octets: its cookie returns whole.
//
//rfc:9260 3.3.3-18 3.3.11-2
func TestRFC9260FormatLargeInitAck(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("COOKIE-WAIT")
	cookie := strings.Repeat("0123456789abcdef", 500)
	s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100%s p0007=%s}", p.local, rfcTag, strings.Repeat(" addr=10.2.0.1", 50), cookie)
	if e := s.only("COOKIE-ECHO"); rfcField(e.text, "value") != cookie {
		t.Errorf("another cookie of %d octets came back", len(rfcField(e.text, "value"))/2)
	}
	s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
	s.is("ESTABLISHED")
}

// 3.3.2.1.5: that the peer claims to know host names is passed over.
//
//rfc:9260 3.3.2.1.5-1
func TestRFC9260FormatSupportedAddrTypes(t *testing.T) {
	s := newRFCSetup(t)
	ack := s.open(rfcTag, rfcTSN, " p000c=000b00050006")
	if len(ack.unrecognized) != 0 || strings.Contains(ack.text, "p000b") || strings.Contains(ack.text, "p000c") {
		t.Errorf("INIT ACK %s", ack.text)
	}
}

// 3.3.2, 3.3.3: a buffer beyond what 32 bits can say is announced as the most that they can, not modulo 2^32, which may
// be less than 1,500 octets.
//
//rfc:9260 3.3.2-8 3.3.3-8
func TestRFC9260FormatHugeBuffer(t *testing.T) {
	for _, octets := range []int{1 << 32, 1<<32 + 100} {
		n := newPair(t, Config{ReceiveBuffer: octets}, Config{ReceiveBuffer: octets})
		n.connect()
		for i := range 2 {
			if in, ok := wire.ParseInit(fmtChunks(n.seen[i].data)[0]); !ok || in.ARwnd < 1500 {
				t.Errorf("%d octets: %s", octets, wire.Text(n.seen[i].data))
			}
		}
	}
}
