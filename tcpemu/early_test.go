package tcpemu

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/sctpmh/mh/sctpmh"
)

// earlySession is a session whose peer has not said HELLO yet.
func earlySession(t *testing.T) (a *fakeAssoc, accepted chan *Conn) {
	a, accepted = newFake(nil), make(chan *Conn, 1)
	s := newSession(a, sessionConfig{log: slog.New(slog.DiscardHandler), accept: func(o *Open) error {
		c, err := o.Accept(netip.AddrPort{})
		if err == nil {
			accepted <- c
		}
		return err
	}})
	t.Cleanup(func() {
		a.Abort("over")
		s.running.Wait()
	})
	return a, accepted
}

// The packet with HELLO was lost, those with OPEN and data were not: streams do
// not wait for one another.
func TestHelloIsOvertaken(t *testing.T) {
	a, accepted := earlySession(t)
	open := &frame{typ: typeOpen, epoch: 1, target: Target{Port: 80}, credit: 1000}
	a.in <- sctpmh.Message{Stream: 1, PPID: ppidCtrl, Data: open.append(nil)}
	a.in <- sctpmh.Message{Stream: 1, PPID: ppidData, Data: []byte("early")}
	a.in <- sctpmh.Message{PPID: ppidCtrl, Data: hello(^uint64(0))}
	select {
	case c := <-accepted:
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "early" {
			t.Errorf("read %q, %v", got, err)
		}
	case <-a.done:
		t.Fatal(a.Err())
	}
}

// A peer that never says HELLO does not fill memory.
func TestTooMuchBeforeHello(t *testing.T) {
	for name, m := range map[string]sctpmh.Message{
		"messages": {PPID: ppidCtrl, Data: (&frame{typ: typePing, opaque: 1}).append(nil)},
		"octets":   {Stream: 1, PPID: ppidData, Data: make([]byte, 4<<10)},
	} {
		a, _ := earlySession(t)
		for range maxEarly {
			a.in <- m
		}
		if name == "messages" {
			a.in <- m
		}
		<-a.done
		// Without the limit it ends all the same, but helloTimeout later.
		if err := a.Err(); err == nil || err.Error() != "too much before HELLO" {
			t.Errorf("too many %s: ended by %v", name, err)
		}
	}
}

// What answers an OPEN of ours, and what follows on its stream, does not wait
// for a HELLO that was lost: a peer may send as much of it as it has credit for,
// in messages as small as it likes.
func TestAnswersNeedNoHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, sessionConfig{dialled: true})
		d.want(0, typeHello)
		opened := make(chan *Conn)
		go func() { // ends with the answer
			c, err := d.s.open(t.Context(), &request{target: Target{Port: 80}})
			if err != nil {
				t.Error(err)
			}
			opened <- c
		}()
		open := d.want(1, typeOpen)
		// It dialled, too, and took the number for its own until it had our HELLO.
		d.say(1, frame{typ: typeOpen, epoch: open.epoch + 9, target: Target{Port: 80}, credit: 1000})
		d.sayData(1, "void")
		d.say(1, frame{typ: typeOpenOK, epoch: open.epoch, credit: 1000})
		c := <-opened
		for range 2 * maxEarly {
			d.sayData(1, "x")
		}
		d.say(1, frame{typ: typeFin, offset: 2 * maxEarly})
		if got, err := io.ReadAll(c); len(got) != 2*maxEarly || err != nil {
			t.Errorf("read %d octets, %v", len(got), err)
		}
		d.sayHello(1, helloDialled)
		<-d.s.greeted
		synctest.Wait()
		if err := d.s.assoc.Err(); err != nil {
			t.Error(err)
		}
	})
}
