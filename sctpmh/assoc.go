package sctpmh

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/sctpmh/internal/engine"
)

// A Message is a user message on a stream. Ordered messages of one stream
// arrive in the order in which they were sent.
type Message struct {
	Stream    uint16
	PPID      uint32 // payload protocol identifier, for the users' own use
	Unordered bool
	Group     uint32 // what Discard drops together; 0: nothing does. It is not sent
	Repeats   bool   // DialEarly may send it to a second association when the first is not heard of
	Data      []byte
}

// An Assoc is an association with a peer.
type Assoc struct {
	// Set once.
	ep     *Endpoint
	id     uint64
	driver driver

	established chan struct{} // closed by the driver
	done        chan struct{} // closed when the driver ends

	unsent outbox // users to driver
	ready  queue  // driver to users

	mu        sync.Mutex // leaf; guards what follows
	err       error
	peer      Peer
	failovers []Failover
	last      []PathInfo  // as the driver ended
	moved     gate.Signal // a path changed its state
	counts    Stats       // as the driver ended
}

// A driver is what moves an association's messages: a loop of this package's
// own engine, or the kernel. It takes them from unsent, puts them into ready,
// and calls establish once and end once. Its methods may be called from any
// goroutine; they report false, or do nothing, when it has ended.
type driver interface {
	poke() // something waits in unsent, or ready has room
	permit([]netip.Addr)
	setCandidates([]netip.AddrPort)
	setPrimary(Pair) bool
	setAggregate(bool)
	abort(reason string)
	payload() int // see MaxPayload
	paths() ([]PathInfo, bool)
	stats() (Stats, bool)
}

var lastID atomic.Uint64

func newAssoc(e *Endpoint, d driver) *Assoc {
	return &Assoc{
		ep:          e,
		id:          lastID.Add(1),
		driver:      d,
		established: make(chan struct{}),
		done:        make(chan struct{}),
		unsent:      newOutbox(unsentLimit),
		ready:       newQueue(readyLimit),
	}
}

// ID is a number of this association that no other of the process has.
func (a *Assoc) ID() uint64 { return a.id }

// Send queues a message, which the association owns from then on. It waits
// while the stream's share of the send buffer is full; one message of a stream
// always finds room. Its error is the association's end, or one of ErrEmpty,
// ErrTooBig and ErrStream, or ctx's.
func (a *Assoc) Send(ctx context.Context, m Message) error {
	if err := a.check(m); err != nil {
		return err
	}
	wake, err := a.unsent.put(ctx, m)
	if wake {
		a.driver.poke()
	}
	return err
}

// TrySend queues a message if there is room, and reports whether there was.
func (a *Assoc) TrySend(m Message) (ok bool, err error) {
	if err := a.check(m); err != nil {
		return false, err
	}
	ok, wake, err := a.unsent.tryPut(m)
	if wake {
		a.driver.poke()
	}
	return ok, err
}

// Discard drops the ordered messages of a stream that are of a group, unless that is
// 0, and of which nothing has left. What is still sent of the group is dropped
// too, until something of another one is sent on the stream.
func (a *Assoc) Discard(stream uint16, group uint32) {
	a.unsent.discard(stream, group)
	a.driver.poke()
}

// SetWeight has the ordered messages of a stream get weight times the octets that
// a stream of weight 1 gets, while both have something to send. Weights are from 1,
// the default, to MaxWeight; others are taken for the nearest.
func (a *Assoc) SetWeight(stream uint16, weight int) {
	a.unsent.weigh(stream, max(1, min(weight, MaxWeight)))
	a.driver.poke()
}

// MaxWeight bounds how long other streams wait for one.
const MaxWeight = engine.MaxWeight

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
		a.driver.poke()
	}
	return m, err
}

// Permit says which addresses of the peer, beside that of the handshake, may
// be probed and, once they answered, used. It replaces what was permitted
// before.
func (a *Assoc) Permit(addrs []netip.Addr) { a.driver.permit(addrs) }

// SetCandidates says which addresses the peer has by now, for who learns that
// they changed. It replaces what was permitted before: what is new is probed and,
// once it answered, used; what is missing is withdrawn, the address of the
// handshake too unless it is named. New data leaves a withdrawn address as soon
// as another path works; its paths are forgotten when no data went over them,
// either way, for two heartbeat intervals, but never the last one that works. An
// address that comes back is probed at once. A port of 0 is that of the
// handshake; a path that there is keeps its port.
//
// Over the kernel the address of the handshake stays.
func (a *Assoc) SetCandidates(remote []netip.AddrPort) { a.driver.setCandidates(remote) }

