package engine

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// dataSetup is an association whose peer takes DATA. Chunks are numbered from 0.
type dataSetup struct {
	*rfcSetup
	p    rfcPlace
	path *path
}

// dataChunk is a DATA chunk that L sent.
type dataChunk struct {
	n        int
	flags    string
	sid, ssn int
	size     int
}

func newDataSetup(t *testing.T) *dataSetup {
	t.Helper()
	s := newRFCSetup(t)
	ack := s.ask(rfcTag, rfcTSN, "")
	s.advance(time.Second) // so late that it measures no round trip: there are no tail loss probes
	s.echo(ack)
	s.skip()
	s.is("ESTABLISHED")
	return &dataSetup{s, rfcPlace{ack.init.Tag, rfcTag, ack.init.TSN, ack}, s.assoc.paths.current}
}

// queue submits count messages of size octets together.
func (s *dataSetup) queue(count, size int) {
	s.t.Helper()
	for range count {
		s.message(Message{Data: make([]byte, size)})
	}
	s.settle()
}

func (s *dataSetup) message(m Message) {
	s.t.Helper()
	if err := s.assoc.Send(s.now, m); err != nil {
		s.t.Fatal(err)
	}
}

// sack acknowledges the first count chunks, and what extra says.
func (s *dataSetup) sack(count, rwnd int, extra string) {
	s.t.Helper()
	s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=%d%s}", s.p.local, s.p.ltsn+uint32(count)-1, rwnd, extra)
}

// measure sends and acknowledges chunk 0. After 400 ms the timeout is 1.2 s, that of a tail loss probe 0.8 s.
func (s *dataSetup) measure(rtt time.Duration, rwnd int) {
	s.t.Helper()
	s.submit("m")
	s.advance(rtt)
	s.skip()
	s.sack(1, rwnd, "")
	s.none()
}

var dataForm = regexp.MustCompile(`DATA\{(?:flags=(\w+) )?tsn=(\d+) sid=(\d+) ssn=(\d+) ppid=\d+ data=(~?)(\w+)\}`)

// packets reads the DATA chunks of the packets sent since it was called last.
func (s *dataSetup) packets() (all [][]dataChunk) {
	s.t.Helper()
	for _, p := range s.sent {
		var in []dataChunk
		for _, m := range dataForm.FindAllStringSubmatch(p.text, -1) {
			tsn, _ := strconv.ParseUint(m[2], 10, 32)
			c := dataChunk{n: int(int32(uint32(tsn) - s.p.ltsn)), flags: strings.ReplaceAll(m[1], "I", ""), size: len(m[6]) / 2}
			c.sid, _ = strconv.Atoi(m[3])
			c.ssn, _ = strconv.Atoi(m[4])
			if m[5] != "" {
				c.size, _ = strconv.Atoi(m[6])
			}
			in = append(in, c)
		}
		if in != nil {
			all = append(all, in)
		}
	}
	s.skip()
	return all
}

// chunks checks which DATA chunks were sent since it was called last.
func (s *dataSetup) chunks(want ...int) []dataChunk {
	s.t.Helper()
	all := slices.Concat(s.packets()...)
	var got []int
	for _, c := range all {
		got = append(got, c.n)
	}
	if !slices.Equal(got, want) {
		s.t.Fatalf("sent DATA chunks %v, want %v", got, want)
	}
	return all
}

