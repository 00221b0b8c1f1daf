package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A hostile network holds every packet until the fuzz input says what becomes
// of it. Time passes only when the input says so.
type hostile struct {
	*pair
	in       []byte
	flying   []transit
	old      []transit
	sent     map[*Assoc][]Message
	used     map[*side]*Assoc                 // whose messages got holds
	checked  map[*side]int                    // of got
	tampered bool                             // some packet was not what an end had sent
	lied     bool                             // and it said something of data
	dropped  map[*Assoc]map[wire.StreamID]int // of the messages before that number of a stream, any may be missing
	octets   int
}

// What an octet of the input does with the next packet, or beside it. Higher
// ones are taken for the first, so that most packets arrive.
const (
	fuzzDeliver = iota
	fuzzDrop
	fuzzDuplicate
	fuzzDelay
	fuzzFlip
	fuzzForge // a flipped bit under a right checksum
	fuzzTruncate
	fuzzReplay
	fuzzInject
	fuzzSwap
	fuzzExpire
	fuzzWait
	fuzzSend
	fuzzCall
	fuzzOps
)

// FuzzPair is two ends, one of which dials the other over two paths, with
// everything in between that a network, an attacker who sees all packets and
// two users can do. Nothing panics, the invariants hold after every step, Poll
// ends; as long as no packet that arrives was forged, so do the messages, once
// and in order; and when the network becomes perfect, both ends are soon done.
func FuzzPair(f *testing.F) {
	f.Add([]byte{0})
	f.Add(append([]byte{1}, slices.Repeat([]byte{fuzzSend, 0x10, fuzzSend, 0x95}, 20)...))
	f.Add(append([]byte{1, fuzzSend, 0xff, fuzzDrop, fuzzExpire, fuzzDrop}, slices.Repeat([]byte{fuzzDrop, fuzzExpire}, 30)...))
	f.Add([]byte{0, fuzzDuplicate, fuzzSwap, fuzzDelay, fuzzDeliver, fuzzExpire, fuzzReplay, 1, fuzzReplay, 2, fuzzCall, 4})
	f.Add([]byte{1, fuzzSend, 0xf0, fuzzCall, 0, fuzzForge, 99, 0, fuzzFlip, 100, 0, fuzzTruncate, 20, fuzzInject, 3, 4, 1, 2, 3, 4, fuzzCall, 1})
	f.Add([]byte{1, fuzzCall, 8, fuzzSend, 0x85, fuzzCall, 9, 0, fuzzExpire, fuzzCall, 2, fuzzWait, 200, fuzzCall, 3, fuzzInject, 14, 0})
	f.Add(append([]byte{0}, slices.Repeat([]byte{fuzzSend, 0x08, fuzzSend, 0xf1, fuzzCall, 12, 3, fuzzSend, 0x79, fuzzCall, 13, 1, 0}, 8)...))
	rng := rand.New(rand.NewPCG(1, 1))
	for range 4 {
		f.Add(hostileInput(rng))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		n := newHostile(t, in)
		for len(n.in) > 0 && n.octets < 4000 {
			n.act()
			n.step()
			n.examine()
		}
		n.end()
	})
}

// hostileInput is a long input by which much arrives and some messages are sent.
func hostileInput(rng *rand.Rand) []byte {
	in := []byte{byte(rng.IntN(2))}
	for range 300 {
		op := byte(rng.IntN(32))
		if op == fuzzForge || op == fuzzTruncate || op == fuzzInject {
			op = fuzzExpire
		}
		if in = append(in, op); op >= fuzzReplay && op < fuzzOps || op == fuzzFlip {
			in = append(in, byte(rng.IntN(256))&^0x0f|byte(2+rng.IntN(14)), byte(rng.IntN(256)))
		}
	}
	return in
}

func newHostile(t *testing.T, in []byte) *hostile {
	cfg := Config{MaxPMTU: 9000, ReceiveBuffer: 64 << 10}
	n := &hostile{
		pair: newPair(t, cfg, cfg), in: in,
		sent: make(map[*Assoc][]Message), used: make(map[*side]*Assoc), checked: make(map[*side]int), dropped: make(map[*Assoc]map[wire.StreamID]int),
	}
	if n.octet()&1 != 0 {
		n.connect()
	} else {
		n.a.assoc = n.a.ep.Dial(n.now, []Pair{onPath1, onPath2}, 4000, 5000)
	}
	n.drop = func(from *side, on Pair, packet []byte) bool {
		n.flying = append(n.flying, transit{to: from.other, on: Pair{on.Remote, on.Local}, data: packet})
		return true
	}
	n.step()
	n.examine()
	return n
}

