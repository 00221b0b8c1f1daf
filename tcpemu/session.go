package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
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
	Recv(context.Context) (sctpmh.Message, error)
	Permit([]netip.Addr)
	Peer() sctpmh.Peer
	MaxPayload() int
	Paths() []sctpmh.PathInfo
	Failovers() []sctpmh.Failover
	Shutdown(context.Context) error
	Abort(reason string)
	Done() <-chan struct{}
	Err() error
}

// Bounds on what a peer can make grow.
const (
	// maxQueued bounds control messages that wait to be sent. A peer that
	// opens and resets streams without reading the answers would fill memory;
	// its association is aborted.
	maxQueued = 1 << 16

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
// sending, and write, which sends control messages; both end when the
// association does.
type session struct {
	// Set once.
	assoc    assoc
	name     string // claimed in HELLO, may be empty
	log      *slog.Logger
	accept   func(*Open) error     // takes a connection that the peer opens; nil: refuse
	onHello  func(*session, frame) // called by read
	greeted  chan struct{}         // closed when the peer's HELLO has arrived
	running  sync.WaitGroup
	identity identity
	nonce    uint64
	early    []sctpmh.Message // before HELLO; owned by read

	mu      sync.Mutex // leaf; guards what follows
	peer    frame      // its HELLO
	hello   bool
	conns   map[uint16]*Conn // by stream, until both directions have ended
	free    []uint16         // of our numbers, ended ones
	next    uint16           // our next unused number
	epoch   uint32
	windows int // sum of the receive windows
	queue   []queued
	queuing gate.Signal
	idling  gate.Signal
	away    bool // the peer or we said GOAWAY: no new connections
	err     error
}

// queued is a control message that waits to be sent, or a connection whose
// credit is to be told.
type queued struct {
	msg    sctpmh.Message
	credit *Conn
}

// newSession starts a session on an established association and says HELLO.
func newSession(a assoc, name string, log *slog.Logger, accept func(*Open) error, onHello func(*session, frame)) *session {
	s := &session{
		assoc: a, name: name, log: log, accept: accept, onHello: onHello,
		greeted: make(chan struct{}),
		nonce:   rand.Uint64(), // not a secret: it breaks a tie
		conns:   make(map[uint16]*Conn),
	}
	s.identity.init()
	hello := frame{
		typ: typeHello, version: protocolVersion, nonce: s.nonce, name: name,
		streams: a.Peer().InStreams, credit: earlyCredit, seen: a.Peer().Handshake,
	}
	// Nothing may be sent before it. A new association has room for it; if it
	// has just ended instead, read finds out.
	_, _ = a.TrySend(sctpmh.Message{PPID: ppidCtrl, Data: hello.append(nil)})
	s.running.Go(s.read)  // ends with the association
	s.running.Go(s.write) // ends with the association
	return s
}

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
			s.log.Warn("association aborted: the peer breaks the protocol", "peer", s.assoc.Peer().Handshake, "error", err)
			s.assoc.Abort(err.Error())
			s.end(fmt.Errorf("%w: %w", syscall.EPROTO, err))
			return
		}
	}
}

// write sends control messages in order.
func (s *session) write() {
	for {
		m, ok := s.nextQueued()
		if !ok {
			return
		}
		if err := s.assoc.Send(context.Background(), m); err != nil {
			return // the association has ended, read tells everybody
		}
	}
}

// nextQueued waits for the next control message. It reports false at the end.
func (s *session) nextQueued() (m sctpmh.Message, ok bool) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			q := s.queue[0]
			s.queue[0] = queued{}
			if s.queue = s.queue[1:]; len(s.queue) == 0 {
				s.queue = nil
			}
			s.mu.Unlock()
			if q.credit != nil {
				return q.credit.creditMessage(), true
			}
			return q.msg, true
		}
		wait, over := s.queuing.Wait(), s.err != nil
		s.mu.Unlock()
		if over {
			return m, false
		}
		<-wait
	}
}

// enqueue has a control message sent.
func (s *session) enqueue(sid uint16, f *frame) {
	unordered := f.typ == typeCredit || f.typ == typePing || f.typ == typePong
	s.push(queued{msg: sctpmh.Message{Stream: sid, PPID: ppidCtrl, Unordered: unordered, Data: f.append(nil)}})
}

func (s *session) push(q queued) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) < maxQueued {
		s.queue = append(s.queue, q)
		s.queuing.Notify()
	}
}

// errOverrun ends a session whose peer does not read our answers.
var errOverrun = errors.New("control messages are not read")

// handle takes one message. Its error is a breach of protocol.
func (s *session) handle(m sctpmh.Message) error {
	s.mu.Lock()
	hello, overrun := s.hello, len(s.queue) >= maxQueued
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
			return s.hold(m)
		case hello && isHello:
			return errors.New("a second HELLO")
		}
		return s.handleFrame(m.Stream, c, &f)
	case m.PPID != ppidData:
		return nil // somebody else's, not for us to judge
	case !hello:
		return s.hold(m)
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

