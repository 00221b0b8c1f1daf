package sctpmh

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// mustPut adds a message of one octet that says which it is.
func mustPut(t *testing.T, b *outbox, stream uint16, mark byte) (wake bool) {
	t.Helper()
	ok, wake, err := b.tryPut(Message{Stream: stream, Data: []byte{mark}})
	if !ok || err != nil {
		t.Fatalf("message %c of stream %d: admitted %v, %v", mark, stream, ok, err)
	}
	return wake
}

// drain takes what has a turn and returns the marks.
func drain(b *outbox, full bool) (marks string) {
	for m, ok, _ := b.tryTake(full); ok; m, ok, _ = b.tryTake(full) {
		marks += string(m.Data)
	}
	return marks
}

func TestStreamsTakeTurns(t *testing.T) {
	b := newOutbox(100)
	for _, mark := range []byte("abc") {
		mustPut(t, &b, 1, mark)
	}
	for _, mark := range []byte("ABC") {
		mustPut(t, &b, 2, mark)
	}
	mustPut(t, &b, 3, '1')
	if got := drain(&b, false); got != "aA1bBcC" {
		t.Errorf("taken %q, want %q", got, "aA1bBcC")
	}
	if len(b.flows) != 0 || b.octets != 0 || b.waiting != 0 {
		t.Errorf("idle streams cost memory: %d flows, %d octets", len(b.flows), b.octets)
	}
}

// Credit for the other direction does not wait for the data of this one.
func TestUnorderedMessagesAreAFlowOfTheirOwn(t *testing.T) {
	b := newOutbox(2)
	for _, mark := range []byte("ab") {
		mustPut(t, &b, 1, mark)
	}
	if ok, _, err := b.tryPut(Message{Stream: 1, Unordered: true, Data: []byte("u")}); !ok || err != nil {
		t.Fatalf("refused: %v", err)
	}
	if got := drain(&b, false); got != "aub" {
		t.Errorf("taken %q, want %q", got, "aub")
	}
}

// A stream that sends after others have filled the buffer has a message taken
// at once, and not a second one before they had their turn.
func TestFreshStreamsGoFirstOnce(t *testing.T) {
	b := newOutbox(100)
	for _, mark := range []byte("abcd") {
		mustPut(t, &b, 1, mark)
	}
	if m, ok, _ := b.tryTake(false); !ok || m.Data[0] != 'a' {
		t.Fatalf("taken %q", m.Data)
	}
	if got := drain(&b, true); got != "" {
		t.Errorf("a stream that has had its turn goes on although there is no room: %q", got)
	}
	if !mustPut(t, &b, 2, 'A') {
		t.Error("nobody wakes the driver for a fresh stream")
	}
	if got := drain(&b, true); got != "A" {
		t.Errorf("taken %q, want %q", got, "A")
	}
	mustPut(t, &b, 2, 'B')
	if got := drain(&b, true); got != "" {
		t.Errorf("a second message takes the room of others: %q", got)
	}
	if got := drain(&b, false); got != "bBcd" {
		t.Errorf("taken %q, want %q", got, "bBcd")
	}
}

// What waits is bounded by the limit and a message for each stream, and every
// stream gets a message in.
func TestOutboxIsBounded(t *testing.T) {
	const limit, size, streams = 1 << 16, 1000, 200
	b := newOutbox(limit)
	for s := range uint16(streams) {
		n := 0
		for {
			ok, _, err := b.tryPut(Message{Stream: s, Data: make([]byte, size)})
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			n++
		}
		if n == 0 {
			t.Fatalf("stream %d gets nothing in", s)
		}
	}
	if bound := limit + streams*size; b.octets > bound {
		t.Errorf("%d octets wait, bound %d", b.octets, bound)
	}
}

// A bulk stream that was alone gives way to others as it is taken.
func TestSharesOfTheLimit(t *testing.T) {
	const size = 100
	b := newOutbox(100 * size)
	fill := func(stream uint16) {
		for ok := true; ok; {
			ok, _, _ = b.tryPut(Message{Stream: stream, Data: make([]byte, size)})
		}
	}
	fill(1)
	for range 1000 {
		fill(2)
		fill(1)
		if _, ok, _ := b.tryTake(false); !ok {
			t.Fatal("empty")
		}
	}
	for stream := range uint16(2) {
		if got := b.flows[flowID{stream: stream + 1}].octets; got > 51*size || got < 49*size {
			t.Errorf("stream %d has %d octets waiting, half of the limit is %d", stream+1, got, b.limit/2)
		}
	}
}

