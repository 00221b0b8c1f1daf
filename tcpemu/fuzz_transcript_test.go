package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// FuzzTranscript has two sessions talk over an association whose messages take
// their time: streams do not wait for one another, and what is unordered
// overtakes. Users open connections, write, read, half-close, close and reset
// as the input, a script, has it. Each of them reads exactly a prefix of what
// the other wrote, all of it once it reads io.EOF, and it does read io.EOF when
// nobody was abrupt. Nothing that a user does ends the association.
func FuzzTranscript(f *testing.F) {
	for _, b := range talks {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			x := newTranscript(t, b)
			for count := 0; count < 400 && !x.script.over(); count++ {
				x.step()
			}
			x.end()
		})
	})
}

// talks are scripts to begin with; see newTranscript and step.
var talks = [][]byte{
	{0, talkOpen, 0, 3, talkYes, talkDeliver, 0, 99, talkWrite, 0, 200, talkWrite, 1, 200, talkDeliver, 3, 250, talkRead, 0, 90, talkFinish, 0, talkDeliver, 5, 250},
	{0, talkOpen, 0, 0, talkYes, talkOpen, 0, 3, talkYes, talkOpen, 0, 3, talkNo, talkOpen, 0, 3, talkYes, talkDeliver, 1, 200, talkWrite, 0, 255, talkReset, 0, talkDeliver, 7, 255},
	{1, talkOpen, 0, 1, talkYes, talkOpen, 1, 1, talkYes, talkOpen, 1, 2, talkLater, talkDeliver, 2, 100, talkWrite, 2, 255, talkAccept, talkDeliver, 1, 255, talkClose, 2},
	{0, talkOpen, 0, 0, talkYes, talkDeliver, 0, 9, talkWrite, 0, 255, talkWrite, 0, 255, talkWrite, 0, 255, talkDeadline, 0, 1, talkTime, 8, talkDeliver, 0, 255, talkWrite, 0, 9, talkFinish, 0},
	{0, talkOpen, 0, 0, talkLater, talkOpen, 1, 0, talkYes, talkDeliver, 9, 99, talkWrite, 0, 99, talkClose, 1, talkDeliver, 3, 99, talkOpen, 1, 0, talkYes, talkDeliver, 0, 99},
	{0, talkOpen, 0, 0, talkYes, talkDeliver, 0, 9, talkWrite, 0, 255, talkWrite, 1, 255, talkCloseRead, 1, talkDeliver, 1, 30, talkReset, 0, talkDeliver, 1, 255, talkOpen, 0, 2, talkYes},
}

// The moves of a transcript. What follows each is in step.
const (
	talkOpen      = iota // a side opens a connection
	talkWrite            // an end writes
	talkRead             // an end reads
	talkFinish           // an end closes its direction, after what it writes
	talkClose            // an end closes
	talkCloseRead        // an end reads no more
	talkReset            // an end resets
	talkDeadline         // an end has a deadline for writing from now on
	talkAccept           // a connection is accepted that had to wait
	talkDeliver          // messages arrive
	talkTime             // time passes
	talkMoves
)

// What becomes of a connection at the other side.
const (
	talkYes = iota
	talkLater
	talkNo
	talkAnswers
)

// A transcript is two sides and what their users do.
type transcript struct {
	t      *testing.T
	script script
	sides  [2]*talker
	pairs  []*[2]end // connections: who opened it and who accepted it
	memory Windows   // of both sides
	users  sync.WaitGroup
	busy   atomic.Int32 // users that are not done

	mu   sync.Mutex // guards what follows, for users
	up   []*end     // those whose users have a Conn, in the order in which they came up
	held []func()   // each accepts a connection that has to wait
}

// A talker is a session and the messages of it that have not arrived.
type talker struct {
	s      *session
	a      *fakeAssoc
	out    chan sctpmh.Message
	queues []*inFlight
}

// inFlight is messages of which only the first may arrive: those of a stream,
// or one that is unordered.
type inFlight struct {
	stream   int // -1: unordered
	messages []sctpmh.Message
}

// newTranscript starts both sessions. The script's first octet says whether
// both dialled the association.
func newTranscript(t *testing.T, b []byte) *transcript {
	x := &transcript{t: t, script: script{b}}
	both := x.script.next()&1 != 0
	for i := range x.sides {
		w := &talker{out: make(chan sctpmh.Message, 8)} // there is no room at times
		w.a = newFake(w.out)
		w.s = newSession(w.a, sessionConfig{dialled: i == 0 || both, log: slog.New(slog.DiscardHandler), accept: x.accept, windows: &x.memory})
		x.sides[i] = w
	}
	return x
}

