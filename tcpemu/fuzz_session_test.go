package tcpemu

import (
	"bytes"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// A script is the input of a fuzz target, read as one choice after the other.
type script struct{ b []byte }

func (s *script) over() bool { return len(s.b) == 0 }

// next returns the next octet, 0 after the last.
func (s *script) next() int {
	if s.over() {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return int(c)
}

func (s *script) below(n int) int { return s.next() % n }

// take returns the next n octets, or as many as there are.
func (s *script) take(n int) []byte {
	n = min(n, len(s.b))
	b := append([]byte(nil), s.b[:n]...)
	s.b = s.b[n:]
	return b
}

// FuzzSession is a peer that sends any sequence of messages. It can end its
// association, and that is all: nothing panics, no goroutine is left, no stream
// gets more than its credit, the session's books stay in order, and as long as
// the association lives another stream gets its answers.
//
// The input is a script: what an attack chooses.
func FuzzSession(f *testing.F) {
	for _, b := range attacks {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			x := newAttack(t, b)
			for count := 0; count < 400 && !x.script.over() && !isClosed(x.a.done); count++ {
				x.step()
			}
			x.end()
		})
	})
}

// attacks are scripts that go deep. The first octet is the beginning, see
// newAttack; then come moves, see step.
var attacks = [][]byte{
	slices.Concat([]byte{0}, openFor(useEcho), []byte{moveData, 0, 5, moveFin, 0, 0}, openFor(useWelcome), []byte{moveCredit, 0, 9, 0, 0, moveFin, 0, 0}),
	slices.Concat([]byte{0}, openFor(useHold), []byte{moveReset, 0, 0, 96, moveAnswer, useEcho}, openFor(useBulk), []byte{moveCredit, 0, 200, 0, 0, moveFin, 0, 0}),
	slices.Concat([]byte{0}, openFor(useHold), []byte{moveAnswer, useReset, moveReset, 0, 0, 96}, openFor(useHold), []byte{moveAnswer, useBusy, moveReset, 0, 0, 96}),
	slices.Concat([]byte{0}, openFor(useKeep), []byte{moveFill, 0, 3, moveUser, 0, 0, moveTime, 70, moveExcess, 0}),
	slices.Concat([]byte{0}, openFor(useKeep), []byte{moveUser, 0, 2, moveUser, 0, 3, moveFill, 0, 3, moveFill, 0, 3, moveFin, 0, 0}),
	slices.Concat([]byte{0}, openFor(useDiscard), bytes.Repeat([]byte{moveFill, 0, 3}, 20), []byte{moveFin, 0, 0}),
	slices.Concat([]byte{0}, openFor(useBusy), openFor(useReject), openFor(useDeaf), []byte{moveData, 0, 1, moveData, 0, 1, moveReset, 0, 0, 96}),
	slices.Concat([]byte{0, moveNotListen, 40}, openFor(useBulk), []byte{moveCredit, 0, 255, 0, 0, movePing, 0, 0, movePing, 0, 0, moveReset, 0, 0, 96}),
	{1, moveDial, useEcho, 3, moveDial, useBulk, 0, moveOK, 0, 0, moveFail, 1, 0, 96, moveData, 96, 9, moveFin, 96, 0},
	{1, moveDial, useKeep, 0, moveOK, 0, 0, moveUser, 0, 5, moveUser, 0, 7, moveUser, 0, 7, moveUser, 0, 4, moveReset, 96, 0, 96, moveDial, useEcho, 0},
	{11, 3, moveDial, useEcho, 3, moveDial, useEcho, 3, moveDial, useEcho, 3, moveOK, 0, 0, movePing, 0, 1, moveAway, moveDial, useEcho, 0},
	{5, moveDial, useBulk, 0, moveDial, useKeep, 0, moveOK, 0, 0, moveOK, 1, 0, moveTime, 90, moveRaw, 0, 3, 2, 1, 2, 3},
	{9, 2, moveRaw, 0, 2, 30, 1, 2, 3, movePing, 0, 0, moveOK, 0, 0},
	slices.Concat([]byte{0}, openFor(useKeep), []byte{moveUser, 0, 8, moveUser, 0, 6, moveUser, 0, 6, moveUser, 0, 11, movePing, 0, 2, moveUrgent, 0, 0, moveUser, 0, 12, moveTime, 20, movePing, 0, 2, moveTime, 255, moveUser, 2, 10, moveUser, 0, 0, movePing, 0, 2}),
	slices.Concat([]byte{0}, openFor(useKeep), []byte{moveFill, 0, 3}),                                    // closed with unread octets when all is over
	slices.Concat([]byte{16}, openFor(useHold), []byte{moveFill, 0, 3}),                                   // accepted when all is over
	{1, moveDial, useKeep, 0, moveData, 96, 9, moveDial, useKeep, 0, moveData, 97, 9, moveFail, 0, 0, 96}, // dialled in vain, with octets of the peer
	{1, moveDial, useKeep, 0, moveReset, 96, 0, 96}, // RESET in the place of an answer
	slices.Concat([]byte{0}, openFor(useKeep), []byte{moveBits, 0, 255, moveUrgent, 0, 0, moveBits, 0, 9, moveFill, 0, 1, moveBits, 0, 2}),
	{3, moveHello, 1, 0, moveHello, 0, 0},
	slices.Concat([]byte{32}, openFor(useBulk), []byte{moveTime, 12, moveCredit, 0, 90, 0, 0, 0, 0, moveTime, 12}, openFor(useDiscard), []byte{moveReturn, 0, 200, 0, moveFill, 0, 3, moveReturn, 0, 0, 0, moveFill, 0, 3, moveReturn, 0, 0, 6}),
	slices.Concat([]byte{48}, openFor(useKeep), []byte{moveFill, 0, 3, moveReturn, 0, 0, 0, moveUser, 0, 1, moveFill, 0, 3, moveReturn, 0, 9, 0, moveData, 0, 200, moveFin, 0, 0}),
	{0, moveBent, 0, 1, 2, 0, 0},
	{0, moveBent, 5, 0, 7, 0, 0, moveRaw, 0, 3, 4, 1, 2, 3, 4},
}

