package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// These tests are faults of other SCTP stacks, tried here. The numbers are
// those of their advisories. What sets associations up is in
// advisories_setup_test.go.

// advRaw sends chunks as they are.
func (s *rfcSetup) advRaw(tag uint32, chunks []byte) {
	s.t.Helper()
	b := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: wire.Tag(tag)})
	b = append(b, chunks...)
	wire.SetChecksum(b)
	s.arrive(Pair{bLocals[0], peerA}, b)
	s.settle()
}

// advChunks are one chunk of each kind, as an association in a state could get
// them.
func advChunks(t *testing.T, p rfcPlace) (chunks []wire.Chunk) {
	texts := append(rfcOrdinary(p), "ABORT{c000c=627965}", "SHUTDOWN-ACK{}", "SHUTDOWN-COMPLETE{}", "COOKIE-ECHO{value=0011223344}",
		"INIT{tag=1b2c3d4e rwnd=65536 os=10 is=10 tsn=9000 addr=10.1.0.1}", "SACK{cum=7 rwnd=1 gaps=2-3 dups=5}", "ERROR{c0003=00000000 c0006=c5000004}")
	for _, text := range texts {
		c, _, ok := wire.NextChunk(advPacket(t, text)[wire.HeaderLen:])
		if !ok {
			t.Fatal(text)
		}
		chunks = append(chunks, c)
	}
	return chunks
}

func advPacket(t *testing.T, chunks string) []byte {
	t.Helper()
	b, err := wire.ParseText("4000>5000 tag=0 " + chunks)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A chunk that ends anywhere, in any state, is read to its end and no further, and gets one small answer at most
// (CVE-2006-2272, CVE-2007-2876, CVE-2008-4618, CVE-2021-3655, CVE-2020-6831).
func TestAdvisoryShortChunks(t *testing.T) {
	for _, state := range append([]string{"CLOSED"}, rfcAll...) {
		s := newRFCSetup(t)
		p := s.reach(state)
		for _, c := range advChunks(t, p) {
			for n := range len(c.Value) + 1 {
				tag := p.local
				if c.Type == wire.TypeInit {
					tag = 0
				}
				s.advRaw(tag, wire.AppendChunk(nil, c.Type, c.Flags, c.Value[:n:n]))
				answers := slices.DeleteFunc(s.sent, func(m seen) bool { return slices.Equal(m.chunks, []string{"SACK"}) })
				if len(answers) > 1 {
					t.Errorf("%s: %v cut to %d octets gets %d answers", state, c.Type, n, len(answers))
				}
				if s.skip(); s.state() != state {
					s = newRFCSetup(t)
					s.reach(state)
				}
			}
		}
	}
}

// A length that is too small for its own header, or larger than what is left, ends the packet; alone or out of the blue it
// is no packet at all (CVE-2006-1527, CVE-2016-9555, CVE-2024-50299, CVE-2026-99128).
func TestAdvisoryLyingLengths(t *testing.T) {
	const beat = "HEARTBEAT{info=0001020304050607}"
	for _, state := range append([]string{"CLOSED"}, rfcAll...) {
		s := newRFCSetup(t)
		p := s.reach(state)
		before := s.snap()
		for _, typ := range []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x40, 0x81, 0x82, 0xc0, 0xc1, 0xff} {
			for _, length := range []uint16{0, 1, 2, 3, 13, 4096, 65535} {
				bad := append(binary.BigEndian.AppendUint16([]byte{typ, 0}, length), make([]byte, 8)...)
				s.advRaw(p.local, bad)
				s.none()
				s.advRaw(p.local, append(advPacket(t, beat)[wire.HeaderLen:], bad...))
				for _, m := range s.sent {
					if !slices.Equal(m.chunks, []string{"HEARTBEAT-ACK"}) || state == "CLOSED" {
						t.Errorf("%s: type %d length %d behind a HEARTBEAT: %s", state, typ, length, m.text)
					}
				}
				s.skip()
				s.same(before, fmt.Sprintf("type %d length %d", typ, length))
			}
		}
	}
}

