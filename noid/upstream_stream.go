package noid

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// A stream is a connection to a server, TCP or TLS in it, that is kept for a
// time and over which many questions go without waiting for one another
// (RFC 7766 section 6.2.1.1, RFC 7858 section 3.3).
//
//	dialling --> open --> ended
//	    \___________________/
//
// It ends when nothing was asked for streamIdle, when an answer is due for
// streamTimeout and nothing has come, or when the server closes it or
// misbehaves. The deadline for reading is one or the other of these times.
type stream struct {
	up     Upstream
	dialed chan struct{} // closed when it is open or ended
	ended  chan struct{}

	mu      sync.Mutex // leaf; guards what follows
	conn    net.Conn
	err     error // why it ended
	waiting map[uint16]*asked
}

// asked is a question that waits for its answer.
type asked struct {
	query  *dns.Msg
	since  time.Time
	answer chan *dns.Msg // has room for it
}

var errFlood = errors.New("the server sends answers that nobody asked for")

// askStream asks a server over the stream that is kept, or over a fresh one: a
// server may close one that it has kept long enough just when a question
// comes (RFC 7766 section 6.2.4).
func (u *upstreams) askStream(ctx context.Context, q *dns.Msg, up Upstream) (m *dns.Msg, err error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	for range 2 {
		s, kept := u.stream(up)
		if m, err = s.ask(ctx, q); err == nil || !kept || ctx.Err() != nil {
			break
		}
	}
	return m, err
}

// stream returns the stream to a server, a fresh one if none is kept.
func (u *upstreams) stream(up Upstream) (s *stream, kept bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if s := u.streams[up]; s != nil && !s.isEnded() {
		return s, true
	}
	s = &stream{up: up, dialed: make(chan struct{}), ended: make(chan struct{}), waiting: make(map[uint16]*asked)}
	u.streams[up] = s
	u.running.Go(func() { // ends with the stream, at the latest when u is closed
		s.run(u.ctx, u.connect)
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.streams[up] == s {
			delete(u.streams, up)
		}
	})
	return s, false
}

// connect opens a connection, with TLS where that is the protocol.
func (u *upstreams) connect(ctx context.Context, up Upstream) (net.Conn, error) {
	c, err := u.dial(ctx, "tcp", up.Addr.String())
	if err != nil || up.Proto != ProtoTLS {
		return c, err
	}
	return u.secure(ctx, c, up)
}

func (s *stream) isEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// run is the life of the stream.
func (s *stream) run(ctx context.Context, connect func(context.Context, Upstream) (net.Conn, error)) {
	dialing, cancel := context.WithTimeout(ctx, streamTimeout)
	conn, err := connect(dialing, s.up)
	cancel()
	if err == nil {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		defer conn.Close()
		s.mu.Lock()
		s.conn = conn
		s.expect()
		s.mu.Unlock()
		close(s.dialed)
		err = s.read(conn)
	} else {
		defer close(s.dialed)
	}
	s.mu.Lock()
	s.err = err
	s.mu.Unlock()
	close(s.ended)
}

// read delivers answers until it cannot go on. Some answer nothing any more,
// because another server was faster, but who sends nothing else does not want
// to answer.
func (s *stream) read(conn net.Conn) error {
	r := bufio.NewReader(conn)
	for strays := 0; strays < maxStrays; strays++ {
		b, err := readFrame(r)
		if err != nil {
			return err
		}
		if s.deliver(b) {
			strays = 0
		}
	}
	return errFlood
}

// deliver gives an answer to who waits for it. Only that is a reason to wait
// for more.
func (s *stream) deliver(b []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) < 2 {
		return false
	}
	id := uint16(b[0])<<8 | uint16(b[1])
	a := s.waiting[id]
	if a == nil {
		return false
	}
	m, err := unpack(b, a.query, id)
	if err != nil {
		return false
	}
	delete(s.waiting, id)
	a.answer <- m
	s.expect()
	return true
}

// expect sets the time until which something has to come. The caller has mu.
func (s *stream) expect() {
	wait := streamIdle
	if len(s.waiting) > 0 {
		wait = streamTimeout
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(wait)) // it is closed: read says so
}

// enter finds an id for a question.
func (s *stream) enter(q *dns.Msg) (id uint16, a *asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a = &asked{query: q, since: time.Now(), answer: make(chan *dns.Msg, 1)}
	for id = newID(); s.waiting[id] != nil; { // few of 65536 are taken: see maxQueries
		id = newID()
	}
	s.waiting[id] = a
	if len(s.waiting) == 1 {
		s.expect()
	}
	return id, a
}

// leave ends a question. One that is given up early was answered by another
// server, and the stream may be kept. One that had its time was not answered, and
// nor would the next one be.
func (s *stream) leave(id uint16, a *asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] == a {
		delete(s.waiting, id)
		switch {
		case len(s.waiting) > 0:
		case time.Since(a.since) < streamTimeout/2:
			s.expect()
		default:
			s.conn.Close()
		}
	}
}

// ask asks one question over the stream.
func (s *stream) ask(ctx context.Context, q *dns.Msg) (*dns.Msg, error) {
	select {
	case <-s.dialed:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.conn == nil {
		<-s.ended
		return nil, s.err
	}
	id, a := s.enter(q)
	defer s.leave(id, a)
	b, err := pack(q, id, s.up.Proto.encrypted())
	if err != nil {
		return nil, err
	}
	// A server that reads nothing would hold the question up for longer than
	// ctx allows.
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamTimeout))
	if err := writeFrame(s.conn, b); err != nil {
		s.conn.Close()
	}
	select {
	case m := <-a.answer:
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-s.ended:
	}
	select {
	case m := <-a.answer: // the last before the end
		return m, nil
	default:
		return nil, s.err
	}
}
