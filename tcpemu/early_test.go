package tcpemu

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"

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
