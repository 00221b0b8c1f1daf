package tcpemu

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// verifyTimeout bounds the check of a peer's name.
const verifyTimeout = 5 * time.Second

// ListenConfig sets a listener up. The zero value of each field means its
// default.
type ListenConfig struct {
	// Name is the own name, told to peers in HELLO, in clear.
	Name string

	// Resolver verifies who peers claim to be. Nil: nobody is verified, and
	// peers are reached at the address they came from only.
	Resolver Resolver

	// Windows bounds what peers may send to readers that do not read. Nil: those
	// of the process.
	Windows *Windows

	// Logger gets breaches of protocol and refusals. Nil: none.
	Logger *slog.Logger
}

// A Listener accepts connections that peers open.
type Listener struct {
	endpoint *sctpmh.Endpoint
	cfg      ListenConfig
	backlog  backlog
	pool     pool // with the dialers of the host

	once    sync.Once
	open    context.Context // until Close begins
	shut    context.CancelFunc
	live    context.Context // until the last session has ended, or must
	cut     context.CancelFunc
	running sync.WaitGroup // acceptAssocs, sessions, verifications
	refused sync.WaitGroup // what Close starts
}

// Listen accepts the associations that peers make with an endpoint, which
// announces AdaptationCode and has no other listener. Without an endpoint it
// accepts none, and takes only what peers open over those that its dialers made.
// A nil cfg means all defaults. At present it does not fail.
func Listen(e *sctpmh.Endpoint, cfg *ListenConfig) (*Listener, error) {
	l := &Listener{endpoint: e}
	if cfg != nil {
		l.cfg = *cfg
	}
	if l.cfg.Logger == nil {
		l.cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l.open, l.shut = context.WithCancel(context.Background())
	l.live, l.cut = context.WithCancel(context.Background())
	if e != nil {
		l.running.Go(l.acceptAssocs) // ends when Close begins
	}
	return l, nil
}

// acceptAssocs starts a session on each association.
func (l *Listener) acceptAssocs() {
	for {
		a, err := l.endpoint.Accept(l.open)
		if err != nil {
			return
		}
		if code := a.Peer().Adaptation; code != AdaptationCode {
			l.cfg.Logger.Warn("association refused: the peer does not speak tcpemu", "peer", a.Peer().Handshake, "adaptation", fmt.Sprintf("%#x", code))
			a.Abort("adaptation layer indication is not 0x6d680001")
			continue
		}
		l.serve(a)
	}
}

// serve runs a session until Close, and then until it is idle.
func (l *Listener) serve(a assoc) *session {
	s := newSession(a, sessionConfig{name: l.cfg.Name, log: l.cfg.Logger, windows: l.cfg.Windows, accept: l.take, onHello: l.greet})
	l.pool.enter(s)
	l.running.Go(func() { // ends with the association
		select {
		case <-a.Done():
		case <-l.open.Done():
			s.close(l.live)
		}
		s.running.Wait()
		l.pool.dismiss(s)
	})
	return s
}

// greet takes a HELLO.
func (l *Listener) greet(s *session, hello frame) {
	if former := l.pool.greet(s, hello.nonce); former != nil {
		l.running.Go(func() { l.settle(former, s) }) // ends within repeatTime
	}
	l.verify(s, hello)
}

// verify finds out, off the data's way, who a peer is.
func (l *Listener) verify(s *session, hello frame) {
	if l.cfg.Resolver == nil {
		s.identity.resolve(Identity{Binding: "none"}, nil)
		return
	}
	l.running.Go(func() { // ends within verifyTimeout
		ctx, cancel := context.WithTimeout(l.open, verifyTimeout)
		defer cancel()
		p := s.assoc.Peer()
		id, permitted, err := l.cfg.Resolver.Verify(ctx, p.Handshake.Addr(), hello.name, p.Listed, p.Silent)
		if err != nil {
			l.cfg.Logger.Info("peer not verified: it is reached over one path only", "peer", p.Handshake, "claim", hello.name, "error", err)
		}
		s.assoc.Permit(permitted)
		l.pool.admit(l.cfg.Name, s, id)
		s.identity.resolve(id, nil)
		l.replace(l.backlog.unpark(s))
		s.watch(&l.running, l.cfg.Resolver, id)
	})
}

// take puts a connection before those who accept.
func (l *Listener) take(o *Open) error {
	if l.open.Err() != nil {
		return errAway
	}
	return l.place(o)
}

// AcceptOpen waits for a connection and leaves it to the caller whether to
// accept it: one of its Accept and Reject must be called, else the peer waits.
// Gateways use it. Its error is net.ErrClosed after Close, or ctx's.
func (l *Listener) AcceptOpen(ctx context.Context) (*Open, error) {
	switch o := l.backlog.take(ctx, l.open); {
	case o != nil:
		return o, nil
	case l.open.Err() != nil:
		return nil, l.opError(net.ErrClosed)
	}
	return nil, ctx.Err()
}

// Accept waits for a connection to this host and accepts it. Those that ask
// for other hosts are refused. Its error is net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		o, err := l.AcceptOpen(context.Background())
		if err != nil {
			return nil, err
		}
		if !o.Target.Own() {
			o.Reject(CodeDenied, "this host is no gateway")
			continue
		}
		c, err := o.Accept(netip.AddrPort{})
		if err == nil {
			return c, nil
		}
	}
}

