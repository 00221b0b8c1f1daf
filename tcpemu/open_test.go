package tcpemu

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// A dialogue is a session and its peer, who is the test.
type dialogue struct {
	t   *testing.T
	a   *fakeAssoc
	out chan sctpmh.Message // from the session
	s   *session
}

func newDialogue(t *testing.T, cfg sessionConfig) *dialogue {
	d := &dialogue{t: t, out: make(chan sctpmh.Message, 1024)}
	d.a = newFake(d.out)
	cfg.log = slog.New(slog.DiscardHandler)
	d.s = newSession(d.a, cfg)
	t.Cleanup(func() {
		d.a.Abort("over")
		d.s.running.Wait()
	})
	return d
}

func (d *dialogue) say(sid uint16, f frame) { d.a.in <- ctrl(sid, &f) }

func (d *dialogue) sayData(sid uint16, b string) {
	d.a.in <- sctpmh.Message{Stream: sid, PPID: ppidData, Data: []byte(b)}
}

// sayHello is the peer's first word.
func (d *dialogue) sayHello(nonce uint64, flags helloFlags) {
	d.say(0, frame{typ: typeHello, version: protocolVersion, nonce: nonce, flags: flags, streams: 16384, credit: earlyCredit})
}

// next returns the session's next message.
func (d *dialogue) next() sctpmh.Message {
	d.t.Helper()
	select {
	case m := <-d.out:
		return m
	case <-time.After(10 * time.Second):
		d.t.Fatal("the session says nothing")
	}
	panic("BUG: unreachable")
}

// want returns the next message, which is of a type and on a stream.
func (d *dialogue) want(sid uint16, typ frameType) frame {
	d.t.Helper()
	m := d.next()
	f, _, err := parseFrame(m.Data)
	if m.PPID != ppidCtrl || m.Stream != sid || f.typ != typ {
		d.t.Fatalf("the session says %x (%+v, %v) on stream %d, want type %d on %d", m.Data, f, err, m.Stream, typ, sid)
	}
	return f
}

func (d *dialogue) wantData(sid uint16, want string) {
	d.t.Helper()
	if m := d.next(); m.PPID != ppidData || m.Stream != sid || string(m.Data) != want {
		d.t.Fatalf("the session says %q on stream %d, want %q on %d", m.Data, m.Stream, want, sid)
	}
}

// wantNothing is about the time until the session has handled what was said.
func (d *dialogue) wantNothing() {
	d.t.Helper()
	d.say(0, frame{typ: typePing, opaque: 99})
	if f := d.want(0, typePong); f.opaque != 99 {
		d.t.Fatalf("PONG to %d", f.opaque)
	}
}

// opened is how an open ended.
type opened struct {
	c   *Conn
	err error
}

// open opens a connection to port 80 with early octets.
func (d *dialogue) open(early string) <-chan opened {
	end := make(chan opened, 1)
	go func() { // ends with the answer, or the association
		c, err := d.s.open(context.Background(), &request{target: Target{Port: 80}, early: []byte(early)})
		end <- opened{c, err}
	}()
	return end
}

func (d *dialogue) wantOpened(end <-chan opened) *Conn {
	d.t.Helper()
	select {
	case o := <-end:
		if o.err != nil {
			d.t.Fatal(o.err)
		}
		return o.c
	case <-time.After(10 * time.Second):
		d.t.Fatal("open does not end")
	}
	panic("BUG: unreachable")
}