// Fragments that come in any order make their message once, and depth costs nothing (CVE-2006-2274).
func TestAdvisoryFragmentOrder(t *testing.T) {
	const count = 100
	orders := map[string]func(i int) int{
		"forward":   func(i int) int { return i },
		"backward":  func(i int) int { return count - 1 - i },
		"odd first": func(i int) int { return (2*i + 1) % (count + 1) },
	}
	for name, order := range orders {
		for _, unordered := range []string{"", "U"} {
			s := newRFCSetup(t)
			p := s.reach("ESTABLISHED")
			want := ""
			for i := range count {
				at := order(i)
				flags := unordered + strings.Repeat("B", advBool(at == 0)) + strings.Repeat("E", advBool(at == count-1))
				s.send("4000>5000 tag=%08x DATA{flags=%s tsn=%d sid=1 ssn=0 ppid=0 data=%04x}", p.local, or(flags, "0"), rfcTSN+at, at)
				want += string([]byte{byte(i >> 8), byte(i)})
			}
			if got := s.received(); len(got) != 1 || got[0] != want {
				t.Errorf("%s %s: %d messages", name, unordered, len(got))
			}
			s.is("ESTABLISHED")
		}
	}
}

func advBool(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Begins and ends in any sequence, on streams or orders that do not go together, make no message that was not sent (usrsctp
// issue 355).
func TestAdvisoryFragmentSequences(t *testing.T) {
	whole := regexp.MustCompile(`^(xS|yS|xB(x0)*xE|yB(y0)*yE)$`)
	kinds := []struct{ flags, mark string }{{"B", "B"}, {"0", "0"}, {"E", "E"}, {"BE", "S"}}
	for _, other := range []string{"sid=1", "U"} {
		for n := range 2 * 8 * 8 * 8 / 3 {
			s := newRFCSetup(t)
			p := s.reach("ESTABLISHED")
			picks := []int{n / 2 * 3 % 8, n / 2 * 3 / 8 % 8, n / 2 * 3 / 64}
			for _, i := range [][]int{{0, 1, 2}, {1, 2, 0}}[n%2] {
				k, name, flags, sid := kinds[picks[i]%4], "x", kinds[picks[i]%4].flags, 0
				switch {
				case picks[i] < 4:
				case other == "U":
					name, flags = "y", strings.TrimPrefix(flags, "0")+"U"
				default:
					name, sid = "y", 1
				}
				s.send("4000>5000 tag=%08x DATA{flags=%s tsn=%d sid=%d ssn=0 ppid=0 data=%x}", p.local, flags, rfcTSN+i, sid, name+k.mark)
			}
			for _, m := range s.received() {
				if !whole.MatchString(m) {
					t.Errorf("%s, case %d: received %q", other, n, m)
				}
			}
		}
	}
}

// TSNs at all distances from the expected one leave the order of what was received intact, and the association usable
// (pion a8bc9b8).
func TestAdvisoryFarTSNs(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for _, ahead := range []uint32{2, 65533, 65534, 65535, 65536, 1<<31 - 2, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 2, 1<<32 - 1} {
		for range 2 {
			s.send("4000>5000 tag=%08x DATA{flags=UBE tsn=%d sid=0 ssn=0 ppid=0 data=%08x}", p.local, rfcTSN+ahead, ahead)
			if a := s.next(); !strings.Contains(a.text, "SACK{cum=99 ") || len(a.chunks) != 1 {
				t.Errorf("%d ahead: %s", ahead, a.text)
			}
			s.none()
		}
	}
	if got := s.received(); len(got) != 3 {
		t.Errorf("%d messages, want the 3 within reach: %x", len(got), got)
	}
	s.usable(p.local, rfcTag, rfcTSN, p.ltsn)
}

// Stream numbers are no index: what lies beyond the streams agreed on is reported and dropped (CVE-2014-8612).
func TestAdvisoryStreamNumbers(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for i, sid := range []int{9, 10, 11, 32768, 65535} {
		s.send("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=%d ssn=0 ppid=0 data=78}", p.local, rfcTSN+i, sid)
		refused := slices.ContainsFunc(s.sent, func(m seen) bool { return slices.Contains(m.causes, 1) })
		if refused != (sid > 9) {
			t.Errorf("stream %d: refused %v", sid, refused)
		}
		s.skip()
	}
	if got := s.received(); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
	for _, sid := range []wire.StreamID{10, 65535} {
		if err := s.assoc.Send(s.now, Message{Stream: sid, Data: []byte("x")}); !errors.Is(err, ErrStream) {
			t.Errorf("Send on stream %d: %v", sid, err)
		}
	}
}

// A SACK of extreme gaps acknowledges nothing that was not sent: it ends the association or is dropped, whole, and costs no
// more than its length (CVE-2012-6056 of Wireshark).
//
//rfc:9260 12.4-4
func TestAdvisorySackExtremes(t *testing.T) {
	for gaps, want := range map[string]string{
		"65535-65535": "CLOSED", "2-65535": "CLOSED", "2-2": "ESTABLISHED", "2-3": "CLOSED", "1-65535": "ESTABLISHED", "0-0": "ESTABLISHED",
		"0-65535": "ESTABLISHED", "65535-65535,65535-65535": "ESTABLISHED", "65535-2": "ESTABLISHED", "2-2,2-2": "ESTABLISHED",
	} {
		s := newRFCSetup(t)
		p := s.reach("ESTABLISHED")
		s.submit("one")
		s.submit("two")
		s.skip()
		s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536 gaps=%s}", p.local, p.ltsn-1, gaps)
		if s.is(want); want == "CLOSED" {
			if a := s.only("ABORT"); !slices.Equal(a.causes, []uint16{13}) {
				t.Errorf("gaps %s: %s", gaps, a.text)
			}
		}
		if acked := s.assoc.flight.ackedCount; (acked == 1) != (gaps == "2-2") || s.assoc.flight.len() != 2 {
			t.Errorf("gaps %s: %d chunks acknowledged", gaps, acked)
		}
	}
}

// A SACK full of the same duplicate is read once, and one that claims more gaps or duplicates than it holds not at all;
// duplicates that arrive make no long SACK (CVE-2012-6056 of Wireshark).
func TestAdvisoryDuplicates(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	s.submit("one")
	s.skip()
	dups := slices.Repeat([]wire.TSN{wire.TSN(p.ltsn)}, 16000)
	full := wire.AppendSack(nil, wire.TSN(p.ltsn-1), 65536, nil, dups)
	for _, counts := range []uint32{1 << 16, 16001, 15999, 0xffffffff} {
		bad := bytes.Clone(full)
		binary.BigEndian.PutUint32(bad[12:], counts)
		malformed := s.assoc.Stats().Malformed
		if s.advRaw(p.local, bad); s.assoc.Stats().Malformed != malformed+1 {
			t.Errorf("counts %x are taken", counts)
		}
	}
	for range 10 {
		s.advRaw(p.local, full)
	}
	s.none()
	var many []byte
	for range 1000 {
		many = wire.AppendData(many, &wire.Data{Begin: true, End: true, TSN: rfcTSN, Payload: []byte("hi")})
	}
	s.advRaw(p.local, many)
	if a := s.first("SACK"); strings.Count(a.text, "100,") != maxDups-1 {
		t.Errorf("%s", a.text)
	}
	s.none()
	if got := s.received(); !slices.Equal(got, []string{"hi"}) {
		t.Errorf("received %q", got)
	}
}

// Only the whole nonce of a HEARTBEAT that is outstanding proves a path, once (CVE-2006-1857).
func TestAdvisoryHeartbeatAck(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.drop = silent(onPath2)
	n.connect()
	a := n.a.assoc
	p := a.paths.find(onPath2)
	nonce := binary.BigEndian.AppendUint64(nil, p.hb.nonce)
	send := func(value []byte) PathState {
		b := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.tag})
		b = wire.AppendChunk(b, wire.TypeHeartbeatAck, 0, value)
		wire.SetChecksum(b)
		a.Handle(n.now, onPath1, b)
		n.step()
		return p.state
	}
	good := wire.AppendParam(nil, wire.ParamHeartbeatInfo, nonce)
	bad := [][]byte{nil, nonce, wire.AppendParam(nil, 2, nonce), wire.AppendParam(nil, wire.ParamHeartbeatInfo, make([]byte, 8))}
	for i := range good {
		bad = append(bad, good[:i:i])
	}
	for i := range nonce {
		wrong := bytes.Clone(good)
		wrong[4+i] ^= 1
		bad = append(bad, wrong, wire.AppendParam(nil, wire.ParamHeartbeatInfo, nonce[:i]))
	}
	for length := range uint16(40) {
		if length != 12 {
			bad = append(bad, append(binary.BigEndian.AppendUint16([]byte{0, 1}, length), nonce...))
		}
	}
	bad = append(bad, wire.AppendParam(nil, wire.ParamHeartbeatInfo, append(bytes.Clone(nonce), 0)), append(bytes.Clone(good), 0, 0, 0, 4))
	for _, v := range bad {
		if st := send(v); st != Unconfirmed {
			t.Fatalf("proved by %x, the nonce is %x", v, nonce)
		}
	}
	if st := send(good); st != Active {
		t.Fatalf("not proved by %x: %v", good, st)
	}
	a.setState(n.now, p, PotentiallyFailed)
	if st := send(good); st != PotentiallyFailed {
		t.Error("a nonce proves twice")
	}
}