// 6: DATA leaves in ESTABLISHED, SHUTDOWN-PENDING and SHUTDOWN-RECEIVED only, even if some is queued, but for COOKIE ECHO's
// packet (TestRFC9260EarlyData); Send takes none in a state where none may follow.
//
//rfc:9260 6-1 6.5-1
func TestRFC9260DataLeavesInStates(t *testing.T) {
	may := []string{"ESTABLISHED", "SHUTDOWN-PENDING", "SHUTDOWN-RECEIVED"}
	refused := map[string]error{"SHUTDOWN-PENDING": ErrClosed, "SHUTDOWN-SENT": ErrClosed, "SHUTDOWN-ACK-SENT": ErrClosed,
		"SHUTDOWN-RECEIVED": ErrClosed} // where the user has nothing more to send: the dialogue shuts down at once
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		state := s.state()
		if err := s.assoc.Send(s.now, Message{Data: []byte("x")}); !errors.Is(err, refused[state]) {
			s.t.Errorf("Send: %v", err)
		}
		s.assoc.out.push(&outMessage{Message: Message{Data: []byte("y")}})
		s.settle()
		s.advance(200 * time.Millisecond)
		sent := slices.ContainsFunc(s.sent, func(p seen) bool { return slices.Contains(p.chunks, "DATA") })
		if want := slices.Contains(may, state); sent != want {
			s.t.Errorf("DATA sent %v, want %v", sent, want)
		}
	})
}

// 6: DATA is taken in ESTABLISHED, SHUTDOWN-PENDING and SHUTDOWN-SENT, and thrown away without a word otherwise. In
// COOKIE-ECHOED the first DATA says what COOKIE ACK says, and only the first.
//
//rfc:9260 6-2 6-4
func TestRFC9260DataTakenInStates(t *testing.T) {
	may := []string{"COOKIE-ECHOED", "ESTABLISHED", "SHUTDOWN-PENDING", "SHUTDOWN-SENT"}
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		if s.state() == "COOKIE-ECHOED" {
			for _, tsn := range []uint32{rfcTSN - 1, rfcTSN + 1} {
				s.silent("4000>5000 tag=%08x DATA{flags=BE tsn=%d sid=0 ssn=0 ppid=0 data=6869}", p.local, tsn)
			}
			s.is("COOKIE-ECHOED")
		}
		want := slices.Contains(may, s.state())
		s.send("4000>5000 tag=%08x %s", p.local, rfcHi)
		if got := len(s.received()) == 1; got != want {
			s.t.Errorf("received %q", s.received())
		}
		if want {
			if p := s.next(); rfcField(p.text, "cum") != "100" {
				s.t.Errorf("answered by %s", p.text)
			}
		} else {
			s.none()
		}
	})
}