// octet takes one off the input, 0 when there is none.
func (n *hostile) octet() int {
	if len(n.in) == 0 {
		return 0
	}
	b := n.in[0]
	n.in = n.in[1:]
	n.octets++
	return int(b)
}

// act does what the next octet of the input says.
func (n *hostile) act() {
	op := n.octet() % 32
	switch {
	case op == fuzzExpire:
		n.expire()
	case op == fuzzWait:
		n.now = n.now.Add(time.Duration(n.octet()) * time.Millisecond)
		n.expireAll()
	case op == fuzzSend:
		n.user(n.octet())
	case op == fuzzCall:
		n.call(n.octet())
	case op == fuzzInject:
		n.inject()
	case op == fuzzReplay:
		if i := n.octet(); len(n.old) > 0 {
			p := n.old[i%len(n.old)]
			n.give(p.to, p.on, slices.Clone(p.data))
		}
	case len(n.flying) > 0:
		n.pass(op)
	default:
		n.expire()
	}
}

// pass does something with the packet that is next.
func (n *hostile) pass(op int) {
	p := n.flying[0]
	n.flying = n.flying[1:]
	if n.old = append(n.old, transit{to: p.to, on: p.on, data: slices.Clone(p.data)}); len(n.old) > 64 {
		n.old = n.old[1:]
	}
	switch op {
	case fuzzDrop:
		return
	case fuzzDuplicate:
		n.flying = append(n.flying, transit{to: p.to, on: p.on, data: slices.Clone(p.data)})
	case fuzzDelay:
		n.flying = append(n.flying, p)
		return
	case fuzzFlip, fuzzForge:
		i := n.octet() << 8
		i = (i | n.octet()) % (8 * len(p.data))
		p.data[i/8] ^= 1 << (i % 8)
		if op == fuzzForge {
			n.forged(p.data)
		}
	case fuzzTruncate:
		i := n.octet()
		if p.data = p.data[:i%(len(p.data)+1)]; i&1 != 0 && len(p.data) >= wire.HeaderLen {
			n.forged(p.data)
		}
	case fuzzSwap:
		p.on = otherPath(p.on)
	}
	n.give(p.to, p.on, p.data)
}

// forged makes the checksum of a packet right that no end has sent. What it says
// of data has to be believed: the ends may then wait for each other for ever.
func (n *hostile) forged(packet []byte) {
	wire.SetChecksum(packet)
	n.tampered = true
	for _, c := range []wire.ChunkType{wire.TypeData, wire.TypeSack, wire.TypeShutdown, wire.TypeInit, wire.TypeInitAck} {
		n.lied = n.lied || has(packet, c)
	}
}

// give does what a driver does with a packet. A COOKIE ECHO of an earlier attempt
// may come so late, and from an address that is not known yet, that it makes a
// second association while the first lives. Nobody is at its other end; users
// see it end. Here it is left alone.
func (n *hostile) give(s *side, on Pair, packet []byte) {
	first := s.assoc
	n.deliverTo(s, on, packet)
	if peer := s.other.assoc; first != nil && s.assoc != first && first.Established() && first.PeerTag() == peer.LocalTag() {
		s.assoc = first
	}
}

// otherPath returns the pair with each end's other address.
func otherPath(on Pair) Pair {
	other := func(a netip.AddrPort) netip.AddrPort {
		for _, l := range [][]netip.AddrPort{aLocals, bLocals} {
			if i := slices.Index(l, a); i >= 0 {
				return l[1-i]
			}
		}
		return a
	}
	return Pair{other(on.Local), other(on.Remote)}
}