// Chunks of extensions that are not here change nothing, in any state and with any contents (CVE-2014-0101, CVE-2014-3673,
// CVE-2014-8613, CVE-2026-53225, CVE-2026-68315, usrsctp 386, 547, 25f4212f).
func TestAdvisoryUnbuiltChunks(t *testing.T) {
	types := []string{"AUTH", "I-DATA", "DTLS", "ASCONF-ACK", "CHUNK-81", "RE-CONFIG", "FORWARD-TSN", "ASCONF", "I-FORWARD-TSN"}
	bodies := []string{"", "value=00", "value=00000001", "value=00000001000500080a090909c00100100000000100050008", "value=ffffffffffffffffffffffffffffffff", "value=~1000"}
	rfcEach(t, append([]string{"CLOSED"}, rfcAll...), func(s *rfcSetup, p rfcPlace) {
		before, paths := s.snap(), 0
		if s.assoc != nil {
			paths = len(s.assoc.paths.all)
		}
		for _, typ := range types {
			for _, body := range bodies {
				for range 2 {
					s.send("4000>5000 tag=%08x %s{%s}", p.local, typ, body)
					for i, m := range s.sent {
						if i > 0 || m.chunks[0] != "ERROR" && before.state != "CLOSED" {
							s.t.Errorf("%s{%s} is answered by %s", typ, body, m.text)
						}
					}
					s.skip()
					s.same(before, typ)
				}
			}
		}
		if s.assoc != nil && len(s.assoc.paths.all) != paths || len(s.received()) > 0 {
			s.t.Errorf("%d paths, received %q", len(s.assoc.paths.all), s.received())
		}
	})
}