// Whatever is put comes out, in order, and nothing is left.
func TestOutboxKeepsOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := newOutbox(500)
	put, taken := map[flowID]byte{}, map[flowID]byte{}
	take := func(full bool) bool {
		m, ok, err := b.tryTake(full)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			if m.Data[0] != taken[m.flow()] {
				t.Fatalf("flow %v: message %d taken, want %d", m.flow(), m.Data[0], taken[m.flow()])
			}
			taken[m.flow()]++
		}
		return ok
	}
	for range 100_000 {
		if rng.IntN(2) == 0 {
			take(rng.IntN(3) == 0)
			continue
		}
		m := Message{Stream: uint16(rng.IntN(20)), Unordered: rng.IntN(5) == 0, Data: make([]byte, 1+rng.IntN(60))}
		m.Data[0] = put[m.flow()]
		empty := put[m.flow()] == taken[m.flow()]
		ok, _, err := b.tryPut(m)
		if err != nil || empty && !ok {
			t.Fatalf("a stream with nothing waiting: admitted %v, %v", ok, err)
		}
		if ok {
			put[m.flow()]++
		}
	}
	for take(false) {
	}
	for id, n := range put {
		if taken[id] != n {
			t.Errorf("flow %v: %d messages lost", id, n-taken[id])
		}
	}
	if len(b.flows) != 0 || b.octets != 0 || b.waiting != 0 {
		t.Errorf("left: %d flows, %d octets, %d waiting", len(b.flows), b.octets, b.waiting)
	}
}

func TestPutWaitsForItsOwnStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutbox(4)
		for _, mark := range []byte("abcd") {
			mustPut(t, &b, 1, mark)
		}
		result := make(chan error, 3)
		go func() { // ends when stream 1 has room
			_, err := b.put(t.Context(), Message{Stream: 1, Data: []byte("e")})
			result <- err
		}()
		synctest.Wait()
		if len(result) > 0 {
			t.Fatal("more than the limit is admitted")
		}
		if got := drain(&b, false); got != "abcd" {
			t.Fatalf("taken %q", got)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		if got := drain(&b, false); got != "e" {
			t.Errorf("taken %q, want %q", got, "e")
		}

		for _, mark := range []byte("fghi") {
			mustPut(t, &b, 1, mark)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // ends when ctx is cancelled
			_, err := b.put(ctx, Message{Stream: 1, Data: []byte("x")})
			result <- err
		}()
		go func() { // ends with the outbox
			_, err := b.put(t.Context(), Message{Stream: 1, Data: []byte("y")})
			result <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		b.end(ErrClosed)
		if err := <-result; err != ErrClosed {
			t.Error(err)
		}
		if got := drain(&b, false); got != "fghi" {
			t.Errorf("after the end: %q, want %q", got, "fghi")
		}
		if _, err := b.take(t.Context()); err != ErrClosed {
			t.Errorf("after the last message: %v", err)
		}
	})
}

// BenchmarkOutboxEcho is a stream that sends a message now and then, beside bulk.
func BenchmarkOutboxEcho(b *testing.B) {
	q := newOutbox(unsentLimit)
	bulk, echo := Message{Stream: 1, Data: make([]byte, 1200)}, Message{Stream: 2, Data: make([]byte, 1)}
	b.ReportAllocs()
	for b.Loop() {
		for ok := true; ok; {
			ok, _, _ = q.tryPut(bulk)
		}
		_, _, _ = q.tryPut(echo)
		for range 4 {
			_, _, _ = q.tryTake(false)
		}
	}
}

func TestTakeWaitsForAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutbox(100)
		taken := make(chan string)
		go func() { // ends with the outbox
			defer close(taken)
			for {
				m, err := b.take(t.Context())
				if err != nil {
					return
				}
				taken <- string(m.Data)
			}
		}()
		for _, mark := range []byte("ab") {
			synctest.Wait()
			mustPut(t, &b, 1, mark)
			if got := <-taken; got != string(mark) {
				t.Errorf("taken %q, want %q", got, mark)
			}
		}
		synctest.Wait()
		if len(b.flows) != 0 {
			t.Errorf("%d flows while it waits", len(b.flows))
		}
		b.end(ErrClosed)
		if got, more := <-taken; more {
			t.Errorf("after the end: %q", got)
		}
	})
}