// inject has a chunk arrive that an end did not send, with the right tag.
func (n *hostile) inject() {
	how, size := n.octet(), n.octet()%64
	value := make([]byte, size)
	for i := range value {
		value[i] = byte(n.octet())
	}
	s, on := n.a, Pair{aLocals[0], bLocals[0]}
	if how&0x80 != 0 {
		s, on = n.b, Pair{bLocals[0], aLocals[0]}
	}
	if s.assoc == nil {
		return
	}
	if how&0x40 != 0 {
		on = otherPath(on)
	}
	types := []wire.ChunkType{
		wire.TypeData, wire.TypeInit, wire.TypeInitAck, wire.TypeSack, wire.TypeHeartbeat, wire.TypeHeartbeatAck, wire.TypeAbort,
		wire.TypeShutdown, wire.TypeShutdownAck, wire.TypeError, wire.TypeCookieEcho, wire.TypeCookieAck, wire.TypeECNE, wire.TypeCWR,
		wire.TypeShutdownComplete, 0x3f, 0x7f, 0xbf, 0xff,
	}
	h := wire.Header{SrcPort: 5000, DstPort: 4000, Tag: s.assoc.LocalTag()}
	if s == n.b {
		h.SrcPort, h.DstPort = 4000, 5000
	}
	c := types[how&0x3f%len(types)]
	if c == wire.TypeInit {
		h.Tag = 0
	}
	flags := uint8(0)
	if size > 0 {
		flags = value[size-1] & 7
	}
	b := wire.AppendChunk(wire.AppendHeader(nil, h), c, flags, value)
	rebase(s.assoc, b)
	n.forged(b)
	n.give(s, on, b)
}

// expire lets time pass to the next deadline.
func (n *hostile) expire() {
	next := deadline{}
	for _, s := range []*side{n.a, n.b} {
		if s.assoc == nil {
			continue
		}
		if at, ok := s.assoc.NextDeadline(); ok {
			(&deadline{at, true}).earlier(&next)
		}
	}
	if next.armed {
		n.now = max(n.now, next.at)
		n.expireAll()
	}
}

func (n *hostile) expireAll() {
	for _, s := range []*side{n.a, n.b} {
		if s.assoc != nil {
			s.assoc.Expire(n.now)
		}
	}
}

// user sends a message.
func (n *hostile) user(how int) {
	s := n.a
	if how&0x80 != 0 {
		s = n.b
	}
	if s.assoc == nil {
		return
	}
	sent := n.sent[s.assoc]
	m := Message{Stream: wire.StreamID(how & 3), Group: 1 + uint32(how&3), Unordered: how&4 != 0, Data: make([]byte, []int{4, 500, 1300, 9001}[how>>3&3]+how>>5&3*9000)}
	binary.BigEndian.PutUint32(m.Data, uint32(len(sent)))
	for i := 4; i < len(m.Data); i++ {
		m.Data[i] = byte(i * (len(sent) + 3))
	}
	keep := m
	keep.Data = slices.Clone(m.Data)
	if s.assoc.Send(n.now, m) == nil {
		n.sent[s.assoc] = append(sent, keep)
	}
}

// call is one of the other things that users do.
func (n *hostile) call(how int) {
	s, locals, remotes := n.a, aLocals, bLocals
	if how&0x80 != 0 {
		s, locals, remotes = n.b, bLocals, aLocals
	}
	a, i := s.assoc, how>>4&1
	if a == nil {
		return
	}
	switch how & 15 {
	case 0:
		a.Shutdown(n.now)
	case 1:
		a.Abort(n.now, wire.CauseUserAbort, simReason)
	case 2:
		a.LocalFailed(n.now, locals[i].Addr())
	case 3:
		a.LocalRestored(n.now, locals[i].Addr())
	case 4:
		a.Permit(n.now, []netip.Addr{remotes[i].Addr()})
	case 5, 6:
		a.Permit(n.now, []netip.Addr{remotes[0].Addr(), remotes[1].Addr()})
	case 7:
		a.SetPrimary(n.now, Pair{locals[i], remotes[i]})
	case 8:
		s.hold = !s.hold
	case 9:
		h := wire.AppendHeader(nil, wire.Header{SrcPort: a.cfg.Port, DstPort: a.peer.port, Tag: a.peer.tag})
		a.Hint(n.now, Pair{locals[i], remotes[i]}, h, 1280+n.octet()*8)
	case 10:
		a.AddPath(n.now, Pair{locals[i], netip.AddrPortFrom(remotes[i].Addr(), uint16(n.octet()+1))})
	case 11:
		a.SetCandidates(n.now, remotes[i:i+1])
	case 14:
		a.SetAggregate(i == 0)
	case 12:
		a.SetWeight(wire.StreamID(i), n.octet())
	case 13:
		stream := wire.StreamID(n.octet() & 3)
		if n.dropped[a] == nil {
			n.dropped[a] = make(map[wire.StreamID]int)
		}
		if a.Discard(n.now, stream, 1+uint32(stream)) > 0 {
			n.dropped[a][stream] = len(n.sent[a])
		}
	}
}