// Paths are forgotten, fail and return while their chunks are in flight and their answers on the way: what was sent arrives
// (CVE-2025-23142, CVE-2026-64564, CVE-2024-26826, usrsctp 51e7c013).
func TestAdvisoryPathsGoWhileInUse(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	a, both := n.a.assoc, []netip.Addr{bLocals[0].Addr(), bLocals[1].Addr()}
	for i := range 200 {
		n.send(n.a, 1, 3, 500)
		n.send(n.b, 2, 3, 500)
		switch i % 5 {
		case 0:
			a.SetPrimary(n.now, onPath2)
			a.Permit(n.now, nil)
		case 1:
			a.LocalFailed(n.now, aLocals[i%2].Addr())
		case 2:
			a.Permit(n.now, both)
		case 3:
			beat := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.tag})
			beat = wire.AppendHeartbeat(beat, wire.TypeHeartbeat, make([]byte, 8))
			wire.SetChecksum(beat)
			a.Handle(n.now, Pair{aLocals[0], netip.AddrPortFrom(bLocals[0].Addr(), uint16(20000+i))}, beat)
		case 4:
			a.LocalRestored(n.now, aLocals[0].Addr())
			a.LocalRestored(n.now, aLocals[1].Addr())
		}
		n.advance(time.Duration(i%7) * 3 * time.Millisecond)
	}
	n.wantMessages(n.b, 30*time.Second, 600, 500)
	n.wantMessages(n.a, 30*time.Second, 600, 500)
}

