package sctpmh

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// run is the association's goroutine, the only one that touches its state
// machine. It ends when the association does; what then still comes is
// answered as out of the blue.
func (a *Assoc) run() {
	a.timer = time.NewTimer(math.MaxInt64)
	defer a.timer.Stop()
	defer a.finish()
	a.step()
	for !a.engine.Closed() {
		select {
		case <-a.inbox.filled:
			a.arrived = a.inbox.take(a.arrived[:0])
			for _, in := range a.arrived {
				a.receive(in)
			}
			clear(a.arrived) // they are the pool's again
		case f := <-a.command:
			f()
		case <-a.wake:
		case <-a.timer.C:
			a.armed = 0
			a.engine.Expire(a.ep.now())
		}
		a.step()
	}
}

func (a *Assoc) receive(in arrival) {
	now := a.ep.now()
	on := engine.Pair{Local: in.local, Remote: in.batch.Src}
	handle := a.engine.Handle
	if in.batch.CE {
		handle = a.engine.HandleMarked
	}
	for p, ok := in.batch.Next(); ok; p, ok = in.batch.Next() {
		handle(now, on, p)
	}
	in.batch.Release()
}

// step carries out what the last input caused.
func (a *Assoc) step() {
	now := a.ep.now()
	a.takeUnsent(now)
	a.transmit(now)
	a.handleEvents()
	a.noteTags()
	a.giveReady(now)
	a.transmit(now)
	a.payload.Store(int64(a.engine.MaxPayload()))
	a.rearm(now)
}

// takeUnsent moves messages from the users to the state machine.
func (a *Assoc) takeUnsent(now engine.Time) {
	for a.engine.Established() && a.engine.SendSpace() > 0 {
		m, ok, _, err := a.unsent.tryTake()
		if !ok {
			if err != nil {
				a.engine.Shutdown(now)
			}
			return
		}
		// It was checked when it was queued. Should it be refused all the same,
		// the user must not take it for sent.
		if err := a.engine.Send(now, engine.Message{Stream: wire.StreamID(m.Stream), PPID: wire.PPID(m.PPID), Unordered: m.Unordered, Data: m.Data}); err != nil {
			a.engine.Abort(now, wire.CauseUserAbort, err.Error())
			return
		}
	}
}

// giveReady moves messages from the state machine to the users as far as
// there is room; what stays closes the peer's window.
func (a *Assoc) giveReady(now engine.Time) {
	for !a.ready.full() {
		m, ok := a.engine.Recv(now)
		if !ok {
			return
		}
		_, _, _ = a.ready.tryPut(Message{Stream: uint16(m.Stream), PPID: uint32(m.PPID), Unordered: m.Unordered, Data: m.Data})
	}
}

// trainBuffers are what packets are built in. They are shared, because an
// association needs one only while it sends: thousands of idle ones would hold
// 64 KiB each.
var trainBuffers = sync.Pool{New: func() any { b := make([]byte, 0, udp.MaxBatch+2048); return &b }}

// transmit sends what the state machine has to send, as many packets with one
// system call as go the same way.
func (a *Assoc) transmit(now engine.Time) {
	t := &a.train
	buf := trainBuffers.Get().(*[]byte)
	defer trainBuffers.Put(buf)
	t.Buf = (*buf)[:0]
	for {
		start := len(t.Buf)
		b, on, ok := a.engine.Poll(now, t.Buf)
		if !ok {
			break
		}
		s := a.ep.socket(on.Local)
		n := len(b) - start
		if s == nil {
			continue
		}
		m := a.engine.Marks()
		marks := udp.Marks{ECT: m.ECT, Fragment: m.Fragment}
		if m.Alone || !t.Fits(n, s, on.Remote, marks) {
			packet := b[start:]
			a.leave(now)
			b = append(t.Buf, packet...)
		}
		t.Buf = b
		if t.Push(n, s, on.Remote, marks) || m.Alone || len(t.Buf)+n > udp.MaxBatch {
			a.leave(now)
		}
	}
	a.leave(now)
}

