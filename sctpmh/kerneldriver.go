package sctpmh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/kernel"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A kernelDriver moves the messages of an association of the kernel's, each
// way with a goroutine that waits in the runtime's poller.
type kernelDriver struct {
	// Set once.
	assoc    *Assoc
	stack    *kernelStack
	conn     *kernel.Conn
	admitted netip.Addr      // who made it, for the count of its source
	ctx      context.Context // ends with the association
	cancel   context.CancelFunc

	inUse     pathInUse     // owned by receive once it runs
	failovers atomic.Uint64 // counted by receive
	unsent    atomic.Bool   // a message that was queued could not be sent

	mu     sync.Mutex // leaf; guards what follows
	reason error      // of an abort from here
	last   []PathInfo // the latest that is known
	counts Stats      // and the counters then
}

// pathInUse is the path that data takes, as far as the kernel tells.
type pathInUse struct {
	addr netip.Addr
	rto  time.Duration
}

// receive moves messages and events to the users until the association ends.
func (d *kernelDriver) receive() {
	for {
		m, e, err := d.conn.Recv(d.ctx)
		switch {
		case err != nil:
			d.finish(err)
			return
		case e.Kind != kernel.NoEvent:
			d.handle(e)
		default:
			d.give(Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Data: m.Data})
		}
	}
}

// checkInterval is how often a driver looks at its association while its user
// does not read: nobody hears then what the kernel has to say.
const checkInterval = 100 * time.Millisecond

// give passes a message to the users and waits for room: what does not fit
// stays in the kernel and closes the peer's window. Once the association is over
// the rest, bounded by the window, is theirs at once.
func (d *kernelDriver) give(m Message) {
	for ok, err := d.assoc.ready.tryPut(m); !ok && err == nil; ok, err = d.assoc.ready.tryPut(m) {
		if !d.conn.Check() {
			d.assoc.ready.force(m)
			return
		}
		ctx, cancel := context.WithTimeout(d.ctx, checkInterval)
		_ = d.assoc.ready.await(ctx, func() bool { return d.assoc.ready.octets < d.assoc.ready.limit })
		cancel()
	}
}

func (d *kernelDriver) handle(e kernel.Event) {
	switch e.Kind {
	case kernel.PathChanged:
		d.look()
		d.assoc.pathMoved()
	case kernel.PeerShutdown:
		d.assoc.unsent.end(ErrClosed)
	case kernel.Restarted:
		// The kernel carries on with the peer's new self. What was under way is
		// lost, and who the peer is now has to be found out again.
		d.stack.ep.cfg.Logger.Warn("association lost: the peer restarted", "peer", d.conn.Peer().Handshake, "association", d.assoc.id)
		d.end(&engine.AbortError{Remote: true, Restart: true, Reason: "the peer restarted"}, "restarted")
	case kernel.SendFailed:
		if d.conn.Err() != nil {
			return // it has ended, and Recv is about to say why
		}
		// A stream with a hole is worse than none.
		d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: "a message could not be delivered"}, "a message could not be delivered")
	}
}

// look finds out which path data takes, and notes when it has moved.
func (d *kernelDriver) look() {
	paths := d.conn.Paths()
	use := inUse(paths)
	if use < 0 {
		return // it is over; Recv says why
	}
	now := paths[use]
	if d.inUse.addr.IsValid() && d.inUse.addr != now.Addr {
		f := Failover{
			At: time.Now(), Cause: engine.CauseTimeout.String(), Stall: d.inUse.rto,
			From: d.stack.pair(d.inUse.addr, now.EncapPort), To: d.stack.pair(now.Addr, now.EncapPort),
		}
		if slices.ContainsFunc(paths, func(p kernel.Path) bool { return p.Addr == d.inUse.addr && p.State == kernel.Active }) {
			f.Cause, f.Stall = engine.CauseCommand.String(), 0 // back to the one preferred
		}
		d.failovers.Add(1)
		d.assoc.addFailover(f)
	}
	d.inUse = pathInUse{now.Addr, now.RTO}
	d.remember(d.show(paths), d.counters())
}

// remember keeps what is known while the association is there: the kernel
// forgets it all with the association.
func (d *kernelDriver) remember(paths []PathInfo, counts Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last, d.counts = paths, counts
}

// inUse is the index of the path that data takes, -1 without any: the primary
// while it is active, else one that is.
func inUse(paths []kernel.Path) int {
	use := -1
	for i, p := range paths {
		if use < 0 || better(p, paths[use]) {
			use = i
		}
	}
	return use
}

func better(p, q kernel.Path) bool {
	rank := func(p kernel.Path) int {
		switch {
		case !p.Permitted:
			return -1
		case p.State == kernel.Active && p.Primary:
			return 3
		case p.State == kernel.Active:
			return 2
		case p.State == kernel.PotentiallyFailed:
			return 1
		}
		return 0
	}
	return rank(p) > rank(q)
}

// send moves messages from the users to the kernel.
func (d *kernelDriver) send() {
	for {
		m, err := d.assoc.unsent.take(d.ctx)
		switch {
		case d.ctx.Err() != nil:
			return
		case err != nil:
			_ = d.conn.Shutdown() // if that fails it is over already, and Recv says so
			return
		}
		err = d.conn.Send(d.ctx, kernel.Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Data: m.Data})
		switch {
		case err == nil:
		case errors.Is(err, kernel.ErrTooBig), errors.Is(err, kernel.ErrEmpty), errors.Is(err, kernel.ErrStream):
			// It was checked when it was queued. Should it be refused all the same,
			// the user must not take it for sent.
			d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: err.Error()}, err.Error())
			return
		default: // it has ended, or is about to; Recv says why
			d.unsent.Store(true)
			return
		}
	}
}