func (d *dialogue) wantRead(c *Conn, want string) {
	d.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		d.t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

// accepting has the peer's connections accepted.
func accepting(accepted chan<- *Conn) func(*Open) error {
	return func(o *Open) error {
		c, err := o.Accept(netip.AddrPort{})
		if err == nil {
			accepted <- c
		}
		return err
	}
}

// OPEN and data wait for nothing, not even for the peer's HELLO.
func TestOpenDoesNotWaitForHello(t *testing.T) {
	d := newDialogue(t, sessionConfig{dialled: true})
	end := d.open("question")
	if f := d.want(0, typeHello); f.flags != helloDialled|helloReturns {
		t.Errorf("HELLO says %#x, want that it dialled and takes no connections", f.flags)
	}
	open := d.want(1, typeOpen)
	d.wantData(1, "question")
	d.sayHello(1, helloAccepts)
	d.say(1, frame{typ: typeOpenOK, epoch: open.epoch, credit: earlyCredit})
	d.sayData(1, "answer")
	d.wantRead(d.wantOpened(end), "answer")
}

// What does not fit the early credit follows the answer.
func TestEarlyDataBeyondItsCredit(t *testing.T) {
	d := newDialogue(t, sessionConfig{dialled: true})
	end := d.open(string(make([]byte, earlyCredit+5)))
	d.want(0, typeHello)
	open := d.want(1, typeOpen)
	octets := 0
	for octets < earlyCredit {
		m := d.next()
		octets += len(m.Data)
	}
	if octets != earlyCredit {
		t.Fatalf("%d octets without an answer, want %d", octets, earlyCredit)
	}
	d.sayHello(1, helloAccepts)
	d.wantNothing()
	d.say(1, frame{typ: typeOpenOK, epoch: open.epoch, credit: 2 * earlyCredit})
	d.wantData(1, string(make([]byte, 5)))
	d.wantOpened(end)
}

// The peer keeps 64 messages for a HELLO that was lost. No more are sent before
// it shows that it has ours.
func TestOpensBeforeHelloIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, sessionConfig{dialled: true})
		for range maxEarly {
			d.open("q")
		}
		synctest.Wait()
		opens, pings := d.count()
		if opens < 8 || 2*opens > maxEarly-2 || pings != 1 {
			t.Errorf("%d OPEN with data and %d PING before HELLO is heard", opens, pings)
		}
		d.sayHello(1, helloAccepts)
		synctest.Wait()
		if more, _ := d.count(); more != 0 {
			t.Errorf("%d OPEN after a HELLO that says nothing of ours", more)
		}
		d.say(0, frame{typ: typePong})
		synctest.Wait()
		if more, pings := d.count(); more != maxEarly-opens || pings != 0 {
			t.Errorf("%d OPEN and %d PING after PONG, %d before, want %d OPEN", more, pings, opens, maxEarly)
		}
		d.a.Abort("over")
	})
}

// count takes what the session has said.
func (d *dialogue) count() (opens, pings int) {
	for len(d.out) > 0 {
		switch m := d.next(); {
		case m.PPID != ppidCtrl:
		case frameType(m.Data[0]) == typeOpen:
			opens++
		case frameType(m.Data[0]) == typePing:
			pings++
		}
	}
	return opens, pings
}

// Both ends dialled, the INITs became one association, and the peer's nonce is
// the larger one: what was opened on odd numbers is opened again on even ones.
func TestBothDialledAndThePeerKeepsItsNumbers(t *testing.T) {
	accepted := make(chan *Conn, 1)
	d := newDialogue(t, sessionConfig{dialled: true, accept: accepting(accepted)})
	end := d.open("ours")
	d.want(0, typeHello)
	lost := d.want(1, typeOpen)
	d.wantData(1, "ours")
	d.say(1, frame{typ: typeOpen, epoch: 7, target: Target{Port: 22}, credit: 1000}) // overtakes HELLO
	d.sayData(1, "theirs")
	d.sayHello(^uint64(0), helloDialled|helloAccepts)
	// Two goroutines: one answers, one opens again.
	var again frame
	for range 3 {
		m := d.next()
		f, _, _ := parseFrame(m.Data)
		switch {
		case m.Stream == 1 && m.PPID == ppidCtrl && f.typ == typeOpenOK && f.epoch == 7:
		case m.Stream == 2 && m.PPID == ppidCtrl && f.typ == typeOpen && f.epoch != lost.epoch && f.target == lost.target:
			again = f
		case m.Stream == 2 && m.PPID == ppidData && again.typ == typeOpen && string(m.Data) == "ours":
		default:
			t.Fatalf("the session says %x on stream %d", m.Data, m.Stream)
		}
	}
	d.wantRead(<-accepted, "theirs")
	d.say(2, frame{typ: typeOpenOK, epoch: again.epoch, credit: earlyCredit})
	d.sayData(2, "answer")
	d.wantRead(d.wantOpened(end), "answer")
}

