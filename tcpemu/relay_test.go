package tcpemu

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// between has a test be the peers of two connections that a gateway has joined.
func between(t *testing.T, test func(near, far *dialogue, a, b *Conn)) {
	talking(t, func(near *dialogue, a *Conn) {
		far := newDialogue(near.t, sessionConfig{dialled: true})
		far.want(0, typeHello)
		far.sayHello(1, 0)
		end := far.open("")
		far.say(1, frame{typ: typeOpenOK, epoch: far.want(1, typeOpen).epoch, credit: initialWindow})
		b := far.wantOpened(end)
		RelayProbes(a, b)
		test(near, far, a, b)
	})
}

// A probe is answered by the farthest end, in both directions. What stands for
// an acknowledgement is not passed on.
func TestProbesAreRelayed(t *testing.T) {
	between(t, func(near, far *dialogue, _, _ *Conn) {
		for _, d := range [][2]*dialogue{{near, far}, {far, near}} {
			d[0].say(1, frame{typ: typePing, opaque: 77})
			f := d[1].want(1, typePing)
			d[0].wantSilence(time.Hour)
			d[1].say(1, frame{typ: typePong, opaque: f.opaque})
			if f := d[0].want(1, typePong); f.opaque != 77 {
				t.Errorf("PONG to %d", f.opaque)
			}
			ordered := frame{typ: typePing, opaque: 78}
			d[0].a.in <- sctpmh.Message{Stream: 1, PPID: ppidCtrl, Data: ordered.append(nil)}
			if f := d[0].want(1, typePong); f.opaque != 78 {
				t.Errorf("PONG to %d", f.opaque)
			}
			d[1].wantSilence(time.Hour)
		}
	})
}

// A peer that probes without end does not fill the queue of another
// association, whose peer answers nothing. Answers make room.
func TestRelayedProbesAreBounded(t *testing.T) {
	between(t, func(near, far *dialogue, a, _ *Conn) {
		for i := range uint64(1000) {
			near.say(1, frame{typ: typePing, opaque: i})
		}
		var last frame
		for range maxRelayed {
			last = far.want(1, typePing)
		}
		far.wantSilence(time.Hour)
		far.say(1, frame{typ: typePong, opaque: last.opaque})
		near.want(1, typePong)
		near.say(1, frame{typ: typePing, opaque: 5000})
		far.want(1, typePing)
		a.Reset()
		near.want(1, typeReset)
		near.say(1, frame{typ: typeReset, epoch: a.epoch})
		synctest.Wait()
		if n := len(far.s.pings.waiting); n > 0 {
			t.Errorf("%d PINGs wait for an answer that nobody wants", n)
		}
	})
}

// When the connection behind the gateway is over nobody answers for it, nor asks
// on its number, which may be another's.
func TestNobodyAnswersForWhoIsGone(t *testing.T) {
	between(t, func(near, far *dialogue, _, b *Conn) {
		far.say(1, frame{typ: typeReset, epoch: b.epoch})
		far.want(1, typeReset)
		near.say(1, frame{typ: typePing, opaque: 1})
		near.wantSilence(time.Hour)
		far.wantSilence(time.Hour)
	})
}

// Keepalive over a gateway finds out that a far end answers, and that it does
// not any more.
func TestKeepAliveOverAGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _, accepted := joined(t, sessionConfig{})
		right, server, served := joined(t, sessionConfig{})
		open := func(s *session, accepted chan *Conn) (from, to *Conn) {
			from, err := s.open(t.Context(), &request{target: Target{Port: 80}})
			must(t, err)
			return from, <-accepted
		}
		c, in := open(client, accepted)
		out, _ := open(right, served)
		RelayProbes(in, out)
		must(t, c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}))
		time.Sleep(time.Hour)
		if c.over() {
			t.Fatal("reset, and the far end answers")
		}
		server.assoc.Abort("gone") // and the gateway does not notice
		time.Sleep(10 * time.Second)
		_, err := c.Read(make([]byte, 1))
		wantIs(t, "Read", err, syscall.ETIMEDOUT)
	})
}
