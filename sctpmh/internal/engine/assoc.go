package engine

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// State is where an association is in its life (RFC 9260 section 4). The
// order matters: later states compare greater.
type State uint8

// The states of an association.
const (
	CookieWait State = iota
	CookieEchoed
	Established
	ShutdownPending
	ShutdownReceived
	ShutdownSent
	ShutdownAckSent
	Closed
)

// An Assoc is one association. It belongs to one caller at a time.
type Assoc struct {
	cfg   Config
	rng   *rand.Rand
	state State

	tag  wire.Tag // ours: the peer puts it on every packet
	ties tieTags
	peer peerState
	hs   handshake

	paths       pathSet
	assocErrors int // consecutive, RFC 9260 section 8.1
	stall       stallState

	out    sendQueue
	flight inflightRing
	ack    ackState // of the SACK being handled

	rx    rxState // of the packet being handled
	rcv   rcvTracker
	sack  sackState
	reasm reassembly

	ecn      ecnState
	shut     shutdownState
	replies  []packet
	events   eventQueue
	closeErr error
	stats    Stats
	scratch  [64]byte
	marks    Marks // of the last packet
}

// peerState is what the peer said and how far it can take data.
type peerState struct {
	tag        wire.Tag
	port       uint16
	tsn        wire.TSN // its first
	handshake  Pair
	listed     []netip.Addr
	adaptation uint32

	outStreams, inStreams uint16

	maxMessage  int      // what it can put together within its whole window
	rwnd        int      // octets it can still take
	windowProbe bool     // data in flight may exceed it
	probe       deadline // then data may exceed it
	lastSack    Time
	sacks       sackOrder
}

// A packet is one that was built ahead of Poll.
type packet struct {
	on   Pair
	b    []byte
	data bool // it carries DATA: control chunks would have to come before

	marks Marks
}

// Stats counts since the association began.
type Stats struct {
	PacketsSent, PacketsReceived      uint64
	ChunksSent, SacksSent, Heartbeats uint64
	Retransmits                       uint64 // chunks sent again
	FastRetransmits                   uint64 // chunks found lost before a timeout
	SizeProbes, BlackHoles            uint64 // probes for larger packets; sizes that were given up
	Marked                            uint64 // reductions of a window for congestion that the network signalled
	Undone                            uint64 // reductions of a window taken back: nothing was lost
	Timeouts                          uint64 // expiries of T3-rtx
	TailProbes                        uint64 // chunks sent again before either
	Failovers                         uint64
	Duplicates                        uint64 // chunks received again
	Dropped                           uint64 // chunks without room or out of the window
	Unconfirmed                       uint64 // chunks from a path that was not confirmed
	Malformed, BadTag, BadChecksum    uint64 // packets or chunks
	RepliesDropped                    uint64 // beyond maxReplies
}

// newAssoc returns an association that knows its own side only.
func newAssoc(cfg Config, src rand.Source, tag wire.Tag, tsn wire.TSN) *Assoc {
	rng := rand.New(src)
	return &Assoc{
		cfg:    cfg,
		rng:    rng,
		tag:    tag,
		ties:   tieTags{newTag(rng), newTag(rng)},
		out:    sendQueue{scheduler: newScheduler()},
		flight: newInflight(tsn),
		reasm:  newReassembly(),
		sack:   sackState{window: cfg.ReceiveBuffer},
	}
}

// establish opens the association over the pair that completed the
// handshake, the only one that this confirms.
func (a *Assoc) establish(now Time, on Pair) {
	a.state = Established
	a.peer.handshake = on
	p := a.addPath(on)
	a.events.push(Event{Kind: EventEstablished, Pair: on})
	a.confirm(now, p)
	a.scheduleHeartbeat(now, p)
	a.Permit(now, nil)
}

// Permit says which addresses of the peer may be used beside the one of the
// handshake; it replaces what was permitted before. Each is probed and used
// once it has answered. See SetCandidates for those that are no longer
// permitted.
func (a *Assoc) Permit(now Time, v []netip.Addr) {
	all := []netip.AddrPort{a.peer.handshake.Remote}
	for _, addr := range v {
		all = append(all, netip.AddrPortFrom(addr, 0))
	}
	a.SetCandidates(now, all)
}

