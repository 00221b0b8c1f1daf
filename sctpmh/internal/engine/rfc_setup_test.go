package engine

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

var sec5OnB = Pair{bLocals[1], peerB}

const sec5V6 = "20010db8000000000000000000000001"

// sec5Numbers is a random source that yields given numbers, the last one for ever.
type sec5Numbers []uint64

func (n *sec5Numbers) Uint64() uint64 {
	v := (*n)[0]
	if len(*n) > 1 {
		*n = (*n)[1:]
	}
	return v
}

// sec5TSNs returns the TSNs of the DATA chunks of a packet.
func sec5TSNs(p seen) (tsns []uint32) {
	for _, m := range regexp.MustCompile(` DATA{[^}]*tsn=([0-9]+)`).FindAllStringSubmatch(p.text, -1) {
		n, _ := strconv.ParseUint(m[1], 10, 32)
		tsns = append(tsns, uint32(n))
	}
	return tsns
}

// dialBoth lets L dial both addresses of the peer until each got an INIT.
func (s *rfcSetup) dialBoth() rfcPlace {
	s.t.Helper()
	s.assoc = s.ep.Dial(s.now, []Pair{{bLocals[0], peerA}, sec5OnB}, 5000, 4000)
	s.settle()
	s.advance(300 * time.Millisecond)
	if a, b := s.only("INIT"), s.only("INIT"); a.to != peerA || b.to != peerB || a.text != b.text {
		s.t.Fatalf("INITs to %v and %v", a.to, b.to)
	}
	return rfcPlace{local: s.localTag()}
}

// 5.1, 5.3.1: a tag is any number from 1 to 2^32-1, so the source's 0 never is one.
//
//rfc:9260 3.3.3-5 5.1-2 5.3.1-1
func TestRFC9260SetupTagRange(t *testing.T) {
	for want, n := range map[wire.Tag]sec5Numbers{1: {0, 1 << 32}, math.MaxUint32: {math.MaxUint64}} {
		if got := newTag(rand.New(&n)); got != want {
			t.Errorf("tag %08x, want %08x", got, want)
		}
	}
}

// 5.1: each INIT has a tag of its own.
//
//rfc:9260 5.1-2
func TestRFC9260SetupDialTags(t *testing.T) {
	s := newRFCSetup(t)
	tags := map[uint32]bool{0: true}
	for range 50 {
		s.dial()
		tags[s.only("INIT").init.Tag] = true
	}
	if len(tags) != 51 {
		t.Errorf("%d tags of 50 differ", len(tags)-1)
	}
}

// 5, 5.1: until COOKIE ACK no data is taken, but for the peer's first, which says as much, and all that leaves is INIT or, later, COOKIE ECHO; TestRFC9260EarlyData
// has what may go with that.
//
//rfc:9260 5-1 5.1-7
func TestRFC9260SetupNoDataBeforeItsEnd(t *testing.T) {
	for state, chunk := range map[string]string{"COOKIE-WAIT": "INIT", "COOKIE-ECHOED": "COOKIE-ECHO"} {
		s := newRFCSetup(t)
		p := s.reach(state)
		s.silent("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=0 ssn=0 ppid=0 data=6869} SACK{cum=%d rwnd=65536}", p.local, rfcTSN+1, p.ltsn)
		s.advance(20 * time.Second)
		for len(s.sent) > 0 {
			s.only(chunk)
		}
		if state == "COOKIE-ECHOED" {
			s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
			s.usable(p.local, rfcTag, rfcTSN, p.ltsn)
		}
		if len(s.received()) > 1 {
			t.Errorf("received %q", s.received())
		}
	}
}

// 4: in SHUTDOWN-SENT every DATA is acknowledged at once, behind a gap too.
//
//rfc:9260 4-9
func TestRFC9260SetupDataInShutdownSent(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("SHUTDOWN-SENT")
	for tsn, cum := range []uint32{100, 101, 102, 102} {
		s.send("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=1 ssn=%d ppid=0 data=6869}", p.local, 100+tsn+tsn/3, tsn)
		acked := false
		for ; len(s.sent) > 0; s.next() {
			m := s.sent[0]
			acked = acked || rfcField(m.text, "cum") == fmt.Sprint(cum) && (tsn < 3 || strings.Contains(m.text, "gaps=2-2"))
		}
		if !acked {
			t.Errorf("DATA number %d is not acknowledged at once", tsn)
		}
	}
}

