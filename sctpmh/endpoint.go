package sctpmh

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/addrwatch"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
)

// An Endpoint is the local end of associations: an SCTP port over one UDP
// socket for each local address.
type Endpoint struct {
	// Set once.
	cfg    Config
	socks  []*udp.Socket
	locals []netip.AddrPort
	start  time.Time

	table   table
	inbox   chan arrival     // packets that no association owns
	command chan func()      // run by the endpoint's goroutine
	backlog chan *Assoc      // made by peers, not yet accepted
	closing chan struct{}    // closed when Close begins
	once    sync.Once        // for Close
	running sync.WaitGroup   // every goroutine of the endpoint and its associations
	engine  *engine.Endpoint // owned by the endpoint's goroutine
	unwatch func()           // ends the reports of localChanged
}

// arrival is a batch of packets and the local address that it came to.
type arrival struct {
	local netip.AddrPort
	batch *udp.Batch
}

// Listen binds the local addresses and returns an endpoint that dials and
// accepts. Each address becomes the source of its own paths and must be a
// concrete one. With port 0 a port that is free on all of them is taken.
// Errors name the address.
func Listen(local []netip.AddrPort, cfg *Config) (*Endpoint, error) {
	if len(local) == 0 {
		return nil, errors.New("listen: no local address: name one, or bring a link up")
	}
	c := cfg.withDefaults()
	socks, err := bind(local)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		cfg:     c,
		socks:   socks,
		start:   time.Now(),
		table:   newTable(),
		inbox:   make(chan arrival, strayLimit),
		command: make(chan func()),
		backlog: make(chan *Assoc, backlogLimit),
		closing: make(chan struct{}),
	}
	for _, s := range socks {
		e.locals = append(e.locals, s.Local())
		if s.Notice != "" {
			c.Logger.Warn(s.Notice)
		}
	}
	var seed [32]byte
	crand.Read(seed[:]) // never fails
	e.engine = engine.NewEndpoint(e.now(), c.engineConfig(e.locals), rand.NewChaCha8(seed))
	var addrs []netip.Addr
	for _, l := range e.locals {
		addrs = append(addrs, l.Addr())
	}
	if e.unwatch, err = addrwatch.Watch(addrs, e.localChanged); err != nil {
		// Timeouts find out too, only later.
		c.Logger.Warn("changes of local addresses are not seen", "err", err)
		e.unwatch = func() {}
	}
	for _, s := range socks {
		e.running.Go(func() { e.read(s) })  // ends when Close closes the socket
		e.running.Go(func() { e.hints(s) }) // so does this
	}
	e.running.Go(e.run) // ends when Close closes e.closing
	return e, nil
}