// openFor is a move: a connection, the first one of ours, and what its user
// does.
func openFor(how byte) []byte { return []byte{moveOpen, 0, 20, 0, how} }

// The moves of an attack. What follows each is in step.
const (
	moveRaw       = iota // any octets
	moveOpen             // a connection
	moveData             // some octets
	moveFill             // as many octets as there is credit
	moveExcess           // one octet more
	moveFin              // the end of a direction
	moveReset            // the end of a connection
	moveCredit           // credit
	moveOK               // the answer to a connection of theirs
	moveFail             // so
	movePing             // or PONG, to nothing or to their latest PING
	moveAway             // GOAWAY
	moveHello            // a second HELLO
	moveBent             // a message with a wrong octet, or one cut short
	moveDial             // their user opens a connection
	moveAnswer           // their user answers one that it held
	moveUser             // their user does something to one that it kept
	moveTime             // time passes
	moveNotListen        // nothing is read for some moves
	moveUrgent           // an urgent octet
	moveBits             // many messages of one octet
	moveReturn           // credit is given up
	moves
)

// A use is one use of a stream number, as a peer that keeps to the protocol
// knows it.
type use struct {
	epoch  uint32
	sent   uint64 // octets to them
	credit uint64 // that they gave
	got    uint64 // octets from them
	gave   uint64 // credit to them

	returned, returns uint32 // RETURNs to them and from them
}

// An attack plays a script against a session. It knows what a well-behaved peer
// knows, so that what it sends can be right, or nearly.
type attack struct {
	t      *testing.T
	script script
	a      *fakeAssoc
	out    chan sctpmh.Message
	s      *session
	early  uint64 // credit of a connection without an answer, from their HELLO
	odd    bool   // our numbers are the odd ones
	deaf   int    // for so many moves nothing is read
	epoch  uint32
	uses   map[uint16]*use
	ping   sctpmh.Message // their latest one
	opaque uint64         // in it
	victim uint16         // a stream that is left alone

	windows Windows      // of their process
	busy    atomic.Int32 // users that do something

	mu   sync.Mutex // guards what follows, for users
	held []*Open
	kept []*Conn
}

// victimPort is what the user behind the victim's stream is asked for by.
const victimPort = 7