// leave sends the train. When its uplink has no way out the paths over it are
// in doubt at once.
func (a *Assoc) leave(now engine.Time) {
	local := a.train.Local()
	if err := a.train.Leave(); err != nil && udp.LinkGone(err) {
		a.engine.LocalFailed(now, local.Addr())
	}
}

// handleEvents passes on what happened.
func (a *Assoc) handleEvents() {
	for e, ok := a.engine.NextEvent(); ok; e, ok = a.engine.NextEvent() {
		switch e.Kind {
		case engine.EventEstablished:
			a.notePeer()
			close(a.established)
		case engine.EventFailover:
			a.noteFailover(e.Failover)
		case engine.EventPeerShutdown:
			a.unsent.end(ErrClosed) // what was accepted is sent, then takeUnsent ends it
			a.takeUnsent(a.ep.now())
		case engine.EventPath:
			a.noteAddr(e.Pair.Remote)
			a.mu.Lock()
			a.moved.Notify()
			a.mu.Unlock()
		}
	}
}

// notePeer records what is known of the peer.
func (a *Assoc) notePeer() {
	p := a.engine.Peer()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.peer = Peer{
		Handshake: p.Handshake.Remote, Listed: p.Listed, Silent: p.Silent, Adaptation: p.Adaptation,
		OutStreams: p.OutStreams, InStreams: p.InStreams, MaxMessage: p.MaxMessage,
	}
}

// noteTags keeps the table right when the handshake tells a tag, or begins
// anew.
func (a *Assoc) noteTags() {
	if tag, peer := a.engine.LocalTag(), a.peerKey(); tag != a.place.tag || peer != a.place.peer {
		a.ep.table.tags(&a.place, tag, peer, a)
	}
}

// noteAddr keeps where the peer sends from: a set-up chunk from there is about
// this association.
func (a *Assoc) noteAddr(from netip.AddrPort) {
	local, port := a.engine.Ports()
	a.ep.table.addr(&a.place, addrKey{from, local, port}, a)
}

func (a *Assoc) peerKey() peerKey {
	local, port := a.engine.Ports()
	return peerKey{a.engine.PeerTag(), local, port}
}

func (a *Assoc) noteFailover(f engine.Failover) {
	out := Failover{At: a.ep.at(f.At), From: Pair(f.From), To: Pair(f.To), Cause: f.Cause.String(), Stall: f.Stall}
	a.mu.Lock()
	if len(a.failovers) == failoverLimit {
		a.failovers = a.failovers[:copy(a.failovers, a.failovers[1:])]
	}
	a.failovers = append(a.failovers, out)
	a.mu.Unlock()
	a.logFailover(out)
}

// rearm sets the timer when the next deadline is earlier than what it is set
// to: a timer that fires early does no harm, one reset for every packet costs
// a fifth of a core.
func (a *Assoc) rearm(now engine.Time) {
	at, ok := a.engine.NextDeadline()
	if !ok || a.armed != 0 && a.armed <= at {
		return
	}
	a.armed = max(at, 1)
	a.timer.Reset(max(0, at.Sub(now)))
}

// finish is the end of the loop: users get the last messages and the error.
func (a *Assoc) finish() {
	now := a.ep.now()
	a.ep.table.remove(&a.place, a)
	for m, ok := a.engine.Recv(now); ok; m, ok = a.engine.Recv(now) {
		a.ready.force(Message{Stream: uint16(m.Stream), PPID: uint32(m.PPID), Unordered: m.Unordered, Data: m.Data})
	}
	err := publicError(a.engine.Err(), a.wasEstablished())
	if err == nil {
		err = ErrClosed
	}
	a.mu.Lock()
	a.err, a.last, a.stats = err, a.paths(), a.counters()
	a.mu.Unlock()
	close(a.done)
	a.unsent.end(err)
	a.ready.end(recvError(err))
	a.inbox.end()
}

func (a *Assoc) wasEstablished() bool {
	select {
	case <-a.established:
		return true
	default:
		return false
	}
}
