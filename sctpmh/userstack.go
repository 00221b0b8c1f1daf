package sctpmh

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/addrwatch"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
)

// A userStack runs associations on the engine, with one socket for each local
// address.
type userStack struct {
	// Set once.
	ep    *Endpoint
	start time.Time
	watch *addrwatch.Watcher // calls localChanged; nil: nobody does
	port  uint16             // of the first address: peers look for the others there too

	table   table
	inbox   chan arrival     // packets that no association owns
	command chan func()      // run by the stack's goroutine
	ended   chan struct{}    // closed when that has ended
	socks   sockets          // changed by the stack's goroutine
	engine  *engine.Endpoint // owned by the stack's goroutine
}

// arrival is a batch of packets and the local address that it came to.
type arrival struct {
	local netip.AddrPort
	batch *udp.Batch
}

// newUserStack binds the local addresses.
func newUserStack(e *Endpoint, local []netip.AddrPort) (*userStack, error) {
	socks, err := e.bind(local)
	if err != nil {
		return nil, err
	}
	s := &userStack{
		ep:      e,
		start:   time.Now(),
		port:    socks[0].Local().Port(),
		table:   newTable(),
		inbox:   make(chan arrival, strayLimit),
		command: make(chan func()),
		ended:   make(chan struct{}),
	}
	s.socks.set(socks)
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	s.engine = engine.NewEndpoint(s.now(), e.cfg.engineConfig(s.locals()), rand.NewChaCha8(seed))
	s.watchLocals()
	for _, sock := range socks {
		s.listen(sock)
	}
	e.running.Go(s.run) // ends when the endpoint closes
	return s, nil
}

// listen starts the readers of a socket, which end when it is closed.
func (s *userStack) listen(sock socket) {
	s.ep.running.Go(func() { s.read(sock) })
	s.ep.running.Go(func() { s.hints(sock) })
}

// bind opens a socket for each address; a port of zero is filled in with one
// that is free on all of them.
func (e *Endpoint) bind(local []netip.AddrPort) ([]socket, error) {
	const attempts = 16 // a port that is free on one address is rarely taken on another
	var err error
	for range attempts {
		var socks []socket
		port := uint16(0)
		for _, l := range local {
			if l.Port() == 0 {
				l = netip.AddrPortFrom(l.Addr(), port)
			}
			var s socket
			if s, err = e.open(l, len(local) > 1); err != nil {
				break
			}
			socks = append(socks, s)
			port = s.Local().Port()
		}
		if err == nil {
			return socks, nil
		}
		for _, s := range socks {
			s.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) || slices.ContainsFunc(local, func(l netip.AddrPort) bool { return l.Port() != 0 }) {
			break
		}
	}
	return nil, err
}

// now is the engine's time.
func (s *userStack) now() engine.Time { return engine.Time(time.Since(s.start) + time.Second) }

// at turns engine time into wall time.
func (s *userStack) at(t engine.Time) time.Time { return s.start.Add(time.Duration(t) - time.Second) }

// read passes what a socket receives to the association that it is for.
func (s *userStack) read(from socket) {
	for {
		b, err := from.Receive()
		if err != nil {
			return
		}
		s.dispatch(from.Local(), b)
	}
}

// hints passes on what the network says of packets that did not arrive. The
// packet that a message quotes names the association; whether the message is
// believed is for the association to say.
func (s *userStack) hints(from socket) {
	err := from.Hints(func(h udp.Hint) { s.hint(from.Local(), h) })
	if !errors.Is(err, net.ErrClosed) {
		s.ep.cfg.Logger.Warn("what routers say of packets that are too large is not heard", "err", err)
	}
}

func (s *userStack) hint(local netip.AddrPort, h udp.Hint) {
	r, ok := engine.RouteQuoted(h.Packet)
	if !ok || h.MTU == 0 {
		return // a host that cannot be reached shows by its silence
	}
	if l := s.table.quoted(r); l != nil {
		l.do(func() { l.engine.Hint(s.now(), engine.Pair{Local: local, Remote: h.Remote}, h.Packet, h.MTU) })
	}
}

// dispatch finds the owner of a batch. Nearly always all its packets have the
// same; else they are copied apart.
func (s *userStack) dispatch(local netip.AddrPort, b *udp.Batch) {
	whole := *b
	first, _ := whole.Next()
	r, ok := engine.Route(first)
	same := ok
	for p, more := whole.Next(); more && same; p, more = whole.Next() {
		q, ok := engine.Route(p)
		same = ok && q == r
	}
	if same {
		s.deliver(r, arrival{local, b})
		return
	}
	for p, more := b.Next(); more; p, more = b.Next() {
		if r, ok := engine.Route(p); ok {
			s.deliver(r, arrival{local, b.Copy(p)})
		}
	}
	b.Release()
}

// deliver puts packets into an inbox. It never blocks: one association that
// does not keep up must not hold up the others.
func (s *userStack) deliver(r engine.RouteKey, in arrival) {
	if l := s.table.lookup(r); l != nil {
		if !l.inbox.put(in) {
			l.dropped.Add(1)
			in.batch.Release()
		}
		return
	}
	select {
	case s.inbox <- in:
	default:
		in.batch.Release()
	}
}