// examine checks what has arrived since the last time, and why an end ended.
func (n *hostile) examine() {
	n.t.Helper()
	for _, s := range []*side{n.a, n.b} {
		if s.assoc == nil {
			continue
		}
		if err := checkLimits(s.assoc); err != nil {
			n.t.Fatalf("%s: %v\n%s", s.name, err, n.trace())
		}
		if n.used[s] != s.assoc {
			n.used[s], n.checked[s] = s.assoc, 0
		}
		if n.lied {
			continue
		}
		if len(s.got) > n.checked[s] {
			n.checked[s] = len(s.got)
			if err := n.arrived(s); err != nil {
				n.t.Fatalf("%s: %v\n%s", s.name, err, n.trace())
			}
		}
		if s.assoc.Closed() && !n.tampered {
			n.mayEnd(s)
		}
	}
}

// arrived checks all that has arrived at an end: once, and in order.
func (n *hostile) arrived(s *side) error {
	next := make(map[wire.StreamID]int)
	seen := make(map[uint32]bool)
	sent := n.sent[s.other.assoc]
	for _, m := range s.got {
		if len(m.Data) < 4 {
			return fmt.Errorf("a message of %d octets", len(m.Data))
		}
		number := binary.BigEndian.Uint32(m.Data)
		if int(number) >= len(sent) || seen[number] {
			return fmt.Errorf("message %d was not sent, or came twice", number)
		}
		seen[number] = true
		if err := sameMessage(m, sent[number]); err != nil {
			return fmt.Errorf("message %d: %w", number, err)
		}
		if m.Unordered {
			continue
		}
		for i := next[m.Stream]; i < int(number); i++ {
			if sent[i].Stream == m.Stream && !sent[i].Unordered && i >= n.dropped[s.other.assoc][m.Stream] {
				return fmt.Errorf("message %d of stream %d before message %d", number, m.Stream, i)
			}
		}
		next[m.Stream] = int(number) + 1
	}
	return nil
}

// mayEnd finds an end without a reason.
func (n *hostile) mayEnd(s *side) {
	n.t.Helper()
	var abort *AbortError
	var timeout *TimeoutError
	err := s.assoc.Err()
	switch {
	case err == nil, errors.As(err, &timeout):
	case errors.As(err, &abort) && (abort.Restart || abort.Code == wire.CauseUserAbort || abort.Code == wire.CauseStaleCookie || abort.Code == 0 && abort.Remote):
	default:
		n.t.Fatalf("%s ends with %v\n%s", s.name, err, n.trace())
	}
}

// done reports whether an end has nothing left to do.
func (s *side) done() bool {
	return s.assoc == nil || s.assoc.Closed() || s.assoc.Established() && !s.assoc.outstanding()
}

// end is a perfect network from now on.
func (n *hostile) end() {
	n.t.Helper()
	n.drop = nil
	for _, s := range []*side{n.a, n.b} {
		s.hold = false
		for _, l := range s.ep.cfg.Locals {
			if s.assoc != nil {
				s.assoc.LocalRestored(n.now, l.Addr())
			}
		}
	}
	for _, p := range n.flying {
		n.give(p.to, p.on, p.data)
		n.step()
		n.examine()
	}
	if n.lied {
		n.advance(time.Minute)
		return
	}
	n.within("done", func(s *side) bool { return s.done() })
	whole := !n.tampered && n.b.assoc != nil
	for _, s := range []*side{n.a, n.b} {
		if s.assoc != nil {
			whole = whole && s.assoc.Err() == nil
		}
	}
	for _, s := range []*side{n.a, n.b} {
		want := 0
		for i, m := range n.sent[s.other.assoc] {
			if i >= n.dropped[s.other.assoc][m.Stream] {
				want++
			}
		}
		if whole && len(s.got) < want {
			n.t.Fatalf("%s got %d of %d messages\n%s", s.name, len(s.got), want, n.trace())
		}
	}
	for _, s := range []*side{n.a, n.b} {
		if s.assoc != nil {
			s.assoc.Shutdown(n.now)
		}
	}
	n.within("closed", func(s *side) bool { return s.assoc == nil || s.assoc.Closed() })
}

// within waits for both ends, ten minutes at most.
func (n *hostile) within(what string, f func(*side) bool) {
	n.t.Helper()
	for range 600 {
		n.advance(time.Second)
		n.examine()
		if f(n.a) && f(n.b) {
			return
		}
	}
	n.t.Fatalf("not %s within ten minutes: a %d (%v), b %d (%v)\n%s", what, n.a.assoc.state, f(n.a), n.b.assoc.state, f(n.b), n.trace())
}
