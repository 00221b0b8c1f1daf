package sctpmh

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A loop drives the engine for an association. One goroutine, run, owns the
// engine; others leave packets in the inbox and commands for it.
type loop struct {
	// Set once.
	assoc *Assoc
	stack *userStack

	inbox   inbox         // filled by readers
	wake    chan struct{} // something waits in unsent, or ready has room
	command chan func()   // run by the loop

	// Owned by the loop.
	engine  *engine.Assoc
	train   udp.Train
	timer   *time.Timer
	armed   engine.Time // when the timer fires, 0: not set
	place   place
	arrived []arrival // being handled
	scratch []engine.PathInfo

	size    atomic.Int64  // octets of the largest message that fits a packet
	dropped atomic.Uint64 // batches for which the inbox had no room
}

// newLoop gives a state machine its place in the table and an association that
// stands for it.
func (s *userStack) newLoop(m *engine.Assoc) (*loop, error) {
	l := &loop{
		stack:   s,
		engine:  m,
		inbox:   newInbox(),
		wake:    make(chan struct{}, 1),
		command: make(chan func()),
		place:   place{ports: ports(m), tag: m.LocalTag()},
	}
	l.assoc = newAssoc(s.ep, l)
	if err := s.table.add(m.LocalTag(), l, s.ep.cfg.MaxAssociations); err != nil {
		return nil, err
	}
	l.size.Store(int64(m.MaxPayload()))
	l.noteTags()
	l.notePeer()
	return l, nil
}

func ports(m *engine.Assoc) [2]uint16 {
	local, peer := m.Ports()
	return [2]uint16{local, peer}
}

// run is the association's goroutine, the only one that touches its state
// machine. It ends when the association does; what then still comes is
// answered as out of the blue.
func (l *loop) run() {
	l.timer = time.NewTimer(math.MaxInt64)
	defer l.timer.Stop()
	defer l.finish()
	l.step()
	for !l.engine.Closed() {
		select {
		case <-l.inbox.filled:
			l.arrived = l.inbox.take(l.arrived[:0])
			for i, in := range l.arrived {
				l.receive(in)
				switch {
				case i%stepTrain == stepTrain-1:
					l.step() // others wait, or have something to say
				case i%2 == 1:
					l.transmit(l.stack.now()) // an acknowledgement is due, see receive
				}
			}
			clear(l.arrived) // they are the pool's again
		case f := <-l.command:
			f()
		case <-l.wake:
		case <-l.timer.C:
			l.armed = 0
			l.engine.Expire(l.stack.now())
		}
		l.step()
	}
}

// receive handles the packets that came in one piece. "An acknowledgement
// SHOULD be generated for at least every second packet" (RFC 9260 section 6.2):
// other stacks grow their window by a packet for each, however much it
// acknowledges. A train of packets in one piece is from a sender who counts
// octets.
func (l *loop) receive(in arrival) {
	now := l.stack.now()
	on := engine.Pair{Local: in.local, Remote: in.batch.Src}
	handle := l.engine.Handle
	if in.batch.CE {
		handle = l.engine.HandleMarked
	}
	for p, ok := in.batch.Next(); ok; p, ok = in.batch.Next() {
		handle(now, on, p)
	}
	in.batch.Release()
}

// step carries out what the last input caused.
func (l *loop) step() {
	now := l.stack.now()
	l.takeUnsent(now)
	l.transmit(now)
	l.handleEvents()
	l.noteTags()
	l.giveReady(now)
	l.transmit(now)
	l.size.Store(int64(l.engine.MaxPayload()))
	l.rearm(now)
}

// takeUnsent moves messages from the users to the state machine, whose streams
// take turns too. When it has all that it can use, a stream that had nothing to
// send since then has still a message taken, so that it leaves with the next
// packet and not after what others have waiting.
func (l *loop) takeUnsent(now engine.Time) {
	for _, o := range l.assoc.unsent.takeOrders() {
		if o.weight > 0 {
			l.engine.SetWeight(wire.StreamID(o.stream), o.weight)
		} else {
			l.engine.Discard(now, wire.StreamID(o.stream), o.discard)
		}
	}
	mark := l.sendMark()
	for (l.engine.Established() || l.engine.MaySendEarly()) && l.engine.SendSpace() > 0 {
		m, ok, err := l.assoc.unsent.tryTake(l.held() >= mark)
		if !ok {
			if err != nil && l.engine.Established() {
				l.engine.Shutdown(now)
			}
			return
		}
		// It was checked when it was queued. Should it be refused all the same,
		// the user must not take it for sent.
		if err := l.engine.Send(now, engine.Message{Stream: wire.StreamID(m.Stream), PPID: wire.PPID(m.PPID), Unordered: m.Unordered, Group: m.Group, Repeats: m.Repeats, Data: m.Data}); err != nil {
			l.engine.Abort(now, wire.CauseUserAbort, err.Error())
			return
		}
	}
}