// newAttack starts a session and says HELLO. The script's first octet: 1 they
// dialled, 2 we did not, 4 our nonce is the smaller one, 8 HELLO and the victim
// wait until the first moves were made, 16 they have little memory, 32 we take
// RETURN.
func newAttack(t *testing.T, b []byte) *attack {
	x := &attack{t: t, script: script{b}, uses: make(map[uint16]*use), out: make(chan sctpmh.Message, 64)}
	x.a = newFake(x.out)
	begin := x.script.next()
	dialled, peerDialled := begin&1 != 0, begin&2 == 0 || begin&1 == 0
	t.Cleanup(func() { x.a.Abort("over") }) // else a failure leaves goroutines
	if begin&16 != 0 {
		x.windows.Process, x.windows.Peer, x.windows.Assoc = 300<<10, 300<<10, 200<<10
	}
	x.s = newSession(x.a, sessionConfig{name: "a.example", dialled: dialled, log: slog.New(slog.DiscardHandler), accept: x.accept, windows: &x.windows})
	x.settle()
	nonce := uint64(math.MaxUint64)
	if begin&4 != 0 {
		nonce = 0
	}
	x.odd = peerDialled && (!dialled || nonce > 0)
	hello := frame{typ: typeHello, version: protocolVersion, nonce: nonce, streams: 64, credit: 20_000}
	if peerDialled {
		hello.flags = helloDialled
	}
	if begin&32 != 0 {
		hello.flags |= helloReturns
	}
	if begin&8 != 0 { // what overtakes HELLO
		for range x.script.below(8) {
			x.step()
		}
	}
	x.ctrl(0, &hello)
	x.victim = x.number(0)
	x.ctrl(x.victim, &frame{typ: typeOpen, epoch: 1, target: Target{Port: victimPort}, credit: 1 << 20})
	x.wantAnswer()
	return x
}

// number returns one of our stream numbers.
func (x *attack) number(i int) uint16 {
	if x.odd {
		return uint16(2*i + 1)
	}
	return uint16(2*i + 2)
}

// stream chooses a stream: mostly one of ours, one of theirs, or a wrong one.
// It is never the victim's.
func (x *attack) stream() uint16 {
	sid := uint16(0)
	switch i := x.script.next(); {
	case i < 96:
		sid = x.number(1 + i%6)
	case i < 192:
		sid = x.theirs(i)
	default:
		sid = uint16(i - 192)
	}
	if sid == x.victim {
		sid = x.number(1)
	}
	return sid
}

// theirs returns a stream number that they open.
func (x *attack) theirs(i int) uint16 { return 3 - x.number(0) + uint16(2*(i%6)) }

// of returns what is known of a stream; something, if it was never used.
func (x *attack) of(sid uint16) *use {
	if u := x.uses[sid]; u != nil {
		return u
	}
	return &use{}
}

// off is mostly zero, and else by how much a number is wrong.
func (x *attack) off() int64 {
	return []int64{0, 0, 0, 0, 0, 1, -1, math.MaxInt64}[x.script.below(8)]
}

