package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// takeTurns takes count messages off a queue and returns the octets of each stream.
func takeTurns(q *sendQueue, count int) map[wire.StreamID]int {
	octets := make(map[wire.StreamID]int)
	for range count {
		m := q.peek()
		if m == nil {
			break
		}
		octets[m.Stream] += m.cost()
		q.took(m, len(m.Data))
	}
	return octets
}

func newTestQueue() *sendQueue { return &sendQueue{scheduler: newScheduler()} }

func (q *sendQueue) fill(stream wire.StreamID, count, size int) {
	for range count {
		q.push(&outMessage{Message: Message{Stream: stream, Data: make([]byte, size)}})
	}
}

// Streams with waiting messages get octets as their weights are, whatever the
// size of their messages.
func TestStreamsShareInOctets(t *testing.T) {
	a := newAssoc(Config{}.withDefaults(), rand.NewPCG(1, 2), 1, 1)
	q := &a.out
	sizes, weights := []int{0, 1200, 40, 9000, 1200, 40}, []int{0, 1, 1, 1, 3, 2}
	a.SetWeight(4, 3)
	a.SetWeight(5, 2)
	for stream := 1; stream < len(sizes); stream++ {
		q.fill(wire.StreamID(stream), 2_000_000/sizes[stream], sizes[stream])
	}
	sent := takeTurns(q, 10_000)
	for stream := 1; stream < len(sizes); stream++ {
		got, want, message := sent[wire.StreamID(stream)], sent[1]*weights[stream], sizes[stream]+2*dataHeader
		if diff := max(got-want, want-got); diff > 3*quantum+message {
			t.Errorf("stream %d of weight %d got %d octets, want %d", stream, weights[stream], got, want)
		}
	}
	if sent[1] < 100_000 {
		t.Errorf("too little was sent to tell: %v", sent)
	}
}

// A message of a stream that had nothing to send waits for one turn of each
// other stream, which is less than two packets' worth, and no more.
func TestSmallMessageWaitsForATurnOfTheOthers(t *testing.T) {
	q := newTestQueue()
	for stream := range wire.StreamID(8) {
		q.fill(stream, 100, 1200)
	}
	takeTurns(q, 37)
	q.fill(9, 1, 1)
	sent := 0
	for m := q.peek(); m.Stream != 9; m = q.peek() {
		q.took(m, len(m.Data))
		sent += m.cost()
	}
	if sent > 8*2*quantum {
		t.Errorf("%d octets before it", sent)
	}
}

// What was saved is not kept by a stream that has nothing to send: it would
// come back with a burst.
func TestIdleStreamSavesNothing(t *testing.T) {
	q := newTestQueue()
	for range 100 {
		q.fill(1, 1, 100)
		takeTurns(q, 2) // the second one finds that it is empty
	}
	q.fill(1, 100, 100)
	q.fill(2, 100, 100)
	if sent := takeTurns(q, 40); sent[1] > 2*quantum {
		t.Errorf("%d octets of stream 1 at once, %d of stream 2", sent[1], sent[2])
	}
}

// An unordered message waits for no ordered ones, those of its own stream
// among them.
func TestUnorderedDoesNotWaitForItsStream(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	for range 200 {
		if err := n.a.assoc.Send(n.now, Message{Stream: 1, Data: make([]byte, 1200)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.a.assoc.Send(n.now, Message{Stream: 1, Unordered: true, Data: []byte("now")}); err != nil {
		t.Fatal(err)
	}
	n.advance(n.delay)
	if i := slices.IndexFunc(n.b.got, func(m Message) bool { return m.Unordered }); i < 0 || i > 3 {
		t.Errorf("%d messages came, the unordered one was number %d", len(n.b.got), i)
	}
}

// Messages of a group go, when nothing of them has left: what comes after them
// is delivered all the same, without a gap in the stream's numbers.
func TestDiscard(t *testing.T) {
	n := newPair(t, Config{}, Config{SendBuffer: 1 << 20})
	n.connect()
	send := func(group uint32, text string, size int) {
		t.Helper()
		if err := n.a.assoc.Send(n.now, Message{Stream: 1, Group: group, Data: append([]byte(text), make([]byte, size)...)}); err != nil {
			t.Fatal(err)
		}
	}
	send(0, "first", 0)
	for range 30 {
		send(7, "bulk", 20000)
	}
	send(8, "other", 0)
	n.step() // a window's worth leaves
	before := n.a.assoc.out.buffered
	octets := n.a.assoc.Discard(n.now, 1, 7)
	send(0, "last", 0)
	if octets < 500_000 || before-octets+4 != n.a.assoc.out.buffered || n.a.assoc.Discard(n.now, 1, 7)+n.a.assoc.Discard(n.now, 1, 0)+n.a.assoc.Discard(n.now, 2, 8) != 0 {
		t.Errorf("%d of %d octets were dropped, %d are left", octets, before, n.a.assoc.out.buffered)
	}
	n.advance(time.Second)
	var got []string
	for _, m := range n.b.got {
		if m.Stream == 1 {
			got = append(got, string(m.Data[:4]))
		}
		if s := string(m.Data[:4]); s == "bulk" && len(m.Data) != 20004 {
			t.Errorf("a message of %d octets", len(m.Data))
		}
	}
	if want := []string{"firs", "bulk", "othe", "last"}; !slices.Equal(slices.Compact(got), want) || len(got) > 10 {
		t.Errorf("got %q, want %q", got, want)
	}
	if n.a.assoc.outstanding() {
		t.Error("something still waits")
	}
}

// What is dropped is not waited for by who shuts down.
func TestShutdownAfterDiscard(t *testing.T) {
	n := newPair(t, Config{}, Config{})
	n.connect()
	n.a.assoc.peer.rwnd = 0 // nothing leaves
	if err := n.a.assoc.Send(n.now, Message{Group: 7, Data: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	n.a.assoc.Shutdown(n.now)
	n.a.assoc.Discard(n.now, 0, 7)
	n.advance(100 * time.Millisecond)
	if e := n.wantEvent(n.a, EventClosed); e.Err != nil {
		t.Errorf("ended by %v", e.Err)
	}
}
