package sctpmh

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A Message is a user message on a stream. Ordered messages of one stream
// arrive in the order in which they were sent.
type Message struct {
	Stream    uint16
	PPID      uint32 // payload protocol identifier, for the users' own use
	Unordered bool
	Data      []byte
}

// An Assoc is an association with a peer.
type Assoc struct {
	// Set once.
	ep *Endpoint
	id uint64

	inbox       inbox         // filled by readers
	wake        chan struct{} // something waits in unsent, or ready has room
	command     chan func()   // run by the loop
	established chan struct{} // closed by the loop
	done        chan struct{} // closed by the loop when it ends

	unsent queue // users to loop
	ready  queue // loop to users

	// Owned by the loop.
	engine *engine.Assoc
	train  udp.Train
	timer  *time.Timer
	armed  engine.Time // when the timer fires, 0: not set
	place  place

	arrived []arrival // being handled

	payload atomic.Int64  // octets of the largest message that fits a packet
	dropped atomic.Uint64 // batches for which the inbox had no room

	mu        sync.Mutex // leaf; guards what follows
	err       error
	peer      Peer
	failovers []Failover
	last      []PathInfo  // as the loop ended
	moved     gate.Signal // a path changed its state
	stats     Stats
}

var lastID atomic.Uint64

// newAssoc gives a state machine its place in the table.
func (e *Endpoint) newAssoc(m *engine.Assoc) (*Assoc, error) {
	a := &Assoc{
		ep:          e,
		id:          lastID.Add(1),
		engine:      m,
		inbox:       newInbox(),
		wake:        make(chan struct{}, 1),
		command:     make(chan func()),
		established: make(chan struct{}),
		done:        make(chan struct{}),
		unsent:      newQueue(unsentLimit),
		ready:       newQueue(readyLimit),
		place:       place{ports: ports(m), tag: m.LocalTag()},
	}
	if err := e.table.add(m.LocalTag(), a, e.cfg.MaxAssociations); err != nil {
		return nil, err
	}
	a.payload.Store(int64(m.MaxPayload()))
	a.noteTags()
	a.notePeer()
	return a, nil
}

func ports(m *engine.Assoc) [2]uint16 {
	local, peer := m.Ports()
	return [2]uint16{local, peer}
}

// ID is a number of this association that no other of the process has.
func (a *Assoc) ID() uint64 { return a.id }

// Send queues a message, which the association owns from then on. It waits
// while the send buffer is full. Its error is the association's end, or one
// of ErrEmpty, ErrTooBig and ErrStream, or ctx's.
func (a *Assoc) Send(ctx context.Context, m Message) error {
	if err := a.check(m); err != nil {
		return err
	}
	first, err := a.unsent.put(ctx, m)
	if first {
		a.poke()
	}
	return err
}

// TrySend queues a message if there is room, and reports whether there was.
func (a *Assoc) TrySend(m Message) (ok bool, err error) {
	if err := a.check(m); err != nil {
		return false, err
	}
	ok, first, err := a.unsent.tryPut(m)
	if first {
		a.poke()
	}
	return ok, err
}

// check refuses what the state machine would refuse.
func (a *Assoc) check(m Message) error {
	a.mu.Lock()
	streams, largest := a.peer.OutStreams, a.peer.MaxMessage
	a.mu.Unlock()
	switch {
	case len(m.Data) == 0:
		return ErrEmpty
	case len(m.Data) > largest:
		return ErrTooBig
	case m.Stream >= streams:
		return ErrStream
	}
	return nil
}

// Recv waits for the next message, which belongs to the caller. Its error is
// io.EOF after the peer has shut the association down, else the association's
// end, or ctx's.
func (a *Assoc) Recv(ctx context.Context) (Message, error) {
	m, relieved, err := a.ready.take(ctx)
	if relieved {
		a.poke()
	}
	return m, err
}