// hint notes a packet with our tag over a pair that is no path yet: a path to
// be proved, if both addresses may be used (RFC 6951 section 5.4 for a changed
// port).
func (a *Assoc) hint(now Time, on Pair) *path {
	if a.state < Established || !a.mayUse(on) {
		return nil
	}
	if len(a.paths.all) >= maxPaths {
		a.evictPath(now, netip.AddrPort{})
	}
	return a.addPath(on)
}

// Expire does what is due at now. Calls that come early are harmless.
func (a *Assoc) Expire(now Time) {
	if a.state == Closed {
		return
	}
	if a.state < Established {
		a.expireHandshake(now)
		return
	}
	if a.sack.timer.due(now) {
		a.sack.timer.stop()
		a.sack.now = true
	}
	for i := 0; i < len(a.paths.all) && a.state != Closed; i++ {
		p := a.paths.all[i]
		if p.loss.reorder.due(now) {
			a.detectLoss(now, p)
			p.armT3(now, false)
		}
		if p.loss.t3.due(now) {
			a.expireT3(now, p)
		} else if p.loss.probe.due.due(now) {
			a.sendProbe(now, p)
		}
		if p.pacer.wait.due(now) {
			p.pacer.wait.stop()
		}
		if p.quality.hold.due(now) {
			p.quality.hold.stop()
			if a.cfg.Aggregate && p.quality.lossy {
				p.quality.forgive(now)
			}
			a.reselect(now, CauseCommand)
		}
		a.expireHeartbeat(now, p)
		a.expirePMTU(now, p)
	}
	if a.state != Closed {
		a.expireWithdrawn(now)
		a.expireShutdown(now)
	}
}

// NextDeadline returns when Expire should be called next, if ever.
func (a *Assoc) NextDeadline() (Time, bool) {
	var next deadline
	if a.state == Closed {
		return 0, false
	}
	a.hs.t1.earlier(&next)
	a.sack.timer.earlier(&next)
	a.shut.t2.earlier(&next)
	a.shut.guard.earlier(&next)
	a.peer.probe.earlier(&next)
	for _, p := range a.paths.all {
		p.loss.t3.earlier(&next)
		p.loss.reorder.earlier(&next)
		p.loss.probe.due.earlier(&next)
		p.hb.next.earlier(&next)
		p.hb.timeout.earlier(&next)
		p.pmtu.next.earlier(&next)
		p.quality.hold.earlier(&next)
		p.pacer.wait.earlier(&next)
		p.withdrawal.due.earlier(&next)
		p.pmtu.timeout.earlier(&next)
	}
	return next.at, next.armed
}

// reply queues control chunks for the pair that a question came by. All that
// answer one packet share one (RFC 9260 section 12.4).
func (a *Assoc) reply(on Pair, chunks func([]byte) []byte) {
	if a.rx.mute {
		return
	}
	if last := len(a.replies) - 1; a.rx.replied && a.replies[last].on == on {
		if b := chunks(a.replies[last].b); len(b) <= a.cfg.packetLimit() {
			wire.SetChecksum(b)
			a.replies[last].b = b
		}
		return
	}
	if len(a.replies) >= maxReplies {
		a.stats.RepliesDropped++
		return
	}
	b := chunks(a.beginPacket(nil, a.peer.tag))
	wire.SetChecksum(b)
	a.replies = append(a.replies, packet{on: on, b: b})
	a.rx.replied = true
}

// pollReply hands out a packet that was built ahead.
func (a *Assoc) pollReply(buf []byte) ([]byte, Pair, bool) {
	if len(a.replies) == 0 {
		return buf, Pair{}, false
	}
	r := a.replies[0]
	a.replies = slices.Delete(a.replies, 0, 1)
	a.marks = r.marks
	a.rx.replied = false
	a.stats.PacketsSent++
	start := len(buf)
	buf = append(buf, r.b...)
	p := a.paths.find(r.on)
	if p != nil && a.Established() && a.sack.now && a.sackPath() == p && !r.data && len(r.b)+a.sackLen() <= a.cfg.packetLimit() {
		buf = a.appendSack(buf, p, a.sackLen())
		wire.SetChecksum(buf[start:])
	}
	if p != nil {
		if r.data && len(r.b) > p.packetLimit(&a.cfg) {
			a.marks.Alone, a.marks.Fragment = true, true // less is known to pass by now
		}
		p.stats.txBytes += uint64(len(buf) - start)
	}
	return buf, r.on, true
}