// 4: after the peer's SHUTDOWN the user can send nothing more.
//
//rfc:9260 4-10 4-12
func TestRFC9260SetupNoSendAfterShutdown(t *testing.T) {
	rfcEach(t, []string{"SHUTDOWN-RECEIVED", "SHUTDOWN-ACK-SENT"}, func(s *rfcSetup, p rfcPlace) {
		before := s.snap()
		if err := s.assoc.Send(s.now, Message{Data: []byte("late")}); err != ErrClosed {
			s.t.Errorf("Send: %v", err)
		}
		s.settle()
		s.none()
		s.same(before, "Send")
	})
}

// 4: in SHUTDOWN-RECEIVED all that is queued is sent, and sent again, before SHUTDOWN ACK is.
//
//rfc:9260 4-11
func TestRFC9260SetupShutdownWaitsForData(t *testing.T) {
	const count = 12
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	for range count {
		s.submit(strings.Repeat("x", 1000))
	}
	if n := len(s.sent); n == 0 || n == count {
		t.Fatalf("%d of %d packets were sent: the rule cannot be tested", n, count)
	}
	s.skip()
	s.send("4000>5000 tag=%08x SHUTDOWN{cum=%d}", p.local, p.ltsn-1)
	s.skip()
	s.advance(3 * time.Second)
	last := p.ltsn - 1
	for round := 0; last != p.ltsn+count-1; round++ {
		s.is("SHUTDOWN-RECEIVED")
		before := last
		for len(s.sent) > 0 {
			for _, tsn := range sec5TSNs(s.first("DATA")) {
				if tsn == last+1 {
					last = tsn
				}
			}
		}
		if last == before {
			s.advance(2 * time.Second)
		}
		if round > 50 {
			t.Fatalf("TSN %d does not come", last+1)
		}
		s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, last)
	}
	s.only("SHUTDOWN-ACK")
	s.is("SHUTDOWN-ACK-SENT")
}

// 5.1: the first DATA is acknowledged at once, the later ones in pairs or after a while.
//
//rfc:9260 5.1-18 5.1-19 5.1.5-6
func TestRFC9260SetupLaterSacksWait(t *testing.T) {
	s := newRFCSetup(t)
	p := s.reach("ESTABLISHED")
	data := func(tsn int) {
		s.send("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=0 ssn=%d ppid=0 data=6869}", p.local, tsn, tsn-rfcTSN)
	}
	data(100)
	s.acked(s.next(), 100)
	data(101)
	s.advance(s.assoc.cfg.DelayedAck - time.Millisecond)
	s.none()
	s.advance(time.Millisecond)
	s.acked(s.next(), 101)
	data(102)
	s.none()
	data(103)
	s.acked(s.next(), 103)
	s.none()
}

// 5.1: at first everything before the own first TSN counts as acknowledged, and nothing else.
//
//rfc:9260 5.1-20
func TestRFC9260SetupAckPoint(t *testing.T) {
	for _, opener := range []string{"peer", "L"} {
		for back, want := range []string{"ABORT", "", "DATA"} { // the SACK closes the window, if it counts
			s := newRFCSetup(t)
			p := s.opened(opener)
			s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=0}", p.local, p.ltsn-uint32(back))
			if want != "ABORT" {
				s.submit("x")
			}
			switch want {
			case "":
				s.none()
			default:
				s.first(want)
			}
		}
	}
}

// opened makes an association that the peer or L began.
func (s *rfcSetup) opened(opener string) rfcPlace {
	s.t.Helper()
	if opener == "L" {
		return s.dialled("ESTABLISHED", rfcTag)
	}
	return s.reach("ESTABLISHED")
}

// 5.1.1: L uses no more streams than it wanted and the peer, which takes 10, accepts.
//
//rfc:9260 5.1.1-2 5.1.1-3 5.1.1-4
func TestRFC9260SetupStreams(t *testing.T) {
	for _, opener := range []string{"peer", "L"} {
		for want, streams := range map[uint16]uint16{4: 4, 100: 10} {
			s := newRFCSetup(t)
			s.ep.cfg.MaxStreams = want
			s.opened(opener)
			for stream, refusal := range map[uint16]error{0: nil, streams - 1: nil, streams: ErrStream, 0xffff: ErrStream} {
				err := s.assoc.Send(s.now, Message{Stream: wire.StreamID(stream), Data: []byte("x")})
				if !errors.Is(err, refusal) {
					t.Errorf("%s opened, %d streams: Send on %d: %v", opener, want, stream, err)
				}
			}
		}
	}
}

