package sctpmh

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
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

	inUse pathInUse // owned by receive once it runs

	mu    sync.Mutex // leaf; guards what follows
	cause *kernelEnd // of an abort from here
}

// kernelEnd is why an association was aborted here, and what the kernel knew
// of it then.
type kernelEnd struct {
	reason error
	last   []PathInfo
	counts Stats
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
		if err != nil {
			d.finish(err)
			return
		}
		if e.Kind == kernel.NoEvent {
			// What does not fit stays in the kernel and closes the peer's window.
			_, _ = d.assoc.ready.put(d.ctx, Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Data: m.Data})
			continue
		}
		d.handle(e)
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
	var now *kernel.Path
	for i, p := range paths {
		if now == nil || better(p, *now) {
			now = &paths[i]
		}
	}
	if now == nil {
		return // it is over; Recv says why
	}
	if d.inUse.addr.IsValid() && d.inUse.addr != now.Addr {
		d.assoc.addFailover(Failover{
			At: time.Now(), Cause: engine.CauseTimeout.String(), Stall: d.inUse.rto,
			From: d.stack.pair(d.inUse.addr, now.EncapPort), To: d.stack.pair(now.Addr, now.EncapPort),
		})
	}
	d.inUse = pathInUse{now.Addr, now.RTO}
}

// better reports whether the kernel prefers p to q: the primary path while it
// is active, else one that is.
func better(p, q kernel.Path) bool {
	rank := func(p kernel.Path) int {
		switch {
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
		m, _, err := d.assoc.unsent.take(d.ctx)
		switch {
		case d.ctx.Err() != nil:
			return
		case err != nil:
			_ = d.conn.Shutdown() // if that fails it is over already, and Recv says so
			return
		}
		err = d.conn.Send(d.ctx, kernel.Message{Stream: m.Stream, PPID: m.PPID, Unordered: m.Unordered, Data: m.Data})
		if err != nil && d.ctx.Err() == nil && d.conn.Err() == nil {
			// It was checked when it was queued. Should it be refused all the same,
			// the user must not take it for sent.
			d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: err.Error()}, err.Error())
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
	cause := &kernelEnd{err, d.livePaths(), d.counters()}
	d.mu.Lock()
	if d.cause == nil {
		d.cause = cause
	}
	d.mu.Unlock()
	d.conn.Abort(reason)
	d.cancel()
}

// finish is the end of the association.
func (d *kernelDriver) finish(err error) {
	d.mu.Lock()
	cause := d.cause
	d.mu.Unlock()
	if cause == nil {
		cause = &kernelEnd{d.translate(err), d.livePaths(), d.counters()}
	} else {
		cause.reason = publicError(cause.reason, true)
	}
	d.stack.remove(d)
	d.conn.Close()
	d.cancel()
	d.assoc.end(cause.reason, cause.last, cause.counts)
}

// translate turns the kernel's error into one of this package's.
func (d *kernelDriver) translate(err error) error {
	var abort *kernel.AbortError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &abort):
		return d.stack.abortError(abort, false)
	case errors.Is(err, syscall.ETIMEDOUT):
		t := &TimeoutError{Op: "association"}
		for _, p := range d.livePaths() {
			t.Tried = append(t.Tried, Pair{p.Local, p.Remote})
		}
		return t
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return ErrClosed
	}
	return err
}

func (d *kernelDriver) poke() {} // both goroutines wait at the queues themselves

func (d *kernelDriver) permit(addrs []netip.Addr) {
	if err := d.conn.Restrict(addrs, false); err != nil {
		d.stack.ep.cfg.Logger.Warn("the addresses that may be used could not be set", "peer", d.conn.Peer().Handshake, "err", err)
		d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: err.Error()}, err.Error())
	}
}

func (d *kernelDriver) setPrimary(p Pair) bool { return d.conn.SetPrimary(p.Remote.Addr()) == nil }

func (d *kernelDriver) abort(reason string) {
	d.end(&engine.AbortError{Code: wire.CauseUserAbort, Reason: reason}, reason)
}

// kernelPayload is some packets' worth: each message costs a system call, and
// the kernel cuts it to size. Twice as much would be felt by other streams.
const kernelPayload = 16 << 10

func (d *kernelDriver) payload() int { return min(kernelPayload, d.conn.MaxMessage()) }

// ended reports whether what the kernel knows is gone.
func (d *kernelDriver) ended() bool { return d.ctx.Err() != nil }

func (d *kernelDriver) paths() ([]PathInfo, bool) { return d.livePaths(), !d.ended() }

func (d *kernelDriver) stats() (Stats, bool) { return d.counters(), !d.ended() }

func (d *kernelDriver) livePaths() (out []PathInfo) {
	paths := d.conn.Paths()
	use := 0
	for i, p := range paths {
		if better(p, paths[use]) {
			use = i
		}
	}
	for i, p := range paths {
		if !p.Permitted {
			continue // it is never used
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
		Retransmits: s.Retransmits, Duplicates: s.Duplicates,
	}
}
