package tcpemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh"
)

// assoc is what a session needs of an association; *sctpmh.Assoc is one.
type assoc interface {
	ID() uint64
	Send(context.Context, sctpmh.Message) error
	TrySend(sctpmh.Message) (ok bool, err error)
	Discard(stream uint16, group uint32)
	SetWeight(stream uint16, weight int)
	Recv(context.Context) (sctpmh.Message, error)
	Permit([]netip.Addr)
	SetCandidates([]netip.AddrPort)
	Peer() sctpmh.Peer
	MaxPayload() int
	Paths() []sctpmh.PathInfo
	PathsChanged() <-chan struct{}
	SetPrimary(sctpmh.Pair) bool
	Stats() sctpmh.Stats
	Failovers() []sctpmh.Failover
	Shutdown(context.Context) error
	Abort(reason string)
	Done() <-chan struct{}
	Err() error
}

// Bounds on what a peer can make grow.
const (
	// maxEarly bounds the messages, and maxEarlyOctets what is in them, that wait
	// for a HELLO that was lost or overtaken. A peer that never says HELLO would
	// fill memory.
	maxEarly       = 64
	maxEarlyOctets = 64 << 10

	// helloTimeout bounds how long a peer may take to say HELLO.
	helloTimeout = 10 * time.Second
)

// A session is the connections over one association.
//
// Its goroutines are read, which handles what arrives and never blocks on
// sending, and write, which sends control messages, with one more for each
// stream that has no room for them; all end when the association does.
type session struct {
	// Set once.
	assoc    assoc
	cfg      sessionConfig
	nonce    uint64
	since    time.Time
	greeted  chan struct{} // closed when the peer's HELLO has arrived
	running  sync.WaitGroup
	identity identity
	early    []sctpmh.Message // before HELLO; owned by read
	pings    pings
	windows  windowSum
	trip     roundTrip

	idleCredit idleCredit

	mu      sync.Mutex // leaf; guards what follows
	peer    frame      // its HELLO
	hello   bool
	conns   map[uint16]*Conn // by stream, until both directions have ended
	used    time.Time        // when the latest of them ended
	numbers numbers
	unheard unheard
	out     outgoing
	idling  gate.Signal
	away    bool // the peer or we said GOAWAY: no new connections
	err     error
}

// sessionConfig is what makes sessions differ. Its functions are called by
// read and must not wait.
type sessionConfig struct {
	name    string     // claimed in HELLO, may be empty
	nonce   uint64     // of a session that this one repeats; 0: it is a new one
	dialled bool       // we dialled the association
	to      netip.Addr // where to, as long as it is not known who answers
	log     *slog.Logger
	windows *Windows          // nil: those of the process
	accept  func(*Open) error // takes a connection that the peer opens; nil: refuse
	onHello func(*session, frame)
}

// newSession starts a session on an established association and says HELLO.
func newSession(a assoc, cfg sessionConfig) *session {
	s := newEarlySession(a, cfg)
	s.start()
	return s
}

// newEarlySession says HELLO, and sends what else is queued, on an association
// that need not be established yet. The session hears nothing before start; if
// that is never called, end is.
func newEarlySession(a assoc, cfg sessionConfig) *session {
	from := a.Peer().Handshake
	s := &session{
		assoc: a, cfg: cfg, since: time.Now(), used: time.Now(),
		greeted: make(chan struct{}),
		nonce:   cmp.Or(cfg.nonce, rand.Uint64()), // breaks ties; the peer's to know, see pool.greet
		conns:   make(map[uint16]*Conn),
		numbers: newNumbers(cfg.dialled, rand.Uint32()),
		unheard: unheard{over: make(chan struct{})},
	}
	s.windows.of, s.windows.peer = cfg.windows, sharerOf(cfg.to)
	if from.IsValid() {
		s.windows.peer = sharerOf(from.Addr())
	}
	if cfg.windows == nil {
		s.windows.of = &processWindows
	}
	s.identity.init()
	hello := frame{
		typ: typeHello, version: protocolVersion, nonce: s.nonce, name: cfg.name,
		streams: a.Peer().InStreams, credit: earlyCredit, seen: from, flags: helloReturns,
	}
	if cfg.dialled {
		hello.flags |= helloDialled
	}
	if cfg.accept != nil {
		hello.flags |= helloAccepts
	}
	// Nothing may be sent before it. A new association has room for it; if it
	// has just ended instead, read finds out.
	_, _ = a.TrySend(sctpmh.Message{PPID: ppidCtrl, Repeats: true, Data: hello.append(nil)})
	s.running.Go(s.write) // ends with the association
	return s
}

// start has the session hear what arrives, once its association is established.
func (s *session) start() { s.running.Go(s.read) } // ends with the association