// bind opens a socket for each address; a port of zero is filled in with one
// that is free on all of them.
func bind(local []netip.AddrPort) ([]*udp.Socket, error) {
	const attempts = 16 // a port that is free on one address is rarely taken on another
	var err error
	for range attempts {
		var socks []*udp.Socket
		port := uint16(0)
		for _, l := range local {
			if l.Port() == 0 {
				l = netip.AddrPortFrom(l.Addr(), port)
			}
			var s *udp.Socket
			if s, err = udp.Listen(l, len(local) > 1); err != nil {
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

// localChanged tells every association that a local address stopped or started
// to lead out. It is called from a goroutine of the watch's own.
func (e *Endpoint) localChanged(c addrwatch.Event) {
	e.cfg.Logger.Info("local address", "addr", c.Addr, "usable", c.Up, "cause", c.Cause)
	for _, a := range e.table.all() {
		a.do(func() {
			if c.Up {
				a.engine.LocalRestored(e.now(), c.Addr)
			} else {
				a.engine.LocalFailed(e.now(), c.Addr)
			}
		})
	}
}

// now is the engine's time.
func (e *Endpoint) now() engine.Time { return engine.Time(time.Since(e.start) + time.Second) }

// at turns engine time into wall time.
func (e *Endpoint) at(t engine.Time) time.Time { return e.start.Add(time.Duration(t) - time.Second) }

// Addrs returns the bound addresses.
func (e *Endpoint) Addrs() []netip.AddrPort { return slices.Clone(e.locals) }

// read passes what a socket receives to the association that it is for.
func (e *Endpoint) read(s *udp.Socket) {
	for {
		b, err := s.Receive()
		if err != nil {
			return
		}
		e.dispatch(s.Local(), b)
	}
}

// hints passes on what the network says of packets that did not arrive. The
// packet that a message quotes names the association; whether the message is
// believed is for the association to say.
func (e *Endpoint) hints(s *udp.Socket) {
	err := s.Hints(func(h udp.Hint) { e.hint(s.Local(), h) })
	if !errors.Is(err, net.ErrClosed) {
		e.cfg.Logger.Warn("what routers say of packets that are too large is not heard", "err", err)
	}
}

func (e *Endpoint) hint(local netip.AddrPort, h udp.Hint) {
	r, ok := engine.RouteQuoted(h.Packet)
	if !ok || h.MTU == 0 {
		return // a host that cannot be reached shows by its silence
	}
	if a := e.table.quoted(r); a != nil {
		a.do(func() { a.engine.Hint(e.now(), engine.Pair{Local: local, Remote: h.Remote}, h.Packet, h.MTU) })
	}
}

// dispatch finds the owner of a batch. Nearly always all its packets have the
// same; else they are copied apart.
func (e *Endpoint) dispatch(local netip.AddrPort, b *udp.Batch) {
	whole := *b
	first, _ := whole.Next()
	r, ok := engine.Route(first)
	same := ok
	for p, more := whole.Next(); more && same; p, more = whole.Next() {
		q, ok := engine.Route(p)
		same = ok && q == r
	}
	if same {
		e.deliver(r, arrival{local, b})
		return
	}
	for p, more := b.Next(); more; p, more = b.Next() {
		if r, ok := engine.Route(p); ok {
			e.deliver(r, arrival{local, b.Copy(p)})
		}
	}
	b.Release()
}

// deliver puts packets into an inbox. It never blocks: one association that
// does not keep up must not hold up the others.
func (e *Endpoint) deliver(r engine.RouteKey, in arrival) {
	if a := e.table.lookup(r); a != nil {
		if !a.inbox.put(in) {
			a.dropped.Add(1)
			in.batch.Release()
		}
		return
	}
	select {
	case e.inbox <- in:
	default:
		in.batch.Release()
	}
}

// run is the endpoint's goroutine: it answers packets that no association
// owns and makes associations.
func (e *Endpoint) run() {
	buf := make([]byte, 0, 2048)
	for {
		select {
		case <-e.closing:
			return
		case f := <-e.command:
			f()
		case in := <-e.inbox:
			for p, ok := in.batch.Next(); ok; p, ok = in.batch.Next() {
				// An association may have been made by an earlier packet.
				if r, ok := engine.Route(p); ok {
					if a := e.table.lookup(r); a != nil {
						e.deliver(r, arrival{in.local, in.batch.Copy(p)})
						continue
					}
				}
				e.handle(engine.Pair{Local: in.local, Remote: in.batch.Src}, p)
			}
			in.batch.Release()
			for {
				b, on, ok := e.engine.Poll(e.now(), buf[:0])
				if !ok {
					break
				}
				if s := e.socket(on.Local); s != nil {
					_ = s.Send(b, len(b), on.Remote, udp.Marks{}, nil) // an unanswered INIT is repeated
				}
			}
		}
	}
}

func (e *Endpoint) socket(local netip.AddrPort) *udp.Socket {
	for _, s := range e.socks {
		if s.Local() == local {
			return s
		}
	}
	return nil
}

// handle gives a packet to the endpoint's state machine, together with the
// association that it is about.
func (e *Endpoint) handle(on engine.Pair, packet []byte) {
	var old *Assoc
	if r, ok := engine.Route(packet); ok {
		old = e.table.about(r, on.Remote)
	}
	var made *engine.Assoc
	known := old != nil && old.do(func() {
		var verdict engine.Verdict
		made, verdict = e.engine.Handle(e.now(), on, packet, old.engine.TCB())
		switch verdict {
		case engine.Complete:
			old.engine.CookieEchoed(e.now(), on, packet)
		case engine.Restart:
			old.engine.Restarted()
		}
	})
	if !known {
		made, _ = e.engine.Handle(e.now(), on, packet, nil)
	} else if made != nil {
		<-old.done // the addresses are its own until then
		e.cfg.Logger.Warn("association lost: the peer restarted", "peer", on.Remote, "association", old.id)
	}
	if made != nil {
		e.accept(made)
	}
}

// accept starts an association that a peer made.
func (e *Endpoint) accept(m *engine.Assoc) {
	from := m.Peer().Handshake.Remote.Addr()
	if !e.table.admit(from) {
		e.refuse(m, "too many associations of this source", sourceLimit)
		return
	}
	a, err := e.newAssoc(m)
	if err != nil {
		e.table.dismiss(from)
		e.refuse(m, "too many associations", e.cfg.MaxAssociations)
		return
	}
	a.place.admitted = from
	e.running.Go(a.run) // ends when the association does
	select {
	case e.backlog <- a:
	default:
		e.cfg.Logger.Warn("association refused: too many wait to be accepted", "peer", m.Peer().Handshake.Remote, "limit", backlogLimit)
		a.do(func() { a.engine.Abort(e.now(), causeOutOfResource, "busy") })
	}
}

// causeOutOfResource is RFC 9260 section 3.3.10.4's code.
const causeOutOfResource = 4

// refuse aborts an association that was never started.
func (e *Endpoint) refuse(m *engine.Assoc, why string, limit int) {
	e.cfg.Logger.Warn("association refused: "+why, "peer", m.Peer().Handshake.Remote, "limit", limit)
	m.Abort(e.now(), causeOutOfResource, why)
	for {
		b, on, ok := m.Poll(e.now(), nil)
		if !ok {
			return
		}
		if s := e.socket(on.Local); s != nil {
			_ = s.Send(b, len(b), on.Remote, udp.Marks{}, nil)
		}
	}
}

// Dial makes an association with the endpoint behind the remote addresses,
// which are tried in this order, 250 ms apart; the first that answers is used.
// It returns when the handshake is complete or has failed, or when ctx ends.
// The error says which addresses were tried.
func (e *Endpoint) Dial(ctx context.Context, remote []netip.AddrPort) (*Assoc, error) {
	unmapped := make([]netip.AddrPort, len(remote))
	for i, r := range remote {
		unmapped[i] = netip.AddrPortFrom(r.Addr().Unmap(), r.Port())
	}
	pairs := candidates(e.locals, unmapped, kernelSource)
	if len(pairs) == 0 {
		return nil, fmt.Errorf("dial %v: no local address of the same family: local addresses are %v: %w", remote, e.locals, syscall.ENETUNREACH)
	}
	made := make(chan *Assoc, 1)
	failed := make(chan error, 1)
	dial := func() {
		a, err := e.newAssoc(e.engine.Dial(e.now(), pairs, 0, e.cfg.Port))
		if err != nil {
			failed <- err
			return
		}
		for _, on := range pairs {
			a.noteAddr(on.Remote)
		}
		e.running.Go(a.run) // ends when the association does
		made <- a
	}
	select {
	case e.command <- dial:
	case <-e.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case err := <-failed:
		return nil, err
	case a := <-made:
		return a.connected(ctx, pairs)
	}
}

// connected waits for the handshake.
func (a *Assoc) connected(ctx context.Context, pairs []engine.Pair) (*Assoc, error) {
	select {
	case <-a.established:
		return a, nil
	case <-a.done:
		return nil, a.Err()
	case <-ctx.Done():
		a.Abort("dial given up")
		<-a.done
		t := &TimeoutError{Op: "handshake"}
		for _, p := range pairs {
			t.Tried = append(t.Tried, Pair(p))
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, t
		}
		return nil, ctx.Err()
	}
}

// Accept waits for an association that a peer made. Its error is ErrClosed
// after Close.
func (e *Endpoint) Accept(ctx context.Context) (*Assoc, error) {
	select {
	case a := <-e.backlog:
		return a, nil
	case <-e.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close aborts the associations that are left and closes the sockets. It
// returns when no goroutine of the endpoint is left.
func (e *Endpoint) Close() error {
	e.once.Do(func() {
		e.unwatch()
		all := e.table.close()
		close(e.closing)
		for _, a := range all {
			a.Abort("endpoint closed")
			<-a.done
		}
		for _, s := range e.socks {
			s.Close()
		}
	})
	e.running.Wait()
	return nil
}

// logFailover writes the one line that a failover is worth.
func (a *Assoc) logFailover(f Failover) {
	a.ep.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "failover",
		slog.Uint64("association", a.id), slog.String("from", f.From.String()), slog.String("to", f.To.String()),
		slog.String("cause", f.Cause), slog.Float64("stall_ms", float64(f.Stall.Microseconds())/1000))
}

var _ net.Error = (*TimeoutError)(nil)