// giveReady moves messages from the state machine to the users as far as
// there is room; what stays closes the peer's window.
func (l *loop) giveReady(now engine.Time) {
	for !l.assoc.ready.full() {
		m, ok := l.engine.Recv(now)
		if !ok {
			return
		}
		_, _ = l.assoc.ready.tryPut(Message{Stream: uint16(m.Stream), PPID: uint32(m.PPID), Unordered: m.Unordered, Data: m.Data})
	}
}

// trainBuffers are what packets are built in. They are shared, because an
// association needs one only while it sends: thousands of idle ones would hold
// 64 KiB each.
var trainBuffers = sync.Pool{New: func() any { b := make([]byte, 0, udp.MaxBatch+2048); return &b }}

// transmit sends what the state machine has to send, as many packets with one
// system call as go the same way.
func (l *loop) transmit(now engine.Time) {
	t := &l.train
	buf := trainBuffers.Get().(*[]byte)
	defer trainBuffers.Put(buf)
	t.Buf = (*buf)[:0]
	for {
		start := len(t.Buf)
		b, on, ok := l.engine.Poll(now, t.Buf)
		if !ok {
			break
		}
		s := l.stack.socket(on.Local)
		n := len(b) - start
		if s == nil {
			continue
		}
		m := l.engine.Marks()
		marks := udp.Marks{ECT: m.ECT, Fragment: m.Fragment}
		sock, ok := s.(*udp.Socket)
		if !ok {
			_ = s.Send(b[start:], n, on.Remote, marks, nil) // simulated: no system call is to be saved
			continue
		}
		if m.Alone || !t.Fits(n, sock, on.Remote, marks) {
			packet := b[start:]
			l.leave(now)
			b = append(t.Buf, packet...)
		}
		t.Buf = b
		if t.Push(n, sock, on.Remote, marks) || m.Alone || len(t.Buf)+n > udp.MaxBatch {
			l.leave(now)
		}
	}
	l.leave(now)
}

// leave sends the train. When its uplink has no way out the paths over it are
// in doubt at once.
func (l *loop) leave(now engine.Time) {
	local := l.train.Local()
	if err := l.train.Leave(); err != nil && udp.LinkGone(err) {
		l.engine.LocalFailed(now, local.Addr())
	}
}

// handleEvents passes on what happened.
func (l *loop) handleEvents() {
	for e, ok := l.engine.NextEvent(); ok; e, ok = l.engine.NextEvent() {
		switch e.Kind {
		case engine.EventEstablished:
			l.notePeer()
			l.assoc.establish()
		case engine.EventFailover:
			l.noteFailover(e.Failover)
			l.assoc.pathMoved()
		case engine.EventPeerShutdown:
			l.assoc.unsent.end(ErrClosed) // what was accepted is sent, then takeUnsent ends it
			l.takeUnsent(l.stack.now())
		case engine.EventPath:
			l.noteAddr(e.Pair.Remote)
			l.assoc.pathMoved()
		}
	}
}

// notePeer records what is known of the peer.
func (l *loop) notePeer() {
	p := l.engine.Peer()
	l.assoc.setPeer(Peer{
		Handshake: p.Handshake.Remote, Listed: p.Listed, Silent: p.Silent, Adaptation: p.Adaptation,
		OutStreams: p.OutStreams, InStreams: p.InStreams, MaxMessage: p.MaxMessage,
	})
}

// noteTags keeps the table right when the handshake tells a tag, or begins
// anew.
func (l *loop) noteTags() {
	if tag, peer := l.engine.LocalTag(), l.peerKey(); tag != l.place.tag || peer != l.place.peer {
		l.stack.table.tags(&l.place, tag, peer, l)
	}
}

// noteAddr keeps where the peer sends from: a set-up chunk from there is about
// this association.
func (l *loop) noteAddr(from netip.AddrPort) {
	local, port := l.engine.Ports()
	l.stack.table.addr(&l.place, addrKey{from, local, port}, l)
}