// step makes one move and looks at what comes of it.
func (x *attack) step() {
	b := &x.script
	switch b.below(moves) {
	case moveRaw:
		m := sctpmh.Message{Stream: x.stream(), PPID: [4]uint32{ppidCtrl, ppidCtrl, ppidData, 4242}[b.below(4)]}
		m.Data = b.take(1 + b.next())
		x.send(m)
	case moveOpen:
		x.epoch++
		x.ctrl(x.stream(), &frame{typ: typeOpen, epoch: x.epoch, credit: uint64(b.next()) << 10, target: x.target()})
	case moveData:
		x.data(x.stream(), uint64(b.next()))
	case moveFill:
		sid := x.stream()
		for range 1 + b.below(4) {
			x.data(sid, math.MaxUint64)
		}
	case moveExcess:
		sid := x.stream()
		u := x.of(sid)
		x.send(sctpmh.Message{Stream: sid, PPID: ppidData, Data: make([]byte, u.credit-u.sent+1)})
	case moveFin:
		sid := x.stream()
		x.ctrl(sid, &frame{typ: typeFin, offset: x.of(sid).sent + uint64(x.off())})
	case moveReset:
		sid := x.stream()
		f := frame{typ: typeReset, epoch: x.of(sid).epoch + uint32(x.off()), code: Code(b.next())}
		c := x.s.conn(sid)
		x.ctrl(sid, &f)
		if c != nil && f.epoch != c.epoch && x.s.conn(sid) != c && !isClosed(x.a.done) {
			x.t.Errorf("stream %d is reset by a leftover of another use", sid)
		}
	case moveCredit:
		sid := x.stream()
		u := x.of(sid)
		more := uint64(b.next()) << 12
		x.ctrl(sid, &frame{typ: typeCredit, epoch: u.epoch + uint32(x.off()), offset: u.gave + more - uint64(b.next()&1), returns: u.returns + uint32(x.off())})
	case moveOK:
		sid := x.theirs(b.next())
		x.ctrl(sid, &frame{typ: typeOpenOK, epoch: x.of(sid).epoch + uint32(x.off()), credit: 100_000, seen: netip.MustParseAddrPort("192.0.2.9:99")})
	case moveFail:
		sid := x.theirs(b.next())
		x.ctrl(sid, &frame{typ: typeOpenFail, epoch: x.of(sid).epoch + uint32(x.off()), code: Code(b.next()), text: "no"})
	case movePing:
		sid := x.stream()
		switch b.below(3) {
		case 0:
			x.ctrl(sid, &frame{typ: typePing, opaque: 7})
		case 1:
			x.ctrl(sid, &frame{typ: typePong, opaque: 7})
		case 2:
			x.ctrl(x.ping.Stream, &frame{typ: typePong, opaque: x.opaque})
		}
	case moveAway:
		x.ctrl(0, &frame{typ: typeGoAway, code: CodeUnsupported})
	case moveHello:
		x.ctrl(0, &frame{typ: typeHello, version: uint8(b.below(3)), nonce: uint64(b.next()), streams: 9})
	case moveBent:
		f := []frame{{typ: typeOpen, target: x.target()}, {typ: typeFin}, {typ: typeReset}, {typ: typeCredit}, {typ: typeOpenOK}, {typ: typePing}, {typ: typeUrg}}[b.below(7)]
		m := f.append(nil)
		m[b.below(len(m))] ^= byte(1 << b.below(8))
		x.send(sctpmh.Message{Stream: x.stream(), PPID: ppidCtrl, Data: m[:len(m)-b.below(2)]})
	case moveDial:
		x.dial()
	case moveAnswer:
		x.answer()
	case moveUser:
		x.touch()
	case moveTime:
		time.Sleep(time.Duration(b.next()) * time.Second)
	case moveNotListen:
		x.deaf = b.below(64)
	case moveBits:
		sid := x.stream()
		for range b.next() {
			x.data(sid, 1)
		}
	case moveReturn:
		sid := x.stream()
		u := x.of(sid)
		x.ctrl(sid, &frame{typ: typeReturn, offset: u.sent + uint64(b.next())<<6 + uint64(x.off())})
	case moveUrgent:
		sid := x.stream()
		x.ctrl(sid, &frame{typ: typeUrg, offset: x.of(sid).sent + uint64(x.off()), octet: '!'})
	}
	x.wantAnswer()
}

// data sends at most n octets, as far as there is credit for them.
func (x *attack) data(sid uint16, n uint64) {
	u := x.of(sid)
	if n = min(n, u.credit-u.sent, 64<<10); n > 0 {
		x.send(sctpmh.Message{Stream: sid, PPID: ppidData, Data: make([]byte, n)})
	}
}

func (x *attack) target() Target {
	return [4]Target{{Port: 80}, {Port: 80, Name: "b.example"}, {Port: victimPort}, {Addr: netip.MustParseAddr("192.0.2.7"), Port: 1}}[x.script.below(4)]
}

func (x *attack) ctrl(sid uint16, f *frame) {
	x.send(ctrl(sid, f))
}

func (x *attack) send(m sctpmh.Message) {
	if len(m.Data) == 0 || isClosed(x.a.done) {
		return
	}
	x.note(m)
	x.a.in <- m
	x.settle()
}

// note takes down what we send, right or wrong.
func (x *attack) note(m sctpmh.Message) {
	u := x.of(m.Stream)
	if m.PPID == ppidData {
		u.sent += uint64(len(m.Data))
	}
	f, known, err := parseFrame(m.Data)
	if m.PPID != ppidCtrl || !known || err != nil {
		return
	}
	switch {
	case f.typ == typeOpen && x.s.conn(m.Stream) == nil:
		x.uses[m.Stream] = &use{epoch: f.epoch, gave: f.credit, credit: x.early}
	case f.typ == typeUrg:
		u.sent++
	case f.typ == typeReturn:
		u.credit = f.offset // or it is a breach
		u.returned++
	case f.typ == typeCredit && f.epoch == u.epoch && f.returns == u.returns, f.typ == typeOpenOK && f.epoch == u.epoch:
		u.gave = max(u.gave, f.credit, f.offset)
	}
}