// poke has the loop look at the queues.
func (a *Assoc) poke() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// do runs f on the loop and waits for it. It reports false when the loop has
// ended.
func (a *Assoc) do(f func()) bool {
	ran := make(chan struct{})
	select {
	case a.command <- func() { f(); close(ran) }:
		<-ran
		return true
	case <-a.done:
		return false
	}
}

// Permit says which addresses of the peer, beside that of the handshake, may
// be probed and, once they answered, used. It replaces what was permitted
// before.
func (a *Assoc) Permit(addrs []netip.Addr) {
	addrs = slices.Clone(addrs)
	a.do(func() { a.engine.Permit(a.ep.now(), addrs) })
}

// SetPrimary prefers a confirmed path for new data while it works. It reports
// whether there is such a path.
func (a *Assoc) SetPrimary(p Pair) (ok bool) {
	a.do(func() { ok = a.engine.SetPrimary(a.ep.now(), engine.Pair(p)) })
	return ok
}

// Peer returns what the handshake said of the other end.
func (a *Assoc) Peer() Peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peer
}

// MaxPayload is the size in octets of the largest message that fits one
// packet of the path in use. It changes with the path.
func (a *Assoc) MaxPayload() int { return int(a.payload.Load()) }

// Paths returns the paths as they are now, or as they were at the end.
func (a *Assoc) Paths() (paths []PathInfo) {
	if a.do(func() { paths = a.paths() }) {
		return paths
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.last)
}

// PathsChanged returns a channel that is closed when a path next changes its
// state.
func (a *Assoc) PathsChanged() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moved.Wait()
}

// paths is Paths on the loop.
func (a *Assoc) paths() (paths []PathInfo) {
	for _, p := range a.engine.AppendPaths(nil) {
		paths = append(paths, PathInfo{
			Local: p.Local, Remote: p.Remote, State: PathState(p.State), Confirmed: p.Confirmed, InUse: p.InUse,
			SRTT: p.SRTT, RTO: p.RTO, Cwnd: p.Cwnd, MTU: p.MTU,
			TxBytes: p.TxBytes, RxBytes: p.RxBytes, Retransmits: p.Retransmits, Errors: p.Errors,
		})
	}
	return paths
}

// Failovers returns the latest failovers, the oldest first.
func (a *Assoc) Failovers() []Failover {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.failovers)
}

// Stats returns the counters.
func (a *Assoc) Stats() (s Stats) {
	if !a.do(func() { s = a.counters() }) {
		a.mu.Lock()
		s = a.stats
		a.mu.Unlock()
	}
	return s
}

func (a *Assoc) counters() Stats {
	s := a.engine.Stats()
	return Stats{
		PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived, PacketsDropped: a.dropped.Load(),
		Retransmits: s.Retransmits, Timeouts: s.Timeouts, Failovers: s.Failovers, Duplicates: s.Duplicates,
		Malformed: s.Malformed, BadTag: s.BadTag, BadChecksum: s.BadChecksum,
	}
}

// Shutdown ends the association gracefully: what was sent is delivered first.
// It waits for the end, or for ctx. Nothing can be sent after it began.
func (a *Assoc) Shutdown(ctx context.Context) error {
	a.unsent.end(ErrClosed)
	a.poke()
	select {
	case <-a.done:
		if err := a.Err(); err != ErrClosed {
			return err
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Abort ends the association at once and tells the peer why.
func (a *Assoc) Abort(reason string) {
	a.do(func() { a.engine.Abort(a.ep.now(), wire.CauseUserAbort, reason) })
}

// Done is closed when the association has ended.
func (a *Assoc) Done() <-chan struct{} { return a.done }

// Err returns why the association ended, nil before it did: ErrClosed after a
// graceful end, else *AbortError or *TimeoutError.
func (a *Assoc) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// recvError is what follows the last message.
func recvError(err error) error {
	if err == ErrClosed {
		return io.EOF
	}
	return err
}