// step makes one move.
func (x *transcript) step() {
	b := &x.script
	switch b.below(talkMoves) {
	case talkOpen:
		x.open(x.sides[b.below(2)], b.below(8)*5000, b.below(talkAnswers))
	case talkWrite:
		if e, n := x.choose(), b.next(); e != nil {
			e.writes <- func() { e.write(n * n) }
		}
	case talkRead:
		if e, n := x.choose(), b.next(); e != nil {
			e.reads <- func() { e.read(n * n) }
		}
	case talkFinish:
		if e := x.choose(); e != nil {
			e.writes <- func() { e.c.CloseWrite() }
		}
	case talkClose:
		if e := x.choose(); e != nil {
			e.abrupt = e.abrupt || e.err != io.EOF // octets may be on their way
			x.user(func() { e.c.Close() })
		}
	case talkCloseRead:
		if e := x.choose(); e != nil {
			e.abrupt, e.deaf = true, true
			x.user(func() { e.c.CloseRead() })
		}
	case talkReset:
		if e := x.choose(); e != nil {
			e.abrupt = true
			x.user(e.c.Reset)
		}
	case talkDeadline:
		if e, n := x.choose(), b.below(4); e != nil {
			e.c.SetWriteDeadline(time.Now().Add(time.Duration(n) * time.Second))
		}
	case talkAccept:
		x.release(1)
	case talkDeliver:
		seed := b.next()
		for range b.next() {
			if !x.deliver(seed) {
				break
			}
			seed = seed*5 + 3
		}
	case talkTime:
		if d := time.Duration(b.next()) * time.Second / 4; x.greeted() { // else they would give up
			time.Sleep(d)
		}
	}
	x.rest()
}

// choose returns an end, if there is one that is not behind with what it was
// told to do.
func (x *transcript) choose() *end {
	i := x.script.next()
	if len(x.up) == 0 {
		return nil
	}
	e := x.up[i%len(x.up)]
	if len(e.writes) == cap(e.writes) || len(e.reads) == cap(e.reads) {
		return nil
	}
	return e
}

// rest waits until nobody can go on without the network, and checks both
// sessions.
func (x *transcript) rest() {
	x.t.Helper()
	synctest.Wait()
	for i, w := range x.sides {
		if isClosed(w.a.done) {
			x.t.Fatalf("side %d has ended the association: %v", i, w.a.Err())
		}
		if err := w.s.check(); err != nil {
			x.t.Fatalf("side %d: %v", i, err)
		}
	}
}

// deliver has one message arrive, if there is one. Which one, i says.
func (x *transcript) deliver(i int) bool {
	synctest.Wait()
	for _, w := range x.sides {
		w.collect()
	}
	one, other := x.sides[0], x.sides[1]
	n := len(one.queues) + len(other.queues)
	if n == 0 {
		return false
	}
	i = int(uint(i) % uint(n))
	if i >= len(one.queues) {
		i -= len(one.queues)
		one, other = other, one
	}
	q := one.queues[i]
	other.a.in <- q.messages[0]
	if q.messages = q.messages[1:]; len(q.messages) == 0 {
		one.queues = slices.Delete(one.queues, i, i+1)
	}
	return true
}

// collect takes what the session has sent.
func (w *talker) collect() {
	for len(w.out) > 0 {
		m := <-w.out
		i := slices.IndexFunc(w.queues, func(q *inFlight) bool { return q.stream == int(m.Stream) })
		switch {
		case m.Unordered:
			w.queues = append(w.queues, &inFlight{-1, []sctpmh.Message{m}})
		case i < 0:
			w.queues = append(w.queues, &inFlight{int(m.Stream), []sctpmh.Message{m}})
		default:
			w.queues[i].messages = append(w.queues[i].messages, m)
		}
	}
}

// end closes what is open, has everything arrive and looks at what came of it.
func (x *transcript) end() {
	const patience = 600 // seconds without anything under way
	finished := 0
	x.rest()
	for seed, quiet := 1, 0; quiet < patience && (x.busy.Load() > 0 || x.connected()); seed++ {
		x.release(len(x.held))
		x.rest()
		for ; finished < len(x.up); finished++ { // more may come up yet
			x.finish(x.up[finished])
		}
		quiet++
		if x.deliver(seed * 7919) {
			quiet = 0
		} else {
			time.Sleep(time.Second)
		}
		x.rest()
	}
	for i, w := range x.sides {
		for sid, c := range w.s.conns {
			x.t.Errorf("side %d: the connection on stream %d does not end: %+v %+v", i, sid, c.recv, c.send)
		}
	}
	if n := x.busy.Load(); n > 0 {
		x.t.Errorf("%d users wait for ever", n)
	}
	for _, w := range x.sides {
		w.a.Abort("over")
		w.s.running.Wait()
	}
	x.users.Wait()
	for _, e := range x.up {
		e.c.Close()
	}
	if n := x.memory.used.Load(); n != 0 {
		x.t.Errorf("windows of %d octets are left", n)
	}
	for id, p := range x.pairs {
		for i := range p {
			if err := p[i].verdict(); err != nil {
				x.t.Errorf("connection %d, %s: %v", id, [2]string{"who opened it", "who accepted it"}[i], err)
			}
		}
	}
}

// connected reports whether there are connections.
func (x *transcript) connected() bool { return len(x.sides[0].s.conns)+len(x.sides[1].s.conns) > 0 }