// 6: a SACK counts in ESTABLISHED, SHUTDOWN-PENDING and SHUTDOWN-RECEIVED; elsewhere even one that names what was never sent
// does nothing.
//
//rfc:9260 6-5 6-7
func TestRFC9260DataSackInStates(t *testing.T) {
	after := map[string]string{"ESTABLISHED": "ESTABLISHED", "SHUTDOWN-PENDING": "SHUTDOWN-SENT", "SHUTDOWN-RECEIVED": "SHUTDOWN-ACK-SENT"}
	rfcEach(t, rfcAll, func(s *rfcSetup, p rfcPlace) {
		next := after[s.state()]
		if next == "" {
			s.silent("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn+50)
			return
		}
		if s.state() == "ESTABLISHED" {
			s.submit("x")
		}
		s.send("4000>5000 tag=%08x SACK{cum=%d rwnd=65536}", p.local, p.ltsn)
		s.is(next)
		if s.assoc.outstanding() {
			s.t.Error("still outstanding")
		}
	})
}

// 6.1 A: new DATA leaves only while the peer has room for the whole chunk; Send takes more all the same.
//
//rfc:9260 6.1-2 6.1-17
func TestRFC9260DataKeepsToTheWindow(t *testing.T) {
	s := newDataSetup(t)
	s.measure(400*time.Millisecond, 2500)
	s.queue(6, 1000)
	s.chunks(1, 2)
	s.advance(300 * time.Millisecond)
	s.none()
	s.sack(2, 1999, "") // chunk 2 takes 1000 of it
	s.none()
	s.sack(3, 1999, "")
	s.chunks(3)
	s.sack(4, 2000, "")
	s.chunks(4, 5)
}

// 6.1 A: a window that is closed is probed by one chunk, when nothing else is in flight: after one RTO, then at intervals that
// double. While the peer answers nothing counts as an error and the congestion window stays. The answer that was missed
// opens the window.
//
//rfc:9260 6.1-2 6.1-3 6.1-4 6.1-5 6.1-6 6.1-7 6.1-8
func TestRFC9260DataProbesAClosedWindow(t *testing.T) {
	s := newDataSetup(t)
	s.measure(400*time.Millisecond, 0)
	cwnd, ssthresh := s.path.cc.cwnd, s.path.cc.ssthresh
	s.queue(3, 1000)
	const ms = time.Millisecond
	for _, wait := range []time.Duration{1200, 1200, 2400, 4800, 9600, 19200, 38400, 60000, 60000, 60000, 60000, 60000, 60000} {
		s.advance(wait*ms - ms)
		s.none()
		s.advance(ms)
		s.chunks(1)
		s.sack(1, 0, "")
		if p := s.path; p.errors != 0 || s.assoc.assocErrors != 0 || p.state != Active || p.cc.cwnd != cwnd || p.cc.ssthresh != ssthresh {
			t.Fatalf("%d and %d errors, %v, cwnd %d was %d, ssthresh %d was %d",
				p.errors, s.assoc.assocErrors, p.state, p.cc.cwnd, cwnd, p.cc.ssthresh, ssthresh)
		}
	}
	s.none()
	s.sack(2, 65536, "")
	s.chunks(2, 3)
}

// 6.1 A: no probe while anything is outstanding; what is outstanding is repeated instead.
//
//rfc:9260 6.1-4
func TestRFC9260DataNoProbeBesideOutstanding(t *testing.T) {
	s := newDataSetup(t)
	s.measure(400*time.Millisecond, 2000)
	s.queue(4, 1000)
	s.chunks(1, 2)
	s.sack(2, 0, "")
	s.advance(4 * time.Second)
	sent := slices.Concat(s.packets()...)
	if len(sent) < 2 || slices.ContainsFunc(sent, func(c dataChunk) bool { return c.n != 2 }) {
		t.Errorf("sent %v, want chunk 2 again and again", sent)
	}
}

// 6.1 A: an opening of the window that is too small is not filled by a small chunk: only the end of a message is short.
//
//rfc:9260 6.1-9
func TestRFC9260DataNoSillyChunks(t *testing.T) {
	s := newDataSetup(t)
	s.measure(400*time.Millisecond, 0)
	full := s.assoc.MaxPayload()
	s.queue(1, 4*full+100)
	for n, size := range []int{full, full, full, full, 100} {
		for _, rwnd := range []int{1, 64, size - 1} {
			s.sack(n+1, rwnd, "")
			s.none()
		}
		s.sack(n+1, size, "")
		if c := s.chunks(n + 1)[0]; c.size != size {
			t.Errorf("chunk %d has %d octets, want %d", c.n, c.size, size)
		}
	}
}

// 6.1 B: the flight reaches cwnd, one packet may exceed it, and then nothing leaves until there is an acknowledgement.
//
//rfc:9260 6.1-10 6.1-11 6.1-12 6.1-17
func TestRFC9260DataKeepsToTheCongestionWindow(t *testing.T) {
	for _, size := range []int{100, 333, 1000, 1224, 5000} {
		s := newDataSetup(t)
		s.queue(45_000/size, size)
		for acked := range 3 {
			s.advance(50 * time.Millisecond)
			sent := s.packets()
			last := 0
			for _, c := range sent[len(sent)-1] {
				last += dataHeader + (c.size+3)&^3
			}
			cwnd, flight := s.path.cc.cwnd, s.path.flight
			if flight < cwnd || flight-last >= cwnd || s.assoc.flight.payload >= cwnd+s.assoc.MaxPayload()-1 {
				t.Fatalf("size %d: cwnd %d, flight %d (%d of payload), %d of it in the last packet", size, cwnd, flight, s.assoc.flight.payload, last)
			}
			s.queue(1, 1) // taken, but not sent
			s.none()
			n := sent[len(sent)-1]
			s.sack(n[len(n)-1].n+1-acked%2, 65536, "")
		}
	}
}

// 6.1 C: what was lost goes before what is new.
//
//rfc:9260 6.1-13 6.7-4 6.7-5
func TestRFC9260DataLostFirst(t *testing.T) {
	s := newDataSetup(t)
	s.queue(12, 1000)
	s.chunks(0, 1, 2, 3, 4)
	s.advance(50 * time.Millisecond)
	s.sack(1, 65536, " gaps=2-4")
	if c := s.packets(); len(c) < 2 || c[0][0].n != 1 || c[1][0].n != 5 {
		t.Errorf("sent %v", c)
	}
}

// 6.1: an acknowledgement that waits goes along with DATA, before it, and not alone afterwards.
//
//rfc:9260 6.1-16
func TestRFC9260DataCarriesTheSack(t *testing.T) {
	s := newDataSetup(t)
	s.send("4000>5000 tag=%08x %s", s.p.local, rfcHi)
	s.skip()
	s.send("4000>5000 tag=%08x DATA{flags=BE tsn=101 sid=0 ssn=1 ppid=0 data=6869}", s.p.local)
	s.none()
	s.submit("x")
	p := s.next()
	if !slices.Equal(p.chunks, []string{"SACK", "DATA"}) {
		t.Fatalf("sent %s", p.text)
	}
	s.acked(p, 101)
	s.sack(1, 65536, "")
	s.advance(time.Second)
	s.none()
}

// 6.1, 6.3.2: sending starts T3-rtx with the RTO, and more of it leaves the running timer alone; each expiry doubles the time.
//
//rfc:9260 6.1-18 6.1-20 6.1-21
func TestRFC9260DataT3(t *testing.T) {
	s := newDataSetup(t)
	t3 := &s.path.loss.t3
	start := s.now
	for _, m := range []string{"a", "b"} {
		s.submit(m)
		if !t3.armed || t3.at != start.Add(time.Second) {
			t.Fatalf("after %s: T3 is %v, %v later", m, t3.armed, t3.at.Sub(start))
		}
		s.advance(400 * time.Millisecond)
	}
	s.chunks(0, 1)
	s.advance(200*time.Millisecond - 1)
	for wait := 2 * time.Second; wait <= 32*time.Second; wait *= 2 {
		s.none()
		s.advance(1)
		s.chunks(0, 1)
		if t3.at != s.now.Add(wait) || s.path.rto.rto != wait {
			t.Fatalf("T3 is set to %v, want %v", t3.at.Sub(s.now), wait)
		}
		s.advance(wait - 1)
	}
}

// 6.1: to send the lowest outstanding TSN again restarts a running T3-rtx.
//
//rfc:9260 6.1-19
func TestRFC9260DataT3Restart(t *testing.T) {
	s := newDataSetup(t)
	s.queue(5, 1000)
	s.chunks(0, 1, 2, 3, 4)
	s.advance(400 * time.Millisecond)
	before := s.path.loss.t3.at
	s.sack(0, 65536, " gaps=2-4")
	s.chunks(0)
	if at := s.path.loss.t3.at; at == before || at != s.now.Add(s.path.rto.rto) || s.path.loss.count != 2 {
		t.Errorf("%d in flight, T3 in %v, want %v", s.path.loss.count, at.Sub(s.now), s.path.rto.rto)
	}
}

// 6.1: so does a tail loss probe that sends it again.
//
//rfc:9260 6.1-19
func TestRFC9260DataT3RestartByProbe(t *testing.T) {
	s := newDataSetup(t)
	s.measure(100*time.Millisecond, 65536)
	s.submit("x")
	s.chunks(1)
	s.advance(200 * time.Millisecond)
	s.chunks(1)
	if at := s.path.loss.t3.at; at != s.now.Add(s.path.rto.rto) {
		t.Errorf("T3 expires %v after the probe, RTO %v", at.Sub(s.now), s.path.rto.rto)
	}
}

// 6.1: however large the windows are, chunks in use span less than 2^16 TSNs, so less than 2^31, and so many messages.
//
//rfc:9260 1.6-3 6.1-22 6.1-23
func TestRFC9260DataSpansFewTSNs(t *testing.T) {
	a, octet := established(t), []byte{1}
	for range 1<<16 + 10 {
		if err := a.Send(1e9, Message{Data: octet}); err != nil {
			t.Fatal(err)
		}
	}
	a.paths.current.cc.cwnd, a.peer.rwnd = 1<<30, 1<<30
	a.flight.ring = make([]sentChunk, 1<<16)
	buf := make([]byte, 0, maxPMTU)
	for now, ok := Time(1e9), true; ok; now = now.Add(time.Microsecond) {
		_, _, ok = a.Poll(now, buf)
	}
	if n := a.flight.len(); n == 0 || n > 1<<16-1 {
		t.Errorf("%d chunks are in flight", n)
	}
}

// 6.2.1: the peer's window is what it announced less what is outstanding: A at the start, B less what is sent, C more what is
// taken for lost, D by SACK, unless that is an old one.
//
//rfc:9260 6.2.1-1
func TestRFC9260DataPeerWindow(t *testing.T) {
	s := newDataSetup(t)
	is := func(what string, want int) {
		t.Helper()
		if s.assoc.peer.rwnd != want {
			t.Errorf("%s: window %d, want %d", what, s.assoc.peer.rwnd, want)
		}
	}
	is("A", 65536)
	s.queue(4, 1000)
	is("B", 65536-4000)
	s.advance(400 * time.Millisecond)
	s.sack(1, 50_000, "")
	is("D", 50_000-3000)
	s.sack(0, 7000, "")
	is("D i, an old SACK", 50_000-3000)
	s.skip()
	s.advance(2100 * time.Millisecond)
	s.chunks(1, 1) // the tail loss probe, then T3-rtx with one packet
	is("C, then B", 50_000-1000)
	s.sack(1, 50_000, " gaps=2-2")
	is("D, with a gap; what is left leaves", 50_000-2000)
}

// 6.2.1 D iii, stricter: what an earlier SACK reported and a later one does not is sent again, here without waiting for more
// reports.
//
//rfc:9260 6.2.1-1
func TestRFC9260DataTakenBack(t *testing.T) {
	s := newDataSetup(t)
	s.queue(3, 1000)
	s.chunks(0, 1, 2)
	s.sack(1, 65536, " gaps=2-2")
	s.none()
	s.sack(1, 65536, "")
	s.chunks(2)
}

// 6.5: an ordered message has the next SSN of its stream, from 0 on, and 0 after 65535; an unordered one changes nothing. There
// is no DATA on a stream that does not exist.
//
//rfc:9260 6.5-1 6.5-3 6.5-4 6.5-5 6.5-6
func TestRFC9260DataStreams(t *testing.T) {
	s := newDataSetup(t)
	put := func(sid wire.StreamID, unordered bool) {
		s.message(Message{Stream: sid, Unordered: unordered, Data: []byte("x")})
	}
	for range 2 {
		for _, sid := range []wire.StreamID{0, 9} {
			put(sid, false)
			s.settle()
			put(sid, true)
			s.settle()
		}
	}
	s.assoc.out.flows[flowID{stream: 9}].ssn = 65535
	put(9, false)
	s.settle()
	put(9, false)
	s.settle()
	var got []string
	for _, c := range s.chunks(0, 1, 2, 3, 4, 5, 6, 7, 8, 9) {
		if c.flags == "BE" {
			got = append(got, fmt.Sprint(c.sid, ":", c.ssn))
		}
	}
	if want := []string{"0:0", "9:0", "0:1", "9:1", "9:65535", "9:0"}; !slices.Equal(got, want) {
		t.Errorf("streams and SSNs %v, want %v", got, want)
	}
	if err := s.assoc.Send(s.now, Message{Stream: 10, Data: []byte("x")}); !errors.Is(err, ErrStream) {
		t.Errorf("Send on stream 10 of 10: %v", err)
	}
}

// 6.9: a large message leaves in chunks with consecutive TSNs, B on the first and E on the last, U on all of an unordered one.
//
//rfc:9260 6-8 6.9-2 6.9-7 6.9-9 6.9-11 6.9-12 6.9-13
func TestRFC9260DataFragments(t *testing.T) {
	for _, u := range []string{"", "U"} {
		s := newDataSetup(t)
		s.message(Message{Stream: 2, Unordered: u != "", Data: make([]byte, 3000)})
		s.settle()
		want := []dataChunk{{0, u + "B", 2, 0, 1224}, {1, u, 2, 0, 1224}, {2, u + "E", 2, 0, 552}}
		if got := s.chunks(0, 1, 2); !slices.Equal(got, want) {
			t.Errorf("sent %v, want %v", got, want)
		}
	}
}

// 6.3.1 C5: what was repeated measures nothing: DATA, and the COOKIE ECHO.
//
//rfc:9260 6.3.1-4
func TestRFC9260DataRepeatedIsNotMeasured(t *testing.T) {
	s := newDataSetup(t)
	s.submit("x")
	s.advance(1050 * time.Millisecond)
	s.sack(1, 65536, "")
	if r := s.path.rto; r.measured || r.rto != 2*time.Second {
		t.Errorf("repeated DATA: %+v", r)
	}
	s.submit("y")
	s.advance(30 * time.Millisecond)
	s.sack(2, 65536, "")
	if r := s.path.rto; r.srtt != 30*time.Millisecond {
		t.Errorf("DATA sent once: %+v", r)
	}
	for _, wait := range []time.Duration{50 * time.Millisecond, 1050 * time.Millisecond} {
		s := newRFCSetup(t)
		p := s.reach("COOKIE-ECHOED")
		s.advance(wait)
		s.send("4000>5000 tag=%08x COOKIE-ACK{}", p.local)
		if r := s.assoc.paths.current.rto; r.measured != (wait < time.Second) {
			t.Errorf("COOKIE ECHO answered after %v: %+v", wait, r)
		}
	}
}

// 6.3.1 C5: a chunk that the cumulative TSN reaches late, behind a repeated one, measures nothing.
//
//rfc:9260 6.3.1-5
func TestRFC9260DataBehindARepetitionIsNotMeasured(t *testing.T) {
	s := newDataSetup(t)
	s.measure(100*time.Millisecond, 65536)
	s.submit("x")
	s.submit("y")
	s.chunks(1, 2)
	s.advance(200 * time.Millisecond)
	s.chunks(1)
	s.advance(100 * time.Millisecond)
	s.sack(3, 65536, "") // an earlier report of chunk 2 got lost
	if r := s.path.rto.srtt; r != 100*time.Millisecond {
		t.Errorf("SRTT %v", r)
	}
}

// 6.3.1 C4: the round trip is measured once in each round trip, and the estimate follows it.
//
//rfc:9260 6.3.1-1 6.3.1-2
func TestRFC9260DataMeasuresEachRoundTrip(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	r := &n.a.assoc.paths.current.rto
	sample := func(over time.Duration) (count int) {
		for end := n.now.Add(over); n.now < end; {
			before := r.next
			n.send(n.a, 1, 1, 100)
			n.advance(4 * time.Millisecond)
			if r.next != before {
				count++
			}
		}
		return count
	}
	if c := sample(400 * time.Millisecond); c < 15 || c > 20 || r.srtt != 20*time.Millisecond {
		t.Errorf("%d measurements in 20 round trips, SRTT %v", c, r.srtt)
	}
	n.delay = 30 * time.Millisecond
	if sample(1500 * time.Millisecond); r.srtt < 55*time.Millisecond || r.srtt > 60*time.Millisecond {
		t.Errorf("SRTT %v, the round trip is 60 ms", r.srtt)
	}
}