func (s *session) handleFrame(sid uint16, c *Conn, f *frame) error {
	switch f.typ {
	case typeHello:
		return s.handleHello(sid, f)
	case typePing:
		s.enqueue(sid, &frame{typ: typePong, opaque: f.opaque})
		return nil
	case typePong:
		return nil
	case typeGoAway:
		s.goAway()
		return nil
	case typeOpen:
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

func (s *session) handleHello(sid uint16, f *frame) error {
	if sid != 0 || f.version != protocolVersion || f.nonce == s.nonce {
		return fmt.Errorf("HELLO on stream %d, version %d: want stream 0, version %d, and a nonce other than ours", sid, f.version, protocolVersion)
	}
	s.mu.Lock()
	s.peer, s.hello = *f, true
	s.next = 1
	if s.nonce < f.nonce {
		s.next = 2
	}
	s.mu.Unlock()
	close(s.greeted)
	if s.onHello != nil {
		s.onHello(s, *f)
	}
	early := s.early
	s.early = nil
	for _, m := range early {
		if err := s.handle(m); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a stream number is one that we open. The caller holds
// s.mu or the peer's HELLO has arrived.
func (s *session) ours(sid uint16) bool { return (sid%2 == 0) == (s.nonce < s.peer.nonce) }

// handleOpen takes a connection that the peer opens.
func (s *session) handleOpen(sid uint16, c *Conn, f *frame) error {
	if sid == 0 || c != nil || s.ours(sid) {
		return fmt.Errorf("OPEN on stream %d, which is not the peer's or in use", sid)
	}
	c = newConn(s, sid, f.epoch, f.credit, earlyCredit)
	s.mu.Lock()
	s.windows += c.window
	s.conns[sid] = c
	s.mu.Unlock()
	o := &Open{Target: f.target, Hops: f.hops, Via: f.via, conn: c}
	switch {
	case s.accept == nil:
		o.Reject(CodeUnsupported, "this side accepts no connections")
	default:
		if err := s.accept(o); err != nil {
			o.Reject(CodeResources, err.Error())
		}
	}
	return nil
}

// open opens a connection to a target behind the peer and waits for the
// answer.
func (s *session) open(ctx context.Context, f *frame) (*Conn, error) {
	select {
	case <-s.greeted:
	case <-s.assoc.Done():
		return nil, s.reason()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c, err := s.newStream()
	if err != nil {
		return nil, err
	}
	f.typ, f.epoch, f.credit = typeOpen, c.epoch, uint64(c.window)
	if err := s.assoc.Send(ctx, sctpmh.Message{Stream: c.sid, PPID: ppidCtrl, Data: f.append(nil)}); err != nil {
		s.forget(c)
		return nil, err
	}
	return c, c.opened(ctx)
}

// errBusy says that the association takes no more connections, so that
// another one must be made.
var errBusy = fmt.Errorf("association takes no more connections: %w", syscall.EAGAIN)

// newStream takes a free stream number of ours.
func (s *session) newStream() (*Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	limit := min(s.assoc.Peer().OutStreams, s.assoc.Peer().InStreams, s.peer.streams)
	var sid uint16
	switch {
	case s.away:
		return nil, errBusy
	case len(s.free) > 0:
		sid = s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
	case s.next < limit:
		sid = s.next
		s.next += 2
	default:
		return nil, errBusy
	}
	s.epoch++
	window := earlyCredit
	if s.windows+initialWindow <= maxWindows {
		window = initialWindow
	}
	s.windows += window
	c := newConn(s, sid, s.epoch, s.peer.credit, window)
	s.conns[sid] = c
	return c, nil
}

// forget drops a connection both of whose directions have ended.
func (s *session) forget(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.sid] != c {
		return
	}
	delete(s.conns, c.sid)
	s.windows -= c.window
	if s.ours(c.sid) {
		s.free = append(s.free, c.sid)
	}
	s.idling.Notify()
}

// goAway stops new connections; those that there are go on.
func (s *session) goAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
}

// usable reports whether new connections can be opened.
func (s *session) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && !s.away
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
	s.queuing.Notify()
	s.idling.Notify()
	s.mu.Unlock()
	for _, c := range all {
		c.fail(err)
	}
	s.identity.resolve(Identity{}, err)
}

// close drains: no new connections, running ones may finish until ctx ends,
// then the association ends. It returns when the session's goroutines have.
func (s *session) close(ctx context.Context) {
	s.goAway()
	s.enqueue(0, &frame{typ: typeGoAway, code: CodeUnsupported})
	for {
		s.mu.Lock()
		idle, wait := len(s.conns) == 0 || s.err != nil, s.idling.Wait()
		s.mu.Unlock()
		if idle {
			break
		}
		select {
		case <-wait:
			continue
		case <-ctx.Done():
		}
		break
	}
	if err := s.assoc.Shutdown(ctx); err != nil {
		s.assoc.Abort("closed")
	}
	<-s.assoc.Done()
	s.running.Wait()
}