// notePeer records what is known of the peer.
func (d *kernelDriver) notePeer() {
	p := d.conn.Peer()
	encap := uint16(0)
	for _, x := range d.conn.Paths() {
		if x.Addr == p.Handshake {
			encap = x.EncapPort
		}
	}
	d.assoc.setPeer(Peer{
		Handshake: netip.AddrPortFrom(p.Handshake, encap), Listed: p.Addrs, Silent: len(p.Addrs) < 2, Adaptation: p.Adaptation,
		OutStreams: p.OutStreams, InStreams: p.InStreams, MaxMessage: d.conn.MaxMessage(),
	})
}

// end aborts the association and has err be the reason.
func (d *kernelDriver) end(err error, reason string) {
	d.mu.Lock()
	if d.reason == nil {
		d.reason = err
	}
	d.mu.Unlock()
	if paths, ok := d.paths(); ok && len(paths) > 0 {
		d.remember(paths, d.counters())
	}
	d.conn.Abort(reason)
	d.cancel()
}

// finish is the end of the association.
func (d *kernelDriver) finish(err error) {
	d.stack.remove(d)
	d.conn.Close()
	d.cancel()
	d.mu.Lock()
	reason, last, counts := d.reason, d.last, d.counts
	d.mu.Unlock()
	if reason == nil {
		reason = d.translate(err, last)
	}
	d.assoc.end(publicError(reason, true), last, counts)
}

// translate turns the kernel's error into one of the engine's or of this
// package's, nil for a graceful end.
func (d *kernelDriver) translate(err error, last []PathInfo) error {
	var abort *kernel.AbortError
	switch {
	case errors.Is(err, io.EOF) && d.unsent.Load():
		return &engine.AbortError{Remote: true, Reason: "the peer shut down before all that was queued had been sent"}
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &abort):
		return &engine.AbortError{Remote: abort.Remote, Code: wire.CauseCode(abort.Code), Reason: abort.Reason}
	case errors.Is(err, syscall.ETIMEDOUT):
		t := &TimeoutError{Op: "association"}
		for _, p := range last {
			t.Tried = append(t.Tried, Pair{p.Local, p.Remote})
		}
		return t
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return ErrClosed
	}
	return &engine.AbortError{Code: wire.CauseUserAbort, Reason: err.Error()}
}

// early calls what Endpoint.DialEarly was given, if the peer is of the same
// adaptation layer.
func (d *kernelDriver) early(use func(*Assoc)) error {
	if use == nil {
		return nil
	}
	if p := d.assoc.Peer(); p.Adaptation != d.stack.ep.cfg.Adaptation {
		err := fmt.Errorf("dial %v: adaptation layer indication is %#x, and data for %#x waits: %w", p.Handshake, p.Adaptation, d.stack.ep.cfg.Adaptation, syscall.EPROTO)
		d.end(err, "another adaptation layer")
		return err
	}
	use(d.assoc)
	return nil
}

func (d *kernelDriver) poke() {} // both goroutines wait at the queues themselves

func (d *kernelDriver) permit(addrs []netip.Addr) {
	if err := d.conn.Restrict(addrs, false); err != nil {
		d.stack.ep.cfg.Logger.Warn("the addresses that may be used could not be set", "peer", d.conn.Peer().Handshake, "err", err)
		d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: err.Error()}, err.Error())
	}
}

func (d *kernelDriver) setCandidates(remote []netip.AddrPort) {
	var addrs []netip.Addr
	for _, r := range remote {
		addrs = append(addrs, r.Addr())
	}
	d.permit(addrs)
}

func (d *kernelDriver) setAggregate(bool) {}

func (d *kernelDriver) setPrimary(p Pair) bool {
	usable := func(x kernel.Path) bool { return x.Addr == p.Remote.Addr() && x.Permitted && x.Confirmed() }
	return slices.ContainsFunc(d.conn.Paths(), usable) && d.conn.SetPrimary(p.Remote.Addr()) == nil
}

func (d *kernelDriver) abort(reason string) {
	d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: reason}, reason)
}

// kernelPayload is some packets' worth: each message costs a system call, and
// the kernel cuts it to size. Twice as much would be felt by other streams.
const kernelPayload = 16 << 10

func (d *kernelDriver) payload() int { return min(kernelPayload, d.conn.MaxMessage()) }

// live reports whether the kernel knows of the association.
func (d *kernelDriver) live() bool { return d.ctx.Err() == nil }

func (d *kernelDriver) paths() ([]PathInfo, bool) {
	paths := d.show(d.conn.Paths())
	return paths, d.live() && len(paths) > 0
}

func (d *kernelDriver) stats() (Stats, bool) { return d.counters(), d.live() }

// show is what users see of paths: those that are never used are not among
// them.
func (d *kernelDriver) show(paths []kernel.Path) (out []PathInfo) {
	use := inUse(paths)
	for i, p := range paths {
		if !p.Permitted {
			continue
		}
		on := d.stack.pair(p.Addr, p.EncapPort)
		out = append(out, PathInfo{
			Local: on.Local, Remote: on.Remote, State: kernelState(p.State), Confirmed: p.Confirmed(), InUse: i == use,
			SRTT: p.SRTT, RTO: p.RTO, Cwnd: p.Cwnd, MTU: p.MTU,
		})
	}
	return out
}

func kernelState(s kernel.PathState) PathState {
	switch s {
	case kernel.Active:
		return Active
	case kernel.PotentiallyFailed:
		return PotentiallyFailed
	case kernel.Inactive:
		return Inactive
	}
	return Unconfirmed
}

func (d *kernelDriver) counters() Stats {
	s := d.conn.Stats()
	return Stats{
		PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived,
		Retransmits: s.Retransmits, Duplicates: s.Duplicates, Failovers: d.failovers.Load(),
	}
}