// Packets from any number of ports take no path away that carries data (usrsctp 51e7c013).
func TestAdvisoryPathsInUseStay(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	a := n.a.assoc
	p1, p2 := a.paths.find(onPath1), a.paths.find(onPath2)
	a.SetPrimary(n.now, onPath2)
	n.drop = silent(onPath2)
	n.send(n.a, 1, 1, 100)
	a.SetPrimary(n.now, onPath1)
	p2.state = Inactive
	beat := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: a.tag})
	beat = wire.AppendHeartbeat(beat, wire.TypeHeartbeat, make([]byte, 8))
	wire.SetChecksum(beat)
	for i := range uint16(100) {
		on := Pair{aLocals[0], netip.AddrPortFrom(bLocals[0].Addr(), 20000+i)}
		if a.Handle(n.now, on, beat); i < maxPaths && a.paths.find(on) != nil {
			a.paths.find(on).state = Active // as if it had answered
		}
	}
	if p2.flight == 0 || a.paths.current != p1 || !slices.Contains(a.paths.all, p1) || !slices.Contains(a.paths.all, p2) || len(a.paths.all) > maxPaths {
		t.Errorf("%v", pfBelief(a))
	}
	n.drop = nil
	n.wantMessages(n.b, 30*time.Second, 1, 100)
}

// The end by ABORT of one side crosses that by SHUTDOWN of the other, at any moment: both hear of one end (pion 456).
func TestAdvisoryAbortCrossesShutdown(t *testing.T) {
	for ms := range 60 {
		for _, same := range []bool{false, true} {
			n := newPair(t, Config{}, Config{})
			n.connect()
			n.send(n.a, 1, 3, 100)
			n.a.assoc.Shutdown(n.now)
			n.advance(time.Duration(ms) * time.Millisecond)
			aborter := n.b
			if same {
				aborter = n.a
			}
			aborter.assoc.Abort(n.now, wire.CauseUserAbort, "")
			n.advance(10 * time.Minute)
			for _, s := range []*side{n.a, n.b} {
				ends := 0
				for _, e := range s.events {
					ends += advBool(e.Kind == EventClosed)
				}
				if ends != 1 || !s.assoc.Closed() {
					t.Errorf("after %d ms: %s heard of %d ends", ms, s.name, ends)
				}
			}
		}
	}
}

// Round trips and repetitions of any number leave every timeout within its bounds (CVE-2025-40281).
func TestAdvisoryTimeoutBounds(t *testing.T) {
	cfg := Config{RTOMax: 24 * time.Hour}.withDefaults()
	for _, rtt := range []time.Duration{-time.Hour, 0, 1, time.Microsecond, time.Hour, 1000 * time.Hour} {
		r, now := newRTO(&cfg), Time(1e9)
		for i := range 200 {
			if i%3 == 0 {
				r.sample(&cfg, now, rtt)
			}
			now = now.Add(2000 * time.Hour)
			if r.backOff(&cfg); r.rto < cfg.RTOMin || r.rto > cfg.RTOMax {
				t.Fatalf("round trips of %v: timeout %v", rtt, r.rto)
			}
		}
	}
	addr := &peerAddr{addr: peerA.Addr()}
	for i := range 200 {
		now := Time(1e9)
		addr.probed(now)
		if wait := addr.quiet.Sub(now); i >= maxProbes && (wait < probeQuiet || wait > maxProbeQuiet) {
			t.Fatalf("after %d probes: %v", i, wait)
		}
	}
}

// A truncated or foreign quotation in an ICMP message, or a size that no packet has, lowers nothing (CVE-2016-1879).
//
//rfc:9260 10-5
func TestAdvisoryTruncatedHint(t *testing.T) {
	s := newRFCSetup(t)
	s.reach("ESTABLISHED")
	p := s.assoc.paths.current
	p.pmtu.size, p.pmtu.high = 1472, 1472
	quoted := wire.AppendHeader(nil, wire.Header{SrcPort: 5000, DstPort: 4000, Tag: rfcTag})
	for n := range len(quoted) {
		s.assoc.Hint(s.now, p.pair, quoted[:n:n], 1300)
	}
	for i := range 8 {
		wrong := bytes.Clone(quoted)
		wrong[i] ^= 1
		s.assoc.Hint(s.now, p.pair, wrong, 1300)
	}
	for _, mtu := range []int{-1 << 31, -1, 0, 1, 68, 1279, 1501, 65535, 1<<31 - 1} {
		s.assoc.Hint(s.now, p.pair, quoted, mtu)
	}
	s.assoc.Hint(s.now, Pair{bLocals[1], peerB}, quoted, 1300)
	if p.pmtu.size != 1472 || p.pmtu.high != 1472 {
		t.Errorf("size %d, at most %d", p.pmtu.size, p.pmtu.high)
	}
	if s.assoc.Hint(s.now, p.pair, quoted, 1300); p.pmtu.size == 1472 {
		t.Error("a true message is not believed either")
	}
}