// run is the stack's goroutine: it answers packets that no association
// owns and makes associations.
func (s *userStack) run() {
	defer close(s.ended)
	buf := make([]byte, 0, 2048)
	for {
		select {
		case <-s.ep.closing:
			return
		case f := <-s.command:
			f()
		case in := <-s.inbox:
			if s.socket(in.local) == nil {
				in.batch.Release() // it cannot be answered any more
				continue
			}
			for p, ok := in.batch.Next(); ok; p, ok = in.batch.Next() {
				// An association may have been made by an earlier packet.
				if r, ok := engine.Route(p); ok {
					if s.table.lookup(r) != nil {
						s.deliver(r, arrival{in.local, in.batch.Copy(p)})
						continue
					}
				}
				s.handle(engine.Pair{Local: in.local, Remote: in.batch.Src}, p)
			}
			in.batch.Release()
			for {
				b, on, ok := s.engine.Poll(s.now(), buf[:0])
				if !ok {
					break
				}
				if from := s.socket(on.Local); from != nil {
					_ = from.Send(b, len(b), on.Remote, udp.Marks{}, nil) // an unanswered INIT is repeated
				}
			}
		}
	}
}

// handle gives a packet to the endpoint's state machine, together with the
// association that it is about.
func (s *userStack) handle(on engine.Pair, packet []byte) {
	var old *loop
	if r, ok := engine.Route(packet); ok {
		old = s.table.about(r, on.Remote)
	}
	var made *engine.Assoc
	known := old != nil && old.do(func() {
		var verdict engine.Verdict
		made, verdict = s.engine.Handle(s.now(), on, packet, old.engine.TCB())
		switch verdict {
		case engine.Complete:
			old.engine.CookieEchoed(s.now(), on, packet)
		case engine.Restart:
			old.engine.Restarted()
		}
	})
	if !known {
		made, _ = s.engine.Handle(s.now(), on, packet, nil)
	} else if made != nil {
		<-old.assoc.done // the addresses are its own until then
		s.ep.cfg.Logger.Warn("association lost: the peer restarted", "peer", on.Remote, "association", old.assoc.id)
	}
	if made != nil {
		s.accept(made)
	}
}

// accept starts an association that a peer made.
func (s *userStack) accept(m *engine.Assoc) {
	from := m.Peer().Handshake.Remote.Addr()
	if !s.table.admit(from) {
		s.refuse(m, "too many associations of this source", sourceLimit)
		return
	}
	l, err := s.newLoop(m)
	if err != nil {
		s.table.dismiss(from)
		s.refuse(m, "too many associations", s.ep.cfg.MaxAssociations)
		return
	}
	l.place.admitted = from
	s.ep.running.Go(l.run) // ends when the association does
	select {
	case s.ep.backlog <- l.assoc:
	default:
		s.ep.cfg.Logger.Warn("association refused: too many wait to be accepted", "peer", m.Peer().Handshake.Remote, "limit", backlogLimit)
		l.do(func() { l.engine.Abort(s.now(), causeOutOfResource, "busy") })
	}
}

// causeOutOfResource is RFC 9260 section 3.3.10.4's code.
const causeOutOfResource = 4

// refuse aborts an association that was never started.
func (s *userStack) refuse(m *engine.Assoc, why string, limit int) {
	s.ep.cfg.Logger.Warn("association refused: "+why, "peer", m.Peer().Handshake.Remote, "limit", limit)
	m.Abort(s.now(), causeOutOfResource, why)
	for {
		b, on, ok := m.Poll(s.now(), nil)
		if !ok {
			return
		}
		if from := s.socket(on.Local); from != nil {
			_ = from.Send(b, len(b), on.Remote, udp.Marks{}, nil)
		}
	}
}

// maxPatience is longer than any handshake takes.
const maxPatience = time.Hour

// dial tries the pairs of local and remote addresses in turn.
func (s *userStack) dial(ctx context.Context, remote []netip.AddrPort, early func(*Assoc)) (*Assoc, error) {
	if s.ep.cfg.Backend == Raw {
		for i, r := range remote {
			remote[i] = netip.AddrPortFrom(r.Addr(), 0)
		}
	}
	source := kernelSource
	if s.ep.cfg.Socket != nil {
		source = func(netip.AddrPort) netip.Addr { return netip.Addr{} } // its routes are none of the kernel's
	}
	locals := s.locals()
	pairs := candidates(locals, remote, source)
	if len(pairs) == 0 {
		return nil, fmt.Errorf("dial %v: no local address of the same family: local addresses are %v: %w", remote, locals, syscall.ENETUNREACH)
	}
	made := make(chan *Assoc, 1)
	failed := make(chan error, 1)
	dial := func() {
		m := s.engine.Dial(s.now(), pairs, 0, s.ep.cfg.Port)
		if by, ok := ctx.Deadline(); ok {
			m.GiveUpBy(s.now().Add(min(time.Until(by), maxPatience)))
		}
		l, err := s.newLoop(m)
		if err != nil {
			failed <- err
			return
		}
		for _, on := range pairs {
			l.noteAddr(on.Remote)
		}
		s.ep.running.Go(l.run) // ends when the association does
		made <- l.assoc
	}
	select {
	case s.command <- dial:
	case <-s.ep.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case err := <-failed:
		return nil, err
	case a := <-made:
		if early != nil {
			early(a)
		}
		return a.connected(ctx, public(pairs))
	}
}

func public(pairs []engine.Pair) (out []Pair) {
	for _, p := range pairs {
		out = append(out, Pair(p))
	}
	return out
}

// close aborts the associations that are left and closes the sockets.
func (s *userStack) close() {
	<-s.ended // no socket is opened any more
	if s.watch != nil {
		s.watch.Stop()
	}
	for _, l := range s.table.close() {
		l.assoc.Abort("endpoint closed")
		<-l.assoc.done
	}
	for _, sock := range s.socks.all() {
		sock.Close()
	}
}
