package tcpemu

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// crowded is an association that has no room for ordered messages of a stream
// until it gets some.
type crowded struct {
	*fakeAssoc
	stream uint16
	room   chan struct{} // closed: there is room
	tried  chan struct{} // one for each message that had to wait
}

func (a *crowded) TrySend(m sctpmh.Message) (bool, error) {
	if m.Stream == a.stream && !m.Unordered && !isClosed(a.room) {
		return false, nil
	}
	return a.fakeAssoc.TrySend(m)
}

func (a *crowded) Send(ctx context.Context, m sctpmh.Message) error {
	if m.Stream == a.stream && !m.Unordered && !isClosed(a.room) {
		a.tried <- struct{}{}
		select {
		case <-a.room:
		case <-a.done:
		}
	}
	return a.fakeAssoc.Send(ctx, m)
}

// An answer that cannot be sent must not end all others: the peer has no such
// stream to be asked on.
func TestAskedWhereNoAnswerGoes(t *testing.T) {
	for _, f := range []frame{{typ: typePing, opaque: 1}, {typ: typeOpen, epoch: 1, target: Target{Port: 80}, credit: 1000}} {
		d := newDialogue(t, sessionConfig{})
		d.want(0, typeHello)
		d.sayHello(1, helloDialled)
		d.wantNothing()
		d.say(d.a.peer.OutStreams|1, f)
		select {
		case <-d.a.done:
		case <-time.After(10 * time.Second):
			t.Errorf("type %d is no breach", f.typ)
		}
	}
}

// What a stream has to say waits for its own bulk and for no other's.
func TestAFullStreamHoldsUpNoControlMessagesOfOthers(t *testing.T) {
	out := make(chan sctpmh.Message, 100)
	a := &crowded{fakeAssoc: newFake(out), stream: 2, room: make(chan struct{}), tried: make(chan struct{}, 10)}
	s := newSession(a, sessionConfig{log: slog.New(slog.DiscardHandler)})
	defer func() {
		a.Abort("over")
		s.running.Wait()
	}()
	<-out // HELLO
	s.enqueue(2, &frame{typ: typeFin, offset: 1})
	<-a.tried
	s.enqueue(2, &frame{typ: typeReset, epoch: 1})
	s.enqueue(2, &frame{typ: typeCredit, epoch: 1})
	s.enqueue(4, &frame{typ: typeFin, offset: 2})
	s.enqueue(6, &frame{typ: typeCredit, epoch: 1})
	next := func(n int) (got []lane) {
		for range n {
			m := <-out
			got = append(got, lane{m.Stream, m.Unordered})
		}
		return got
	}
	if got, want := next(3), []lane{{2, true}, {4, false}, {6, true}}; !slices.Equal(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
	s.mu.Lock()
	if s.out.idle() || s.out.len() != 2 {
		t.Errorf("%d messages wait, want 2", s.out.len())
	}
	s.mu.Unlock()
	close(a.room)
	for _, want := range []frameType{typeFin, typeReset} {
		if m := <-out; m.Stream != 2 || frameType(m.Data[0]) != want {
			t.Errorf("stream %d: message of type %d, want %d", m.Stream, m.Data[0], want)
		}
	}
	if !s.idle(t.Context()) {
		t.Error("never idle")
	}
}