// So they did, and ours is: what the peer sent on our numbers before it knew is
// ignored, and what it sends there after its answer is not.
func TestBothDialledAndWeKeepOurNumbers(t *testing.T) {
	accepted := make(chan *Conn, 1)
	d := newDialogue(t, sessionConfig{dialled: true, accept: accepting(accepted)})
	end := d.open("")
	d.want(0, typeHello)
	open := d.want(1, typeOpen)
	d.sayHello(0, helloDialled|helloAccepts)
	for _, sid := range []uint16{1, 3} { // one that is in use here, and one that is not
		d.say(sid, frame{typ: typeOpen, epoch: 7, target: Target{Port: 22}, credit: 1000})
		d.sayData(sid, "theirs")
		d.say(sid, frame{typ: typeFin, offset: 6})
		d.say(sid, frame{typ: typeReset, epoch: 7, code: CodeRefused}) // they gave it up
	}
	d.wantNothing()
	d.say(2, frame{typ: typeOpen, epoch: 8, target: Target{Port: 22}, credit: 1000})
	d.sayData(2, "again")
	d.want(2, typeOpenOK)
	d.wantRead(<-accepted, "again")
	d.say(1, frame{typ: typeOpenOK, epoch: open.epoch, credit: earlyCredit})
	d.sayData(1, "answer")
	d.say(1, frame{typ: typeFin, offset: 6})
	c := d.wantOpened(end)
	d.wantRead(c, "answer")
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %v, want EOF", err)
	}
}

// A HELLO that says that nobody dialled is a lie.
func TestNobodyDialled(t *testing.T) {
	d := newDialogue(t, sessionConfig{})
	d.sayHello(1, helloAccepts)
	<-d.a.done
}

// Which errors of an open say that the peer has done nothing.
func TestUndone(t *testing.T) {
	for _, c := range []struct {
		name string
		how  func(d *dialogue, epoch uint32)
		want bool
	}{
		{"going away", func(d *dialogue, epoch uint32) { d.say(1, frame{typ: typeOpenFail, epoch: epoch, code: CodeAway}) }, true},
		{"refused", func(d *dialogue, epoch uint32) {
			d.say(1, frame{typ: typeOpenFail, epoch: epoch, code: CodeRefused})
		}, false},
		{"shut down without an answer", func(d *dialogue, _ uint32) { d.a.end(io.EOF) }, true},
		{"aborted without an answer", func(d *dialogue, _ uint32) { d.a.end(errors.New("aborted")) }, false},
	} {
		d := newDialogue(t, sessionConfig{dialled: true})
		end := d.open("")
		d.want(0, typeHello)
		d.sayHello(1, helloAccepts)
		c.how(d, d.want(1, typeOpen).epoch)
		if o := <-end; o.err == nil || undone(o.err) != c.want {
			t.Errorf("%s: %v, undone %v", c.name, o.err, undone(o.err))
		}
	}
	// An OPEN that never left.
	d := newDialogue(t, sessionConfig{dialled: true})
	d.a.Abort("over")
	d.s.running.Wait()
	if o := <-d.open(""); !undone(o.err) {
		t.Errorf("after the end: %v", o.err)
	}
	d = newDialogue(t, sessionConfig{dialled: true})
	d.sayHello(1, helloAccepts)
	d.say(0, frame{typ: typeGoAway, code: CodeAway})
	d.want(0, typeHello)
	d.wantNothing()
	if o := <-d.open(""); !undone(o.err) {
		t.Errorf("after GOAWAY: %v", o.err)
	}
}

