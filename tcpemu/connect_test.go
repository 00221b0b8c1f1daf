package tcpemu

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// lanRTT is what a round trip over lan takes, slack what its rate adds to some.
const (
	lanRTT = 20 * time.Millisecond
	slack  = time.Millisecond
)

// answer has a server read a question of n octets on each connection, count it,
// and send it back.
func (w *simWorld) answer(n int) (asked *atomic.Int32) {
	asked = new(atomic.Int32)
	go func() { // ends with the listener
		for {
			c, err := w.l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				b := make([]byte, n)
				if _, err := io.ReadFull(c, b); err == nil {
					asked.Add(1)
					c.Write(b)
				}
			}()
		}
	}()
	return asked
}

// A host that nothing is known of but its address answers a request after two
// round trips: INIT, INIT ACK, COOKIE ECHO with the request, the answer.
func TestFirstAnswerTakesTwoRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		question := make([]byte, 800)
		w.answer(len(question))
		start := time.Now()
		c, err := w.dialer.DialEarly(t.Context(), "mh", "server.example:80", question)
		must(t, err)
		if took := time.Since(start); took > 2*lanRTT+slack {
			t.Errorf("accepted after %v", took)
		}
		_, err = io.ReadFull(c, question)
		must(t, err)
		if took := time.Since(start); took > 2*lanRTT+slack {
			t.Errorf("answered after %v, want %v", took, 2*lanRTT)
		}
		start = time.Now()
		c, err = w.dialer.DialEarly(t.Context(), "mh", "server.example:80", question)
		must(t, err)
		_, err = io.ReadFull(c, question)
		must(t, err)
		if took := time.Since(start); took > lanRTT+slack {
			t.Errorf("over an association that exists it is answered after %v", took)
		}
	})
}

// More than what fits with COOKIE ECHO follows it, in order.
func TestLongFirstQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		question := make([]byte, 3*earlyCredit)
		for i := range question {
			question[i] = byte(i * i >> 8)
		}
		w.answer(len(question))
		c, err := w.dialer.DialEarly(t.Context(), "mh", "server.example:80", question)
		must(t, err)
		answer := make([]byte, len(question))
		_, err = io.ReadFull(c, answer)
		must(t, err)
		if string(answer) != string(question) {
			t.Error("the answer is not the question")
		}
	})
}

// The peer falls silent before or after the COOKIE ECHO has reached it, which
// who dials cannot tell as long as nothing comes over another path. Octets are
// not sent to a second association then; an OPEN alone is, over the addresses
// that are left. A peer that was reached speaks over them.
func TestPeerFallsSilentInTheHandshake(t *testing.T) {
	for _, c := range []struct {
		cut      time.Duration
		question string
		asked    int32
		reached  bool
	}{
		{cut: lanRTT * 3 / 4},
		{cut: lanRTT * 5 / 4, reached: true},
		{cut: lanRTT * 3 / 4, question: "question"},
		{cut: lanRTT * 5 / 4, question: "question", asked: 1, reached: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(t, 1, lan)
			asked := w.answer(8)
			time.AfterFunc(c.cut, func() {
				w.live.Do(func(*netsim.Net) { w.links[[2]netip.Addr{clientAddrs[0], serverAddrs[0]}].Cut(true, true) })
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			conn, err := w.dialer.DialEarly(ctx, "mh", "server.example:80", []byte(c.question))
			if c.question == "" || c.reached {
				must(t, err)
				limit := 4 * time.Second
				if c.reached {
					limit = stallLimit
				}
				if took := time.Since(start); took > limit {
					t.Errorf("cut after %v: it took %v to try another address", c.cut, took)
				}
				_, err := io.ReadFull(conn, make([]byte, len(c.question)))
				must(t, err)
				must(t, conn.Close())
				if n := asked.Load(); n != c.asked {
					t.Errorf("cut after %v: asked %d times", c.cut, n)
				}
				return
			}
			if !errors.Is(err, syscall.ETIMEDOUT) || ctx.Err() != nil {
				t.Errorf("dialled: %v", err)
			}
			<-ctx.Done()
			if n := asked.Load(); n != c.asked {
				t.Errorf("cut after %v: asked %d times", c.cut, n)
			}
		})
	}
}

// A dial that is given up before the association is there leaves nothing behind.
func TestDialGivenUpInTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		asked := w.answer(8)
		ctx, cancel := context.WithTimeout(t.Context(), lanRTT+lanRTT/4)
		defer cancel()
		if c, err := w.dialer.DialEarly(ctx, "mh", "server.example:80", []byte("question")); err == nil {
			t.Fatalf("dialled %v", c)
		}
		if n := len(w.dialer.own.made); n != 0 {
			t.Errorf("%d associations are left", n)
		}
		c, err := w.dialer.DialEarly(t.Context(), "mh", "server.example:80", []byte("question"))
		must(t, err)
		_, err = io.ReadFull(c, make([]byte, 8))
		must(t, err)
		if n := asked.Load(); n > 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

// An outage that begins between INIT ACK and COOKIE ECHO and outlives the cookie
// does not end a dial without octets.
func TestOutageInTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		hosts := []*townHost{w.addHost(1), w.addHost(1)}
		client, server := w.addParty(hosts[0], "client.example"), w.addParty(hosts[1], "server.example")
		w.register("server.example", server.endpoint)
		time.AfterFunc(lanRTT*3/4, func() { hosts[1].isolate(w, true) })
		time.AfterFunc(12*time.Second, func() { hosts[1].isolate(w, false) })
		client.dial("server.example").Close()
	})
}

// Who dials says everything again when the answers are lost for longer than it
// waits for them. The server's first association is nobody's then: what was
// accepted over it ends at once.
func TestRepeatedHelloEndsTheFormerSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		deaf := func(cut bool) {
			w.live.Do(func(*netsim.Net) {
				for _, l := range w.links {
					l.Cut(false, cut)
				}
			})
		}
		time.AfterFunc(lanRTT*5/4, func() { deaf(true) })
		time.AfterFunc(20*time.Second, func() { deaf(false) })
		ghost := make(chan error, 1)
		go func() { // ends with two connections
			c, err := w.l.Accept()
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			ghost <- err
			w.l.Accept()
		}()
		c, err := w.dialer.DialContext(t.Context(), "mh", "server.example:80")
		must(t, err)
		wantIs(t, "what nobody dials any more", <-ghost, syscall.ECONNRESET)
		must(t, c.Close())
	})
}

// The first COOKIE ECHO may come long after the dialler has begun anew over another
// path. That must not end what is in use.
func TestLateCookieEchoEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, lan)
		w.l.cfg.Resolver = nil // nobody is verified: the server knows one address of the client
		first := w.links[[2]netip.Addr{clientAddrs[0], serverAddrs[0]}]
		time.AfterFunc(lanRTT*9/10, func() { w.live.Do(func(*netsim.Net) { first.SetDelay(6 * time.Second) }) })
		w.answer(8)
		c, err := w.dialer.DialContext(t.Context(), "mh", "server.example:80")
		must(t, err)
		time.Sleep(15 * time.Second) // the late packet has come, and what it made is over
		_, err = c.Write([]byte("question"))
		must(t, err)
		_, err = io.ReadFull(c, make([]byte, 8))
		must(t, err)
		must(t, c.Close())
	})
}
