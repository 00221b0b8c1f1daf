package tcpemu

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// returning is talking, with a peer that takes RETURN and has given credit for
// initialWindow.
func returning(t *testing.T, test func(d *dialogue, c *Conn)) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, sessionConfig{dialled: true})
		d.want(0, typeHello)
		d.sayHello(1, helloReturns)
		end := d.open("")
		f := d.want(1, typeOpen)
		d.say(1, frame{typ: typeOpenOK, epoch: f.epoch, credit: initialWindow})
		test(d, d.wantOpened(end))
	})
}

// An idle sender gives its credit up, once, and gets more when it is told by one
// who knows of it.
func TestIdleSenderReturnsCredit(t *testing.T) {
	returning(t, func(d *dialogue, c *Conn) {
		d.wantSilence(creditIdle / 2)
		d.write(c, "x") // it is not idle
		d.wantData(1, "x")
		d.wantSilence(creditIdle)
		d.wantSilence(creditIdle / 4)
		time.Sleep(creditIdle)
		if f := d.want(1, typeReturn); f.offset != 1+earlyCredit {
			t.Fatalf("RETURN to %d", f.offset)
		}
		d.wantSilence(time.Hour)

		d.say(1, frame{typ: typeCredit, epoch: c.epoch, offset: 2 * initialWindow}) // it has crossed
		synctest.Wait()
		wrote := make(chan error, 1)
		go func() { // ends with credit
			_, err := c.Write(make([]byte, earlyCredit+1))
			wrote <- err
		}()
		for n := 0; n < earlyCredit; n += len(d.next().Data) {
		}
		d.wantSilence(time.Hour) // and a writer that waits for credit is not idle
		d.say(1, frame{typ: typeCredit, epoch: c.epoch, offset: initialWindow, returns: 1})
		must(t, <-wrote)
		d.wantData(1, "\x00")
		time.Sleep(2 * creditIdle)
		if f := d.want(1, typeReturn); f.offset != 2+2*earlyCredit {
			t.Errorf("RETURN to %d", f.offset)
		}
	})
}

// Who accepts a connection has credit from its OPEN, and gives it up as well.
func TestIdleAccepterReturnsCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		accepted := make(chan *Conn, 2)
		d := newDialogue(t, sessionConfig{accept: accepting(accepted)})
		d.want(0, typeHello)
		d.sayHello(1, helloDialled|helloReturns)
		time.Sleep(2 * creditIdle) // nobody has credit that is looked for
		d.say(1, frame{typ: typeOpen, epoch: 1, target: Target{Port: 80}, credit: 1 << 20})
		d.say(3, frame{typ: typeOpen, epoch: 2, target: Target{Port: 80}, credit: returnLeast - 1})
		d.want(1, typeOpenOK)
		d.want(3, typeOpenOK)
		time.Sleep(2 * creditIdle)
		if f := d.want(1, typeReturn); f.offset != earlyCredit {
			t.Errorf("RETURN to %d", f.offset)
		}
		d.wantSilence(time.Hour) // the other has not enough to be worth it
	})
}

// Nobody is sent a RETURN who did not say that it takes one, nor after FIN.
func TestNoReturn(t *testing.T) {
	talking(t, func(d *dialogue, _ *Conn) { d.wantSilence(time.Hour) })
	returning(t, func(d *dialogue, c *Conn) {
		must(t, c.CloseWrite())
		d.want(1, typeFin)
		d.wantSilence(time.Hour)
	})
}

// A receiver has its window back when credit is returned, and the whole window
// is granted again once the peer sends.
func TestReturnedCredit(t *testing.T) {
	talking(t, func(d *dialogue, c *Conn) {
		sum := &d.s.windows
		d.sayData(1, "unread")
		d.say(1, frame{typ: typeReturn, offset: 6 + earlyCredit})
		synctest.Wait()
		if n := sum.beyond.Load(); n != 6 || c.recv.limit != 6+earlyCredit {
			t.Fatalf("%d octets of windows beyond the least, credit to %d", n, c.recv.limit)
		}
		d.wantRead(c, "unread")
		if n := sum.beyond.Load(); n != 0 {
			t.Errorf("%d octets of windows when all is read", n)
		}
		d.sayData(1, string(make([]byte, earlyCredit/2)))
		d.wantSilence(time.Second) // who says little costs nothing
		d.sayData(1, "x")
		f := d.want(1, typeCredit)
		if f.returns != 1 || f.offset != 6+initialWindow {
			t.Errorf("CREDIT to %d, knowing of %d RETURNs", f.offset, f.returns)
		}
		if n := sum.beyond.Load(); n != initialWindow-earlyCredit {
			t.Errorf("%d octets of windows", n)
		}
		d.wantSilence(time.Hour)
		must(t, d.s.check())
	})
}