// Shutdown is Close and waits for what Close leaves: the connections that are
// running, at most until ctx ends, which ends them. It returns when no
// goroutine of the listener is left. The endpoint stays open.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.Close()
	defer context.AfterFunc(ctx, l.cut)()
	l.refused.Wait()
	return nil
}

// Close ends accepting: peers are told to open no more connections, and those
// that nobody had accepted are refused in a way that lets their dialers ask
// elsewhere. As with TCP, connections that were accepted go on, and Close does
// not wait for them: http.Server.Shutdown closes its listeners before it waits.
// Until the last of them has ended, or the endpoint, further associations are
// refused.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.shut()
		l.backlog.refuse(CodeAway)
		if l.endpoint != nil {
			l.refused.Go(l.refuseAssocs) // ends with the sessions
		}
		l.refused.Go(func() { // so does this
			l.running.Wait()
			l.cut()
		})
	})
	return nil
}

// refuseAssocs aborts the associations that are still made.
func (l *Listener) refuseAssocs() {
	for {
		a, err := l.endpoint.Accept(l.live)
		if err != nil {
			return
		}
		a.Abort("going away")
	}
}

// Addr returns the own name and no port: peers ask for ports as they like.
func (l *Listener) Addr() net.Addr { return Addr{Host: l.cfg.Name} }

func (l *Listener) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "mh", Addr: l.Addr(), Err: err}
}

// An Open is a connection that a peer asks for. What it says of itself is the
// peer's word.
type Open struct {
	Target Target
	Hops   uint8    // gateways passed so far; see MaxHops
	Via    []uint64 // their ids, if they gave any

	FromPort uint16 // that the peer dials from; 0: it has none

	conn *Conn
	once sync.Once
}

// From returns the address that completed the peer's handshake.
func (o *Open) From() netip.AddrPort { return o.conn.s.assoc.Peer().Handshake }

// Identity waits until it is known who the peer is; see Conn.Identity.
func (o *Open) Identity(ctx context.Context) (Identity, error) { return o.conn.s.identity.wait(ctx) }

// Accept accepts the connection; bound is the address from which the target
// was reached, if there is one. Its error is net.ErrClosed if it was accepted or
// rejected before, else why the connection has ended meanwhile.
func (o *Open) Accept(bound netip.AddrPort) (*Conn, error) {
	c := o.conn
	err := net.ErrClosed
	o.once.Do(func() {
		c.laddr = Addr{Host: c.s.cfg.name, Port: o.Target.Port}
		c.raddr = Addr{Host: c.s.peerHost(), Port: cmp.Or(o.FromPort, c.sid)}
		// Who writes is let finish before a RESET is answered: OPEN_OK behind our
		// RESET would come to a stream that is not open any more.
		c.writing <- struct{}{}
		defer c.doneWriting()
		c.mu.Lock()
		if err = c.send.err; err == nil {
			c.accepted = true
			c.watchCredit()
			close(c.answered)
		}
		c.mu.Unlock()
		if err == nil {
			ok := frame{typ: typeOpenOK, epoch: c.epoch, credit: c.widen(), seen: bound}
			c.s.push(queued{msg: ctrl(c.sid, &ok), begins: c})
		}
	})
	if err != nil {
		return nil, c.opError("accept", err)
	}
	return c, nil
}

// peerHost is how the peer is named in addresses: its verified name, else the
// address it came from.
func (s *session) peerHost() string {
	if id := s.identity.now(); id.Name != "" {
		return id.Name
	}
	return s.assoc.Peer().Handshake.Addr().String()
}

// Reject refuses the connection. The peer's dial fails with a RefusedError of
// code and the first 255 octets of text. After Accept it does nothing.
func (o *Open) Reject(code Code, text string) {
	o.once.Do(func() {
		c := o.conn
		c.mu.Lock()
		ended := c.send.ended
		c.send.ended, c.send.reset, c.send.closing, c.recv.closed = true, true, true, true
		c.send.err, c.recv.chunks = syscall.ECONNREFUSED, nil
		if !isClosed(c.answered) {
			close(c.answered)
		}
		c.mu.Unlock()
		if !ended {
			c.s.enqueue(c.sid, &frame{typ: typeOpenFail, epoch: c.epoch, code: code, text: text})
		}
		c.retire()
	})
}