// A restart of the peer, and any other end by force, is the end of every
// stream.
func TestEndByForceResetsEveryStream(t *testing.T) {
	accepted := make(chan *Conn, 1)
	d := newDialogue(t, sessionConfig{dialled: true, accept: accepting(accepted)})
	end := d.open("")
	d.want(0, typeHello)
	d.sayHello(1, helloAccepts)
	d.say(1, frame{typ: typeOpenOK, epoch: d.want(1, typeOpen).epoch, credit: earlyCredit})
	d.say(2, frame{typ: typeOpen, epoch: 7, target: Target{Port: 22}, credit: 1000})
	ours, theirs := d.wantOpened(end), <-accepted
	d.a.end(&sctpmh.AbortError{Remote: true, Reason: "the peer restarted"})
	for _, c := range []*Conn{ours, theirs} {
		_, err := c.Read(make([]byte, 1))
		wantIs(t, "Read", err, syscall.ECONNRESET)
		if _, err = c.Write([]byte("x")); err == nil {
			t.Error("Write succeeds")
		}
	}
	if _, err := d.s.identity.wait(t.Context()); err == nil {
		t.Error("a peer that restarted is still to be identified")
	}
}

// A RESET that comes while a connection is being accepted is answered behind
// OPEN_OK: the opener has the number free after our RESET.
func TestAcceptIsOneStep(t *testing.T) {
	opens := make(chan *Open, 1)
	d := newDialogue(t, sessionConfig{accept: func(o *Open) error { opens <- o; return nil }})
	d.want(0, typeHello)
	d.sayHello(1, helloDialled)
	for epoch := range uint32(2000) {
		d.say(1, frame{typ: typeOpen, epoch: epoch, target: Target{Port: 80}, credit: 1000})
		o := <-opens
		d.say(1, frame{typ: typeReset, epoch: epoch, code: CodeRefused})
		_, _ = o.Accept(netip.AddrPort{}) // before the RESET or after it
		m := d.next()
		if f, _, _ := parseFrame(m.Data); f.typ == typeOpenOK {
			d.want(1, typeReset)
		} else if f.typ != typeReset {
			t.Fatalf("epoch %d: the session says %x", epoch, m.Data)
		}
	}
	d.wantNothing()
}

// A dial that is given up has its number in use until the peer has answered
// RESET; then the next one gets it. So a peer that answers no OPEN uses up no
// numbers, and one that answers nothing at all no more than there are.
func TestNumbersOfUnansweredDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialogue(t, sessionConfig{dialled: true})
		d.want(0, typeHello)
		d.say(0, frame{typ: typeHello, version: protocolVersion, nonce: 1, streams: 4, credit: earlyCredit}) // room for 1 and 3
		synctest.Wait()
		give := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := d.s.open(ctx, &request{target: Target{Port: 80}})
			return err
		}
		var epochs [4]uint32
		for _, sid := range []uint16{1, 3} {
			wantIs(t, "a dial without an answer", give(), context.DeadlineExceeded)
			epochs[sid] = d.want(sid, typeOpen).epoch
			d.want(sid, typeReset)
		}
		wantIs(t, "one more", give(), errBusy)
		d.say(3, frame{typ: typeReset, epoch: epochs[3], code: CodeRefused})
		synctest.Wait()
		wantIs(t, "after an answer", give(), context.DeadlineExceeded)
		d.want(3, typeOpen)
		d.want(3, typeReset)
	})
}

// Connect of TCP returns when the peer's host has the connection, ours when its
// program has. docs/tcp-emulation.md says why.
func TestDialWaitsForAccept(t *testing.T) {
	c, err := net.Dial("tcp", listenTCP(t).Addr().String())
	must(t, err)
	must(t, c.Close())

	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a, h := w.addParty(w.addHost(1), "a.example"), w.addHost(1)
		e := listenOnHost(t, h.Host, h.addrs)
		w.register("b.example", e)
		l, err := Listen(e, nil)
		must(t, err)
		end := make(chan error, 1)
		go func() { // ends with the answer
			_, err := a.d.DialContext(t.Context(), "mh", "b.example:7")
			end <- err
		}()
		select {
		case err := <-end:
			t.Errorf("nobody has accepted: %v", err)
		case <-time.After(time.Hour):
		}
		_, err = l.Accept()
		must(t, err)
		must(t, <-end)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, l.Shutdown(ctx))
	})
}
