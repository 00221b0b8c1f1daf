package tcpemu

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/sctpmh/mh/sctpmh"
)

// orderly is a session over an association that has room for one message, and
// what it sends.
type orderly struct {
	t    *testing.T
	a    *fakeAssoc
	s    *session
	out  chan sctpmh.Message
	sent []string // as text
	open []*Open  // of the peer
}

// newOrderly starts a session with a peer that has said HELLO. wrap makes the
// association what the test needs.
func newOrderly(t *testing.T, dialled bool, wrap func(*fakeAssoc) assoc) *orderly {
	t.Helper()
	o := &orderly{t: t, out: make(chan sctpmh.Message, 1)}
	o.a = newFake(o.out)
	o.s = newSession(wrap(o.a), sessionConfig{dialled: dialled, log: slog.New(slog.DiscardHandler), accept: func(open *Open) error {
		o.open = append(o.open, open)
		return nil
	}})
	t.Cleanup(func() {
		o.a.Abort("over")
		o.s.running.Wait()
	})
	hello := frame{typ: typeHello, version: protocolVersion, nonce: 1, streams: 100, credit: 1 << 20}
	if !dialled {
		hello.flags = helloDialled
	}
	o.receive(0, &hello)
	return o
}

func itself(a *fakeAssoc) assoc { return a }

// receive has a message of the peer arrive.
func (o *orderly) receive(sid uint16, f *frame) {
	o.a.in <- ctrl(sid, f)
	synctest.Wait()
}

// take makes room for one message of the session, and notes what it is.
func (o *orderly) take() {
	o.t.Helper()
	synctest.Wait()
	if len(o.out) == 0 {
		o.t.Fatalf("nothing is sent after %q", o.sent)
	}
	m := <-o.out
	text := string(m.Data[:1])
	if m.PPID == ppidCtrl {
		text = fmt.Sprint(m.Data[0])
	}
	o.sent = append(o.sent, text)
	synctest.Wait()
}

// wantSent takes as many messages as there are in want and compares: control
// messages by their type, data by its first octet.
func (o *orderly) wantSent(want ...string) {
	o.t.Helper()
	for len(o.sent) < len(want) {
		o.take()
	}
	if !slices.Equal(o.sent, want) || len(o.out) > 0 {
		o.t.Errorf("sent %q and then %d more, want %q", o.sent, len(o.out), want)
	}
}

func text(b byte, n int) []byte { return slices.Repeat([]byte{b}, n) }

// What a user writes does not overtake the octets that went with OPEN, however
// long those wait for room.
func TestEarlyOctetsComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrderly(t, true, itself)
		opened := make(chan *Conn, 1)
		go func() { // ends with the answer to OPEN
			c, err := o.s.open(t.Context(), &request{target: Target{Port: 80}, early: text('a', 2000)})
			if err != nil {
				t.Error(err)
				return
			}
			opened <- c
			c.Write([]byte("b"))
		}()
		o.take() // HELLO
		synctest.Wait()
		c := o.s.conn(1)
		o.receive(1, &frame{typ: typeOpenOK, epoch: c.epoch, credit: 1 << 20})
		<-opened
		o.wantSent("1", "16", "a", "a", "b")
	})
}

// Nor does it overtake OPEN_OK.
func TestOpenOKComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrderly(t, false, itself)
		o.receive(1, &frame{typ: typeOpen, epoch: 5, target: Target{Port: 80}, credit: 1 << 20})
		c, err := o.open[0].Accept(netip.AddrPort{})
		must(t, err)
		go c.Write([]byte("b")) // ends when there is room
		o.wantSent("1", "17", "b")
	})
}

// absent is an association whose TrySend takes its time, as a goroutine does
// that loses its processor right before it.
type absent struct {
	*fakeAssoc
	back chan struct{} // closed when the goroutine goes on
}

func (a absent) TrySend(m sctpmh.Message) (bool, error) {
	if m.PPID == ppidData {
		<-a.back
	}
	return a.fakeAssoc.TrySend(m)
}

// RESET does not overtake what is written: the peer would take octets behind it
// for a breach of protocol. Neither does a later use of the stream.
func TestResetComesLast(t *testing.T) {
	for _, who := range []string{"user", "peer"} {
		synctest.Test(t, func(t *testing.T) {
			back := make(chan struct{})
			o := newOrderly(t, false, func(a *fakeAssoc) assoc { return absent{a, back} })
			o.receive(1, &frame{typ: typeOpen, epoch: 5, target: Target{Port: 80}, credit: 1 << 20})
			c, err := o.open[0].Accept(netip.AddrPort{})
			must(t, err)
			go c.Write([]byte("b")) // ends when the goroutine goes on
			o.take()                // HELLO
			o.take()                // OPEN_OK
			if who == "user" {
				c.Reset()
			} else {
				o.receive(1, &frame{typ: typeReset, epoch: 5, code: CodeRefused})
				if o.s.conn(1) == nil {
					t.Error("the stream may be used again before its RESET is queued")
				}
			}
			synctest.Wait()
			if len(o.out) > 0 {
				t.Errorf("%s: RESET is sent while somebody writes", who)
			}
			close(back)
			o.wantSent("1", "17", "b", "20")
		})
	}
}