// What a RETURN must not be.
func TestReturnIsABreach(t *testing.T) {
	for name, says := range map[string]func(d *dialogue){
		"less than was received": func(d *dialogue) {
			d.sayData(1, "octets")
			d.say(1, frame{typ: typeReturn, offset: 5})
		},
		"more than the credit": func(d *dialogue) { d.say(1, frame{typ: typeReturn, offset: initialWindow + 1}) },
		"after the end": func(d *dialogue) {
			d.say(1, frame{typ: typeFin})
			d.say(1, frame{typ: typeReturn, offset: 0})
		},
		"data beyond it": func(d *dialogue) {
			d.say(1, frame{typ: typeReturn, offset: 3})
			d.sayData(1, "four")
		},
	} {
		talking(t, func(d *dialogue, c *Conn) {
			says(d)
			synctest.Wait()
			if !isClosed(d.a.done) {
				t.Errorf("%s: the association goes on", name)
			}
		})
	}
}

// joined is two sessions over an association in memory, and what its second one
// accepts.
func joined(t *testing.T, cfg sessionConfig) (opener, accepter *session, accepted chan *Conn) {
	accepted = make(chan *Conn, 1)
	a := newFake(nil)
	b := newFake(a.in)
	a.out = b.in
	cfg.log = slog.New(slog.DiscardHandler)
	dials, accepts := cfg, cfg
	dials.dialled, accepts.accept = true, accepting(accepted)
	opener, accepter = newSession(a, dials), newSession(b, accepts)
	t.Cleanup(func() {
		a.Abort("over")
		b.Abort("over")
		opener.running.Wait()
		accepter.running.Wait()
	})
	synctest.Wait()
	return opener, accepter, accepted
}

// A thousand connections that were fast once and are idle now do not keep new
// ones slow. Those of a peer that returns nothing do, and no more than that: a
// new one is accepted and has the least window.
func TestIdleConnectionsLeaveRoom(t *testing.T) {
	for _, returns := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s, o, accepted := joined(t, sessionConfig{windows: new(Windows)})
			if !returns {
				for _, x := range []*session{s, o} {
					x.mu.Lock()
					x.peer.flags &^= helloReturns
					x.mu.Unlock()
				}
			}
			open := func() (from, to *Conn) {
				from, err := s.open(t.Context(), &request{target: Target{Port: 80}})
				must(t, err)
				return from, <-accepted
			}
			const idle, bulk = 1000, 24 << 10
			var all sync.WaitGroup
			for range idle {
				from, to := open()
				all.Go(func() { // ends when all is written
					for range 3 {
						if _, err := from.Write(make([]byte, bulk)); err != nil {
							t.Error(err)
						}
						time.Sleep(20 * time.Millisecond)
					}
				})
				all.Go(func() { // ends when all is read
					if _, err := io.CopyN(io.Discard, to, 3*bulk); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			before := o.windows.beyond.Load()
			time.Sleep(2 * creditIdle)
			after := o.windows.beyond.Load()
			from, to := open()
			window, want := to.window, initialWindow
			if !returns {
				want = earlyCredit + 4<<10
			}
			if window < want && returns || window > want && !returns {
				t.Errorf("RETURN %v: a new connection has a window of %d octets beside %d idle ones; the sum went from %d to %d", returns, window, idle, before, after)
			}
			go from.Write(make([]byte, 1<<20)) // ends when all is read
			if _, err := io.CopyN(io.Discard, to, 1<<20); err != nil {
				t.Error(err)
			}
			for _, x := range []*session{s, o} {
				must(t, x.check())
			}
		})
	}
}