// 5.1, 5.1.2 B: an INIT ACK that L refuses is answered where it came from, with its tag and the cause, and ends the
// attempt.
//
//rfc:9260 5.1-15 5.1-16 5.1-17 5.1.2-2 5.1.2-3
func TestRFC9260SetupInitAckRefused(t *testing.T) {
	for fields, cause := range map[string]uint16{
		"os=0 is=10 tsn=1 p0007=0011": 7, "os=10 is=0 tsn=1 p0007=0011": 7, "os=10 is=10 tsn=1": 2,
		"os=10 is=10 tsn=1 p0007=0011 p000b=6c6f63616c00": 5,
	} {
		s := newRFCSetup(t)
		p := s.dialBoth()
		s.sendFrom(peerB, "4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 %s}", p.local, rfcTag, fields)
		a := s.only("ABORT")
		s.tagged(a, rfcTag, false)
		if a.to != peerB || !slices.Equal(a.causes, []uint16{cause}) {
			t.Errorf("%s: ABORT to %v: %s", fields, a.to, a.text)
		}
		s.none()
		s.is("CLOSED")
		s.counts(0, 0, 1)
	}
}

// 5.1.2 B: an INIT with a host name gets an ABORT where it came from, and nothing else.
//
//rfc:9260 5.1-15 5.1-17 5.1.2-2 5.1.2-3
func TestRFC9260SetupHostName(t *testing.T) {
	for _, from := range []netip.AddrPort{peerA, peerB} {
		s := newRFCSetup(t)
		s.sendFrom(from, "4000>5000 tag=00000000 INIT{tag=%08x rwnd=65536 os=10 is=10 tsn=1 p000b=6c6f63616c00}", rfcTag)
		a := s.only("ABORT")
		s.tagged(a, rfcTag, false)
		if a.to != from || !slices.Equal(a.causes, []uint16{5}) {
			t.Errorf("ABORT to %v: %s", a.to, a.text)
		}
		s.none()
	}
}

// 5.1.2: L has IPv4 only. It takes all IPv4 addresses of a peer that lists both families, and complains neither about
// the others nor about a list of supported families that contradicts them.
//
//rfc:9260 5.1.2-4 5.1.2-8 5.1.2-9 5.1.2-10 5.1.2-11
func TestRFC9260SetupFamilies(t *testing.T) {
	for _, opener := range []string{"peer", "L"} {
		for _, types := range []string{"", " p000c=0006", " p000c=0005"} {
			extra := types + " p0006=" + sec5V6 + " addr=10.1.0.1 addr=10.2.0.1"
			s := newRFCSetup(t)
			if opener == "peer" {
				ack := s.ask(rfcTag, rfcTSN, extra)
				if ack.unrecognized != nil {
					t.Errorf("%s: reported %v", extra, ack.unrecognized)
				}
				s.echo(ack)
				s.only("COOKIE-ACK")
			} else {
				p := s.reach("COOKIE-WAIT")
				s.send("4000>5000 tag=%08x INIT-ACK{tag=%08x rwnd=65536 os=10 is=10 tsn=100 p0007=0011%s}", p.local, rfcTag, extra)
				s.only("COOKIE-ECHO")
				s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
			}
			s.none()
			s.is("ESTABLISHED")
			listed := s.assoc.Peer().Listed
			s.assoc.Permit(s.now, listed)
			s.settle()
			s.none()
			used := map[netip.Addr]bool{}
			for _, p := range s.assoc.paths.all {
				used[p.addr.addr] = true
			}
			if len(listed) != 3 || len(used) != 2 || !used[peerA.Addr()] || !used[peerB.Addr()] {
				t.Errorf("%s opened, %s: listed %v, used %v", opener, extra, listed, used)
			}
		}
	}
}

// 5.1.3, 5.1.5: a key is forgotten two lives after it signed, whether or not anything arrived meanwhile.
func TestRFC9260SetupOldKeyIsForgotten(t *testing.T) {
	for _, quiet := range []time.Duration{121 * time.Second, 10 * time.Minute, 24 * time.Hour} {
		s := newRFCSetup(t)
		ack := s.ask(rfcTag, rfcTSN, "")
		s.advance(quiet)
		s.silent("4000>5000 tag=%08x COOKIE-ECHO{value=%s} %s", ack.init.Tag, ack.cookie, rfcHi)
	}
}