// greeted reports whether both sides have heard HELLO.
func (x *transcript) greeted() bool {
	return isClosed(x.sides[0].s.greeted) && isClosed(x.sides[1].s.greeted)
}

// What follows is the users.

// An end is one of the two of a connection, and the books of its user.
type end struct {
	c             *Conn
	other         *end
	salt          byte        // of what it writes
	writes, reads chan func() // what its user is told to do; read by two goroutines

	tried  int   // octets given to Write
	wrote  int   // octets that it took
	got    int   // octets read
	err    error // of Read
	wrong  error // what is wrong with what was read
	abrupt bool  // it ended without waiting for the end of the other direction
	deaf   bool  // it closed the direction towards it, which ends by io.EOF then
}

// user runs what a user does.
func (x *transcript) user(f func()) {
	x.busy.Add(1)
	x.users.Go(func() { // ends with f
		defer x.busy.Add(-1)
		f()
	})
}

// open has a side open a connection, with octets that go right behind OPEN.
func (x *transcript) open(w *talker, early, answer int) {
	if len(x.pairs) > 100 {
		return
	}
	id := len(x.pairs)
	p := &[2]end{{salt: byte(2 * id)}, {salt: byte(2*id + 1)}}
	p[0].other, p[1].other = &p[1], &p[0]
	x.pairs = append(x.pairs, p)
	x.user(func() {
		e := &p[0]
		e.tried, e.abrupt = early, true
		c, err := w.s.open(context.Background(), &request{target: Target{Port: uint16(id)}, hops: uint8(answer), early: e.text(early)})
		if err == nil {
			e.wrote, e.abrupt = early, false
			x.serve(e, c)
		}
	})
}

// accept answers a connection as who opened it wants it.
func (x *transcript) accept(o *Open) error {
	e := &x.pairs[o.Target.Port][1]
	accept := func() {
		if c, err := o.Accept(netip.AddrPort{}); err == nil {
			x.serve(e, c)
		}
	}
	switch o.Hops {
	case talkYes:
		accept()
	case talkLater:
		x.mu.Lock()
		x.held = append(x.held, accept)
		x.mu.Unlock()
	default:
		return errors.New("no")
	}
	return nil
}

// release accepts some of the connections that have to wait.
func (x *transcript) release(n int) {
	for ; n > 0 && len(x.held) > 0; n-- {
		accept := x.held[0]
		x.held = x.held[1:]
		accept()
	}
}

// serve has a user handle a connection, until it is told to finish.
func (x *transcript) serve(e *end, c *Conn) {
	e.c, e.writes, e.reads = c, make(chan func(), 16), make(chan func(), 16)
	for _, told := range []chan func(){e.writes, e.reads} {
		x.user(func() {
			for f := range told {
				f()
			}
		})
	}
	x.mu.Lock()
	x.up = append(x.up, e)
	x.mu.Unlock()
}

// finish has a user end what it sends and read the rest of what it gets.
func (x *transcript) finish(e *end) {
	e.c.SetWriteDeadline(time.Time{})
	x.user(func() {
		e.writes <- func() { e.c.CloseWrite() }
		close(e.writes)
	})
	x.user(func() {
		e.reads <- func() { e.read(1 << 40) }
		close(e.reads)
	})
}

// text returns n octets of what an end writes, from the first that has yet to
// be taken.
func (e *end) text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = e.octet(e.wrote + i)
	}
	return b
}

// octet is what is at an offset of what an end writes.
func (e *end) octet(offset int) byte {
	return byte(offset^offset>>8*37^offset>>16*101) + e.salt
}

func (e *end) write(n int) {
	e.tried = max(e.tried, e.wrote+n)
	k, _ := e.c.Write(e.text(n))
	e.wrote += k
}

// read reads n octets, or as many as there are.
func (e *end) read(n int) {
	b := make([]byte, 4000)
	for n > 0 && e.err == nil {
		var k int
		k, e.err = e.c.Read(b[:min(n, len(b))])
		for i, c := range b[:k] {
			if want := e.other.octet(e.got + i); c != want && e.wrong == nil {
				e.wrong = fmt.Errorf("octet %d is %#x, %#x was written", e.got+i, c, want)
			}
		}
		e.got += k
		n -= k
	}
}

// verdict says what is wrong with what an end read, when all is over.
func (e *end) verdict() error {
	switch o := e.other; {
	case e.wrong != nil:
		return e.wrong
	case e.got > o.tried:
		return fmt.Errorf("read %d octets, the other wrote %d", e.got, o.tried)
	case e.err == io.EOF && !e.deaf && e.got != o.wrote:
		return fmt.Errorf("read %d octets and io.EOF, the other wrote %d", e.got, o.wrote)
	case !e.abrupt && !o.abrupt && e.err != io.EOF:
		return fmt.Errorf("read %d octets of %d and then %v, nobody was abrupt", e.got, o.wrote, e.err)
	}
	return nil
}