// read handles what arrives.
func (s *session) read() {
	timer := time.AfterFunc(helloTimeout, func() {
		if !isClosed(s.greeted) {
			s.assoc.Abort("no HELLO")
		}
	})
	defer timer.Stop()
	for {
		m, err := s.assoc.Recv(context.Background())
		if err != nil {
			s.end(err)
			return
		}
		if err := s.handle(m); err != nil {
			s.cfg.log.Warn("association aborted: the peer breaks the protocol", "peer", s.assoc.Peer().Handshake, "error", err)
			s.assoc.Abort(err.Error())
			s.end(fmt.Errorf("%w: %w", syscall.EPROTO, err))
			return
		}
	}
}

// handle takes one message. Its error is a breach of protocol.
func (s *session) handle(m sctpmh.Message) error {
	s.mu.Lock()
	hello, overrun := s.hello, s.out.len() >= maxQueued
	c := s.conns[m.Stream]
	s.mu.Unlock()
	switch {
	case overrun:
		return errOverrun
	case m.PPID == ppidCtrl:
		f, known, err := parseFrame(m.Data)
		if err != nil || !known {
			return err
		}
		switch isHello := f.typ == typeHello; {
		case !hello && !isHello:
			if !s.answers(c, &f) {
				return s.hold(m)
			}
			s.dropEarly(m.Stream)
		case hello && isHello:
			return errors.New("a second HELLO")
		}
		if f.typ == typePing && m.Unordered && c != nil && c.relayProbe(f.opaque) {
			return nil
		}
		return s.handleFrame(m.Stream, c, &f)
	case m.PPID != ppidData:
		return nil // somebody else's, not for us to judge
	case !hello && !s.answers(c, nil):
		return s.hold(m)
	case s.crossed(m.Stream, c):
		return nil
	case c == nil:
		return fmt.Errorf("data on stream %d, which is not open", m.Stream)
	}
	return c.handleData(m.Data)
}

// hold keeps a message until HELLO has come: streams do not wait for one
// another, so that what follows a HELLO that was lost overtakes it.
func (s *session) hold(m sctpmh.Message) error {
	s.early = append(s.early, m)
	octets := 0
	for _, e := range s.early {
		octets += len(e.Data)
	}
	if len(s.early) > maxEarly || octets > maxEarlyOctets {
		return errors.New("too much before HELLO")
	}
	return nil
}

// answers reports whether a message is the answer to an OPEN of ours, or
// follows one on its stream; f is nil for DATA. Such a one need not wait for
// HELLO: who answers has the same view of the numbers as we have, and may send
// as much as it has credit for.
func (s *session) answers(c *Conn, f *frame) bool {
	switch {
	case c == nil || !s.ours(c.sid):
		return false
	case f != nil && (f.typ == typeOpenOK || f.typ == typeOpenFail):
		return f.epoch == c.epoch
	}
	return isClosed(c.answered)
}

// dropEarly forgets what the peer sent on a stream when it still took the
// number for its own. It has given it up: its answer came after that.
func (s *session) dropEarly(sid uint16) {
	s.early = slices.DeleteFunc(s.early, func(m sctpmh.Message) bool { return m.Stream == sid && !m.Unordered })
}

func (s *session) handleFrame(sid uint16, c *Conn, f *frame) error {
	if (f.typ == typePing || f.typ == typeOpen) && sid >= s.assoc.Peer().OutStreams {
		return fmt.Errorf("message of type %d on stream %d, on which we cannot answer", f.typ, sid)
	}
	switch f.typ {
	case typeHello:
		return s.handleHello(sid, f)
	case typePing:
		s.enqueue(sid, &frame{typ: typePong, opaque: f.opaque})
		return nil
	case typePong:
		s.heard()
		s.pings.handlePong(f.opaque)
		return nil
	case typeGoAway:
		s.goAway()
		return nil
	}
	switch f.typ {
	case typeOpen, typeFin:
		if s.crossed(sid, c) {
			return nil
		}
	case typeOpenOK, typeOpenFail:
		s.heard()
	}
	if f.typ == typeOpen {
		return s.handleOpen(sid, c, f)
	}
	if c == nil {
		if f.typ == typeCredit || f.typ == typeReset {
			return nil // it crossed the end of the stream
		}
		return fmt.Errorf("message of type %d on stream %d, which is not open", f.typ, sid)
	}
	return c.handleFrame(f)
}

// reason returns why the session ended.
func (s *session) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return sessionError(s.assoc.Err())
}

// sessionError is what connections report when their association ends.
func sessionError(err error) error {
	if err == io.EOF || err == nil {
		return fmt.Errorf("%w: the peer ended the association", syscall.ECONNRESET)
	}
	return err
}

// end tells every connection that the association is gone.
func (s *session) end(err error) {
	graceful := err == io.EOF
	err = sessionError(err)
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	var all []*Conn
	for _, c := range s.conns {
		all = append(all, c)
	}
	s.conns = make(map[uint16]*Conn)
	s.stopLooking()
	s.out.changed.Notify()
	s.idling.Notify()
	s.mu.Unlock()
	for _, c := range all {
		c.fail(s.lastWords(c, graceful, err))
	}
	s.identity.resolve(Identity{}, err)
}