// SetPrimary prefers a confirmed path for new data while it works. It reports
// whether there is such a path.
func (a *Assoc) SetPrimary(p Pair) (ok bool) { return a.driver.setPrimary(p) }

// SetAggregate has data of this end take all paths that work at once, or one at
// a time. Over the kernel it takes one.
func (a *Assoc) SetAggregate(on bool) { a.driver.setAggregate(on) }

// Peer returns what the handshake said of the other end.
func (a *Assoc) Peer() Peer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.peer
}

// MaxPayload is the size in octets of the messages that bulk is best sent in:
// the largest that fits one packet of the path in use, with which it changes.
// Over the kernel, which takes each message with a system call, it is that of
// some packets.
func (a *Assoc) MaxPayload() int { return a.driver.payload() }

// Paths returns the paths as they are now, or as they were at the end.
func (a *Assoc) Paths() []PathInfo {
	if paths, ok := a.driver.paths(); ok {
		return paths
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.last)
}

// PathsChanged returns a channel that is closed when a path next changes its
// state, when data has moved to another one, and by Permit, SetCandidates and
// SetPrimary.
func (a *Assoc) PathsChanged() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.moved.Wait()
}

// Failovers returns the latest failovers, the oldest first.
func (a *Assoc) Failovers() []Failover {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.failovers)
}

// Stats returns the counters.
func (a *Assoc) Stats() Stats {
	if s, ok := a.driver.stats(); ok {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// Shutdown ends the association gracefully: what was sent is delivered first.
// It waits for the end, or for ctx. Nothing can be sent after it began.
func (a *Assoc) Shutdown(ctx context.Context) error {
	a.unsent.end(ErrClosed)
	a.driver.poke()
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
func (a *Assoc) Abort(reason string) { a.driver.abort(reason) }

// Done is closed when the association has ended.
func (a *Assoc) Done() <-chan struct{} { return a.done }

// Err returns why the association ended, nil before it did: ErrClosed after a
// graceful end, else *AbortError or *TimeoutError.
func (a *Assoc) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.err
}

// What follows is for the driver.

// connected waits for the handshake that a dial over the pairs has begun.
func (a *Assoc) connected(ctx context.Context, pairs []Pair) (*Assoc, error) {
	select {
	case <-a.established:
		return a, nil
	case <-a.done:
		return nil, a.Err()
	case <-ctx.Done():
		a.Abort("dial given up")
		<-a.done
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &TimeoutError{Op: "handshake", Tried: pairs}
		}
		return nil, ctx.Err()
	}
}

func (a *Assoc) setPeer(p Peer) {
	a.mu.Lock()
	a.peer = p
	a.mu.Unlock()
}

func (a *Assoc) establish() { close(a.established) }

func (a *Assoc) wasEstablished() bool {
	select {
	case <-a.established:
		return true
	default:
		return false
	}
}

func (a *Assoc) pathMoved() {
	a.mu.Lock()
	a.moved.Notify()
	a.mu.Unlock()
}

// addFailover remembers a failover and writes the one line that it is worth.
func (a *Assoc) addFailover(f Failover) {
	a.mu.Lock()
	if len(a.failovers) == failoverLimit {
		a.failovers = a.failovers[:copy(a.failovers, a.failovers[1:])]
	}
	a.failovers = append(a.failovers, f)
	a.mu.Unlock()
	a.ep.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, "failover",
		slog.Uint64("association", a.id), slog.String("from", f.From.String()), slog.String("to", f.To.String()),
		slog.String("cause", f.Cause), slog.Float64("stall_ms", float64(f.Stall.Microseconds())/1000))
}

// end is the association's end: users get what is in ready, then the error,
// nil after a graceful end.
func (a *Assoc) end(err error, last []PathInfo, s Stats) {
	if err == nil {
		err = ErrClosed
	}
	a.mu.Lock()
	a.err, a.last, a.counts = err, last, s
	a.mu.Unlock()
	close(a.done)
	a.unsent.end(err)
	a.ready.end(recvError(err))
}

// recvError is what follows the last message.
func recvError(err error) error {
	if err == ErrClosed {
		return io.EOF
	}
	return err
}