// settle waits until the session is at rest and what it sent is read.
func (x *attack) settle() {
	synctest.Wait()
	for x.deaf == 0 && len(x.out) > 0 {
		for len(x.out) > 0 {
			x.learn(<-x.out)
		}
		synctest.Wait()
	}
}

// learn takes a message of theirs, which keep to the protocol.
func (x *attack) learn(m sctpmh.Message) {
	if m.PPID == ppidData {
		u := x.uses[m.Stream]
		if u == nil {
			x.t.Fatalf("data on stream %d, which was never opened", m.Stream)
		}
		if u.got += uint64(len(m.Data)); u.got > u.gave {
			x.t.Errorf("stream %d: they sent %d octets and may send %d", m.Stream, u.got, u.gave)
		}
		return
	}
	f, known, err := parseFrame(m.Data)
	if !known || err != nil {
		x.t.Fatalf("they sent %x: %v", m.Data, err)
	}
	u := x.of(m.Stream)
	switch f.typ {
	case typeHello:
		x.early = f.credit
	case typeOpen:
		x.uses[m.Stream] = &use{epoch: f.epoch, credit: f.credit, gave: 20_000}
	case typeOpenOK, typeCredit:
		if f.epoch == u.epoch && f.returns == u.returned {
			u.credit = max(u.credit, f.credit, f.offset)
		}
	case typeReturn:
		if f.offset < u.got || f.offset > u.gave {
			x.t.Errorf("stream %d: they return credit of %d octets to %d, having sent %d", m.Stream, u.gave, f.offset, u.got)
		}
		u.gave = f.offset
		u.returns++
	case typePing:
		x.ping, x.opaque = m, f.opaque
	case typeUrg:
		u.got++
	case typeOpenFail:
		if m.Stream == x.victim && f.code == CodeAway {
			x.uses[x.victim] = nil // GOAWAY was said before
		}
	case typeFin:
		if f.offset != u.got {
			x.t.Errorf("stream %d: FIN at %d after %d octets", m.Stream, f.offset, u.got)
		}
	}
}

// wantAnswer checks the session, and that the victim is served.
func (x *attack) wantAnswer() {
	x.t.Helper()
	if x.deaf > 0 {
		x.deaf--
	}
	x.settle()
	if err := x.s.check(); err != nil {
		x.t.Fatal(err)
	}
	v := x.uses[x.victim]
	if x.deaf > 0 || v == nil || isClosed(x.a.done) {
		return
	}
	x.wantCredit()
	x.ctrl(x.victim, &frame{typ: typeCredit, epoch: v.epoch, offset: v.got + 1000, returns: v.returns})
	want := v.got + 1
	x.data(x.victim, 1)
	for range 100 { // it may wait a moment
		if v.got == want || isClosed(x.a.done) {
			return
		}
		time.Sleep(10 * time.Millisecond)
		x.settle()
	}
	x.t.Fatalf("the victim waits for its answer: %d of %d octets", v.got, want)
}

// wantCredit checks that no connection takes more from the peer than it was
// told to send, and that it is told what it may.
func (x *attack) wantCredit() {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	for sid, c := range x.s.conns {
		c.mu.Lock()
		if u := x.of(sid); u.epoch == c.epoch && c.recv.limit != u.credit && !c.recv.ended {
			x.t.Errorf("stream %d takes %d octets, the peer was told %d", sid, c.recv.limit, u.credit)
		}
		c.mu.Unlock()
	}
}

// end aborts the association. Then nobody waits any more and nothing is left;
// the bubble sees to the goroutines.
func (x *attack) end() {
	x.a.Abort("over")
	x.s.running.Wait()
	synctest.Wait()
	if n := x.busy.Load(); n > 0 {
		x.t.Errorf("%d users wait for an association that has ended", n)
	}
	for _, o := range x.held {
		if c, err := o.Accept(netip.AddrPort{}); err == nil {
			x.t.Errorf("a connection of an association that has ended is accepted: %v", c.RemoteAddr())
		}
	}
	for _, c := range x.kept {
		c.Close()
	}
	if err := x.s.check(); err != nil {
		x.t.Error(err)
	}
	if n := x.windows.used.Load(); n != 0 {
		x.t.Errorf("windows of %d octets belong to nobody", n)
	}
}

// conn returns the connection of a stream.
func (s *session) conn(sid uint16) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[sid]
}
