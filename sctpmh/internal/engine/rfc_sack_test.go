package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// sackSetup is an association that takes DATA from TSN 100 on into a buffer of 16 KiB.
type sackSetup struct {
	t       *testing.T
	a       *Assoc
	now     Time
	hold    bool     // the user takes no messages
	got     []string // taken
	longest int      // packet that left
}

func newSackSetup(t *testing.T) *sackSetup {
	s := &sackSetup{t: t, a: established(t), now: 1e9}
	s.out()
	return s
}

// raw hands over a packet and returns what leaves at once, but for probes, without the header.
func (s *sackSetup) raw(format string, args ...any) []string {
	s.t.Helper()
	b, err := wire.ParseText(fmt.Sprintf("4000>5000 tag=%08x ", uint32(s.a.tag)) + fmt.Sprintf(format, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	s.a.Handle(s.now, client, b)
	return s.out()
}

func (s *sackSetup) out() (out []string) {
	s.t.Helper()
	for !s.hold {
		m, ok := s.a.Recv(s.now)
		if !ok {
			break
		}
		s.got = append(s.got, string(m.Data))
	}
	for {
		b, _, ok := s.a.Poll(s.now, nil)
		if err := s.a.Check(); err != nil {
			s.t.Fatal(err)
		}
		if !ok {
			return out
		}
		s.longest = max(s.longest, len(b))
		_, text, _ := strings.Cut(wire.Text(b), " ")
		_, text, _ = strings.Cut(text, " ")
		if !strings.HasPrefix(text, "HEARTBEAT{") {
			out = append(out, text)
		}
	}
}

// data hands over a packet with whole ordered messages of size octets, one for each TSN.
func (s *sackSetup) data(size int, tsns ...int) []string {
	s.t.Helper()
	var chunks []string
	for _, n := range tsns {
		chunks = append(chunks, fmt.Sprintf("DATA{flags=UBE tsn=%d sid=0 ssn=0 ppid=0 data=~%d}", n, size))
	}
	return s.raw("%s", strings.Join(chunks, " "))
}

// wants compares what left.
func (s *sackSetup) wants(got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Fatalf("sent %q, want %q", got, want)
	}
}

// wait lets time pass and returns what leaves.
func (s *sackSetup) wait(d time.Duration) (out []string) {
	s.t.Helper()
	for end := s.now.Add(d); s.now < end; {
		s.now = end
		if at, ok := s.a.NextDeadline(); ok {
			s.now = min(end, at)
		}
		s.a.Expire(s.now)
		out = append(out, s.out()...)
	}
	return out
}

func sackOf(cum int, more string) string { return fmt.Sprintf("SACK{cum=%d rwnd=16384%s}", cum, more) }

// 6.2: a packet is acknowledged after the delay, far below 200 ms, every second one at once, however many chunks it has, and none
// more often.
//
//rfc:9260 6.2-1 6.2-7 6.2-8 6.2-9 6.2-15 6.2-16
func TestRFC9260SackDelay(t *testing.T) {
	s := newSackSetup(t)
	s.wants(s.data(9, 100), sackOf(100, "")) // the very first
	s.wants(s.data(9, 101, 102, 103))
	s.wants(s.wait(20*time.Millisecond - 1))
	s.wants(s.wait(1), sackOf(103, ""))
	s.wants(s.wait(time.Second))
	for n := 104; n < 204; n += 2 {
		s.wants(s.data(9, n))
		s.wants(s.data(9, n+1), sackOf(n+1, ""))
	}
}

// 6.2, 6.7: a gap, what fills it, a duplicate that is alone and the I bit are answered at once, each packet by one SACK; duplicates
// are reported once.
//
//rfc:9260 6.2-7 6.2-10 6.2-16 6.2-19 6.2-20 6.2-21 6.7-1
func TestRFC9260SackAtOnce(t *testing.T) {
	s := newSackSetup(t)
	s.data(9, 100)
	s.wants(s.data(9, 102), sackOf(100, " gaps=2-2"))
	s.wants(s.data(9, 101), sackOf(102, ""))
	s.wants(s.raw("DATA{flags=IBE tsn=103 sid=1 ssn=0 ppid=0 data=6869}"), sackOf(103, ""))
	s.wants(s.data(9, 103), sackOf(103, " dups=103"))
	s.wants(s.data(9, 103, 100), sackOf(103, " dups=103,100"))
	s.wants(s.data(9, 104, 103, 106, 109), sackOf(104, " gaps=2-2,5-5 dups=103"))
	s.wants(s.data(9, 105, 107, 108), sackOf(109, ""))
	s.wants(s.wait(time.Second))
}

// fill takes messages until the window of the user that does not read is shut and the buffer full. It returns the next TSN.
func (s *sackSetup) fill(from int) int {
	s.t.Helper()
	s.hold = true
	for range 13 {
		s.data(1000, from)
		from++
	}
	s.data(300, from)
	s.data(1200, from+1)
	if s.a.reasm.held < s.a.cfg.ReceiveBuffer || s.a.Stats().Dropped != 0 {
		s.t.Fatalf("%d octets held, %+v", s.a.reasm.held, s.a.Stats())
	}
	s.wait(time.Second)
	return from + 2
}

// 6.2: with a full buffer new DATA is dropped, and a SACK says at once that it was not taken.
//
//rfc:9260 6.2-2 6.2-4 6.2-5
func TestRFC9260SackFullBuffer(t *testing.T) {
	s := newSackSetup(t)
	next := s.fill(100)
	for i := range 3 {
		s.wants(s.data(10, next+i), fmt.Sprintf("SACK{cum=%d rwnd=0}", next-1))
	}
	if d := s.a.Stats().Dropped; d != 3 {
		t.Errorf("%d dropped", d)
	}
}

// 6.2: as long as the window announced is 0, new DATA is dropped, even if the buffer is not full.
//
//rfc:9260 6.2-2
func TestRFC9260SackWindowZero(t *testing.T) {
	s := newSackSetup(t)
	s.hold = true
	for n := 100; n < 114; n++ {
		s.data(1000, n)
	}
	s.wants(s.data(1, 113), "SACK{cum=113 rwnd=0 dups=113}")
	s.wants(s.data(10, 114), "SACK{cum=113 rwnd=0}")
}

// 6.2: room that the user makes is announced at once, without new DATA, in few SACKs, and never in bits.
//
//rfc:9260 6.2-6 6.2-11 6.2-12 6.2-22
func TestRFC9260SackOpensTheWindow(t *testing.T) {
	s := newSackSetup(t)
	s.hold = true
	for n := 100; s.a.receiveWindow() > 0; n++ {
		s.data(32, n) // 160 octets with what a chunk costs
	}
	s.wait(time.Second)
	messages, sacks := 0, []string(nil)
	for _, ok := s.a.Recv(s.now); ok; _, ok = s.a.Recv(s.now) {
		messages++
		if sacks = append(sacks, s.out()...); len(sacks) == 0 {
			t.Fatal("there is room for a packet, and no SACK says so")
		}
	}
	if messages < 90 || len(sacks) < 2 || len(sacks) > 5 {
		t.Fatalf("%d messages taken, sent %q", messages, sacks)
	}
	for _, text := range sacks {
		var rwnd int
		fmt.Sscan(rfcField(text, "rwnd"), &rwnd)
		if rwnd < 1200 {
			t.Errorf("sent %s", text)
		}
	}
}

// 6.2: each SACK has the window of the moment; it shrinks by what is held, fragments too, and grows only when the user takes
// something.
//
//rfc:9260 6.2-23 6.2-24 6.2-25
func TestRFC9260SackWindow(t *testing.T) {
	s := newSackSetup(t)
	s.hold = true
	room := 16384
	for n := 100; n < 106; n++ {
		flags := []string{"IB", "I", "I", "IE", "IBE", "IB"}[n-100]
		room -= 500 + chunkCost
		s.wants(s.raw("DATA{flags=%s tsn=%d sid=0 ssn=%d ppid=0 data=~500}", flags, n, (n-100)/4+n/105), fmt.Sprintf("SACK{cum=%d rwnd=%d}", n, room))
	}
	for n := 106; n < 110; n++ {
		if n%2 == 0 {
			if _, ok := s.a.Recv(s.now); !ok {
				t.Fatal("no message")
			}
			room += []int{4, 1}[(n-106)/2] * (500 + chunkCost)
		}
		room -= 100 + chunkCost
		s.wants(s.raw("DATA{flags=IUBE tsn=%d sid=0 ssn=0 ppid=0 data=~100}", n), fmt.Sprintf("SACK{cum=%d rwnd=%d}", n, room))
	}
}

// 6.2: what was reported stays reported and is delivered, even if the buffer was full behind a hole; what fills the hole is
// taken.
//
//rfc:9260 6.2-1 6.2-3 6.2-5 6.2-26 6.2-29
func TestRFC9260SackTakesNothingBack(t *testing.T) {
	s := newSackSetup(t)
	s.data(9, 100)
	next := s.fill(102)
	gap := next - 1 - 100
	for range 3 {
		s.wants(s.data(9, next), fmt.Sprintf("SACK{cum=100 rwnd=0 gaps=2-%d}", gap))
	}
	s.wants(s.data(1000, 101), fmt.Sprintf("SACK{cum=%d rwnd=0}", next-1))
	s.hold = false
	s.out()
	if len(s.got) != next-100 {
		t.Errorf("%d messages of %d", len(s.got), next-100)
	}
}

// 6.2: after our SHUTDOWN, DATA beyond a hole is acknowledged by a SACK that names it, beside the SHUTDOWN.
//
//rfc:9260 6.2-15 6.2-18
func TestRFC9260SackBesideShutdown(t *testing.T) {
	s := newSackSetup(t)
	s.a.Shutdown(s.now)
	s.wants(s.out(), "SHUTDOWN{cum=99}")
	s.wants(s.data(9, 101), sackOf(99, " gaps=2-2")+" SHUTDOWN{cum=99}")
	s.wants(s.data(9, 100), "SHUTDOWN{cum=101}", sackOf(101, ""))
}

// 6.7: however many gaps there are, a packet is answered by one SACK that fits any path and names the lowest ones.
//
//rfc:9260 6.2-17 6.7-6 6.7-7
func TestRFC9260SackWithManyGaps(t *testing.T) {
	s := newSackSetup(t)
	s.a.cfg.ReceiveBuffer = 1 << 20
	s.data(9, 100)
	blocks := ""
	for i := 2; i < 640; i += 2 {
		blocks += fmt.Sprintf(",%d-%d", i, i)
		out := s.data(9, 100+i)
		if len(out) != 1 || !strings.HasPrefix(out[0], "SACK{cum=100 ") {
			t.Fatalf("sent %q", out)
		}
		_, gaps, _ := strings.Cut(strings.TrimSuffix(out[0], "}"), "gaps=")
		if n := strings.Count(gaps, "-"); n < min(i/2, 200) || !strings.HasPrefix(blocks, ","+gaps) {
			t.Fatalf("with %d gaps: %s", i/2, out[0])
		}
	}
	if s.longest > basePMTU-20-8 {
		t.Errorf("a packet of %d octets", s.longest)
	}
}

// 6.2: a SACK has all the gaps that its packet has room for, alone and beside other chunks.
//
//rfc:9260 6.2-17
func TestRFC9260SackHasAllGapsThatFit(t *testing.T) {
	gaps := func(count int, chunk string, shutdown bool) int {
		s := newSackSetup(t)
		s.a.cfg.ReceiveBuffer = 1 << 20
		if shutdown {
			s.a.Shutdown(s.now)
		}
		for i := 1; i < count; i++ {
			s.data(9, 99+2*i)
		}
		s.longest = 0
		out := strings.Join(s.raw("%s DATA{flags=UBE tsn=%d sid=0 ssn=0 ppid=0 data=00}", chunk, 99+2*count), " ")
		if count > 300 && s.longest < basePacket-3 {
			t.Errorf("%d octets, with room for more gaps", s.longest)
		}
		_, out, _ = strings.Cut(out, "gaps=")
		out, _, _ = strings.Cut(out, "}")
		return strings.Count(out, "-")
	}
	alone, reply, end := gaps(100, "", false), gaps(100, "HEARTBEAT{info=00010203}", false), gaps(100, "", true)
	if all := gaps(310, "", false); alone != 100 || reply != 100 || end != 100 || all < 290 {
		t.Errorf("%d, %d and %d of 100 gaps, %d of 310", alone, reply, end, all)
	}
}

// 6.2: DATA without payload ends the association; the ABORT names its TSN.
//
//rfc:9260 6.2-31
func TestRFC9260SackNoUserData(t *testing.T) {
	s := newSackSetup(t)
	s.wants(s.raw("DATA{flags=BE tsn=100 sid=0 ssn=0 ppid=0 data=}"), "ABORT{c0009=00000064}")
	if !s.a.Closed() {
		t.Error("still open")
	}
}

// 6.5: DATA on a stream that does not exist is acknowledged, reported and thrown away.
//
//rfc:9260 6.5-2
func TestRFC9260SackInvalidStream(t *testing.T) {
	s := newSackSetup(t)
	out := strings.Join(s.raw("DATA{flags=BE tsn=100 sid=10 ssn=0 ppid=0 data=6869} DATA{flags=BE tsn=101 sid=9 ssn=0 ppid=0 data=686f}"), " ")
	if !strings.Contains(out, "ERROR{c0001=000a0000}") || !strings.Contains(out, sackOf(101, "")) || !slices.Equal(s.got, []string{"ho"}) {
		t.Errorf("sent %q, delivered %q", out, s.got)
	}
}

// 6.6: ordered messages of a stream wait for those before them, by SSN and over its wrap; those of other streams do not. The SSN of
// unordered ones means nothing.
//
//rfc:9260 6.5-5 6.6-1 6.6-2 6.6-3
func TestRFC9260SackOrder(t *testing.T) {
	s := newSackSetup(t)
	s.a.reasm.streams[1] = &inStream{next: 65534}
	for i, c := range []struct{ chunk, got string }{
		{"DATA{flags=BE tsn=103 sid=1 ssn=1 ppid=0 data=34}", ""},
		{"DATA{flags=BE tsn=102 sid=1 ssn=0 ppid=0 data=33}", ""},
		{"DATA{flags=BE tsn=101 sid=1 ssn=65535 ppid=0 data=32}", ""},
		{"DATA{flags=BE tsn=104 sid=2 ssn=0 ppid=0 data=61}", "a"},
		{"DATA{flags=UBE tsn=105 sid=1 ssn=7 ppid=0 data=75}", "u"},
		{"DATA{flags=UE tsn=108 sid=1 ssn=65535 ppid=0 data=7a}", ""},
		{"DATA{flags=UB tsn=106 sid=1 ssn=7 ppid=0 data=78}", ""},
		{"DATA{flags=U tsn=107 sid=1 ssn=9 ppid=0 data=79}", "xyz"},
		{"DATA{flags=BE tsn=100 sid=1 ssn=65534 ppid=0 data=31}", "1 2 3 4"},
	} {
		s.got = nil
		if s.raw("%s", c.chunk); strings.Join(s.got, " ") != c.got {
			t.Errorf("%d: delivered %q, want %q", i, s.got, c.got)
		}
	}
}

// 6.9, 6.10: a packet may hold chunks of several messages, and a message is put together from its fragments in whatever order
// they come.
//
//rfc:9260 6-11 6.9-1 6.9-14
func TestRFC9260SackFragments(t *testing.T) {
	s := newSackSetup(t)
	s.raw("DATA{flags=E tsn=102 sid=1 ssn=0 ppid=0 data=33} DATA{flags=B tsn=103 sid=1 ssn=1 ppid=0 data=61}")
	s.raw("DATA{tsn=101 sid=1 ssn=0 ppid=0 data=32} DATA{flags=BE tsn=105 sid=2 ssn=0 ppid=0 data=2a}")
	s.raw("DATA{flags=E tsn=104 sid=1 ssn=1 ppid=0 data=62} DATA{flags=B tsn=100 sid=1 ssn=0 ppid=0 data=31}")
	if want := []string{"*", "123", "ab"}; !slices.Equal(s.got, want) {
		t.Errorf("delivered %q, want %q", s.got, want)
	}
}

// 6.10: chunks count in their order: DATA before SHUTDOWN or ABORT is delivered, that behind it is not.
//
//rfc:9260 6.10-6
func TestRFC9260SackChunkOrder(t *testing.T) {
	for _, end := range []string{"ABORT{}", "SHUTDOWN{cum=%d}"} {
		if strings.Contains(end, "%d") {
			end = fmt.Sprintf(end, uint32(established(t).flight.first)-1)
		}
		for packet, want := range map[string]int{rfcHi + " " + end: 1, end + " " + rfcHi: 0} {
			s := newSackSetup(t)
			if s.raw("%s", packet); len(s.got) != want || s.a.state == Established {
				t.Errorf("%s: delivered %q in state %d", packet, s.got, s.a.state)
			}
		}
	}
	s := newRFCSetup(t)
	p := s.reach("COOKIE-ECHOED")
	s.send("4000>5000 tag=%08x COOKIE-ACK{} %s", p.local, rfcHi)
	if s.acked(s.next(), 100); !slices.Equal(s.received(), []string{"hi"}) {
		t.Errorf("behind COOKIE ACK: delivered %q", s.received())
	}
}

// 6.8, 6.10: a chunk that is cut short is dropped, the whole ones before it are not; a packet with a wrong checksum is nothing.
//
//rfc:9260 6.8-3 6.8-4 6.10-7
func TestRFC9260SackDamaged(t *testing.T) {
	s := newSackSetup(t)
	s.wants(s.raw("%s GARBAGE{value=00030014000000650000000100000000aabb}", rfcHi), sackOf(100, ""))
	if !slices.Equal(s.got, []string{"hi"}) || s.a.Stats().Malformed != 1 {
		t.Errorf("delivered %q, %+v", s.got, s.a.Stats())
	}
	for _, chunk := range []string{"DATA{flags=IBE tsn=101 sid=0 ssn=1 ppid=0 data=6869}", "ABORT{}", "SHUTDOWN{cum=1}"} {
		b, _ := wire.ParseText(fmt.Sprintf("4000>5000 tag=%08x %s", uint32(s.a.tag), chunk))
		b[8+len(chunk)%4] ^= 4
		s.a.Handle(s.now, client, b)
		if s.wants(s.out()); len(s.got) != 1 || s.a.state != Established {
			t.Errorf("%s: delivered %q, state %d", chunk, s.got, s.a.state)
		}
	}
	if c := s.a.Stats().BadChecksum; c != 3 {
		t.Errorf("%d wrong checksums", c)
	}
}