// Abort ends the association at once; the peer is told why.
func (a *Assoc) Abort(now Time, code wire.CauseCode, reason string) { a.abort(now, code, reason) }

func (a *Assoc) abort(now Time, code wire.CauseCode, reason string) {
	a.abortCause(now, code, wire.AppendCause(nil, code, []byte(reason[:min(len(reason), maxCauseInfo)])), reason)
}

// abortCause ends the association with an ABORT that carries a cause.
func (a *Assoc) abortCause(_ Time, code wire.CauseCode, cause []byte, reason string) {
	a.sendAbort(cause)
	a.close(&AbortError{Code: code, Reason: reason})
}

// sendAbort queues an ABORT over the path in use. Before the peer's tag is
// known there is nobody to tell.
func (a *Assoc) sendAbort(cause []byte) {
	on := a.peer.handshake
	if p := a.paths.current; p != nil {
		on = p.pair
	}
	if a.state == Closed || a.peer.tag == 0 || !on.Remote.IsValid() {
		return
	}
	a.reply(on, func(b []byte) []byte { return wire.AppendError(b, wire.TypeAbort, 0, cause) })
}

// fail ends the association without a word to the peer, which is not there.
func (a *Assoc) fail(_ Time, err error) { a.close(err) }

func (a *Assoc) close(err error) {
	if a.state == Closed {
		return
	}
	a.state = Closed
	a.closeErr = err
	a.events.push(Event{Kind: EventClosed, Err: err})
}

// NextEvent returns what happened since the last call.
func (a *Assoc) NextEvent() (Event, bool) { return a.events.pop() }

// LocalTag is the verification tag on packets to this association.
func (a *Assoc) LocalTag() wire.Tag { return a.tag }

// PeerTag is the verification tag on packets from it, 0 until it is known.
func (a *Assoc) PeerTag() wire.Tag { return a.peer.tag }

// Ports returns the SCTP ports.
func (a *Assoc) Ports() (local, peer uint16) { return a.cfg.Port, a.peer.port }

// Established reports whether the handshake is complete and the end not yet
// reached.
func (a *Assoc) Established() bool { return a.state >= Established && a.state != Closed }

// Closed reports whether the association has ended.
func (a *Assoc) Closed() bool { return a.state == Closed }

// Err returns why it ended; nil before that and after a graceful shutdown.
func (a *Assoc) Err() error { return a.closeErr }

// Stats returns the counters.
func (a *Assoc) Stats() Stats { return a.stats }

// PeerInfo is what the handshake said of the peer.
type PeerInfo struct {
	Handshake             Pair
	Listed                []netip.Addr
	Silent                bool // it listed no addresses
	Adaptation            uint32
	OutStreams, InStreams uint16 // usable, from here and from there
	MaxMessage            int    // octets that it can put together
}

// Peer returns what the handshake said of the peer.
func (a *Assoc) Peer() PeerInfo {
	return PeerInfo{
		Handshake:  a.peer.handshake,
		Listed:     slices.Clone(a.peer.listed),
		Silent:     len(a.peer.listed) == 0,
		Adaptation: a.peer.adaptation,
		OutStreams: a.peer.outStreams,
		InStreams:  a.peer.inStreams,
		MaxMessage: min(a.peer.maxMessage, MaxMessage),
	}
}

// AddPath has a pair to a permitted address probed whose remote port differs
// from that of the handshake.
func (a *Assoc) AddPath(now Time, on Pair) {
	if a.state >= Established && a.mayUse(on) {
		if p := a.addPath(on); p != nil {
			a.probeNow(now, p)
		}
	}
}