func (l *loop) peerKey() peerKey {
	local, port := l.engine.Ports()
	return peerKey{l.engine.PeerTag(), local, port}
}

func (l *loop) noteFailover(f engine.Failover) {
	l.assoc.addFailover(Failover{At: l.stack.at(f.At), From: Pair(f.From), To: Pair(f.To), Cause: f.Cause.String(), Stall: f.Stall})
}

// rearm sets the timer when the next deadline is earlier than what it is set
// to: a timer that fires early does no harm, one reset for every packet costs
// a fifth of a core.
func (l *loop) rearm(now engine.Time) {
	at, ok := l.engine.NextDeadline()
	if !ok || l.armed != 0 && l.armed <= at {
		return
	}
	l.armed = max(at, 1)
	l.timer.Reset(max(0, at.Sub(now)))
}

// finish is the end of the loop: users get the last messages and the error.
func (l *loop) finish() {
	now := l.stack.now()
	l.stack.table.remove(&l.place, l)
	l.notePeer() // of a dial that failed: who answered it
	for m, ok := l.engine.Recv(now); ok; m, ok = l.engine.Recv(now) {
		l.assoc.ready.force(Message{Stream: uint16(m.Stream), PPID: uint32(m.PPID), Unordered: m.Unordered, Data: m.Data})
	}
	l.assoc.end(publicError(l.engine.Err(), l.assoc.wasEstablished()), l.livePaths(), l.counters())
	l.inbox.end()
}

// do runs f on the loop and waits for it. It reports false when the loop has
// ended.
func (l *loop) do(f func()) bool {
	ran := make(chan struct{})
	select {
	case l.command <- func() { f(); close(ran) }:
		<-ran
		return true
	case <-l.assoc.done:
		return false
	}
}

func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// order has f change the paths, and those who watch them look again: which path
// there is, or is in use, has changed without an event.
func (l *loop) order(f func(now engine.Time)) {
	l.do(func() {
		f(l.stack.now())
		l.assoc.pathMoved()
	})
}

func (l *loop) permit(addrs []netip.Addr) {
	addrs = slices.Clone(addrs)
	l.order(func(now engine.Time) { l.engine.Permit(now, addrs) })
}

func (l *loop) setCandidates(remote []netip.AddrPort) {
	remote = slices.Clone(remote)
	l.order(func(now engine.Time) { l.engine.SetCandidates(now, remote) })
}

func (l *loop) setAggregate(on bool) { l.do(func() { l.engine.SetAggregate(on) }) }

func (l *loop) setPrimary(p Pair) (ok bool) {
	l.order(func(now engine.Time) { ok = l.engine.SetPrimary(now, engine.Pair(p)) })
	return ok
}

func (l *loop) abort(reason string) {
	l.do(func() { l.engine.Abort(l.stack.now(), wire.CauseUserAbort, reason) })
}

func (l *loop) payload() int { return int(l.size.Load()) }

func (l *loop) paths() (paths []PathInfo, ok bool) {
	ok = l.do(func() { paths = l.livePaths() })
	return paths, ok
}

// livePaths is paths on the loop.
func (l *loop) livePaths() (paths []PathInfo) {
	for _, p := range l.engine.AppendPaths(nil) {
		paths = append(paths, PathInfo{
			Local: p.Local, Remote: p.Remote, State: PathState(p.State), Confirmed: p.Confirmed, InUse: p.InUse,
			SRTT: p.SRTT, RTO: p.RTO, Cwnd: p.Cwnd, MTU: p.MTU,
			TxBytes: p.TxBytes, RxBytes: p.RxBytes, Retransmits: p.Retransmits, Errors: p.Errors,
		})
	}
	return paths
}

func (l *loop) stats() (s Stats, ok bool) {
	ok = l.do(func() { s = l.counters() })
	return s, ok
}

// counters is stats on the loop.
func (l *loop) counters() Stats {
	s := l.engine.Stats()
	return Stats{
		PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived, PacketsDropped: l.dropped.Load(),
		Retransmits: s.Retransmits, Timeouts: s.Timeouts, Failovers: s.Failovers, Duplicates: s.Duplicates,
		Malformed: s.Malformed, BadTag: s.BadTag, BadChecksum: s.BadChecksum,
	}
}
