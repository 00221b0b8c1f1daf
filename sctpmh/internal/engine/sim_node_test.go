package engine

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/netsim"
)

// simNode is an endpoint with its driver and its user, as a node of a
// simulated network. The driver does what package sctpmh does; what the user
// does is in sim_user_test.go.
type simNode struct {
	name   string
	ep     *Endpoint
	assoc  *Assoc   // the user's
	former []*Assoc // those that another one took the place of
	table  simTable
	ports  [2]uint16 // ours, the peer's
	pairs  []Pair    // where it dials
	permit []netip.Addr
	silent []netip.Addr // permitted addresses of nobody
	gone   []netip.Addr // local addresses that have no way out
	clock  Time         // when the user ran last

	plan     []simMessage // to be sent, in order of time
	next     int
	cut      int      // with ended: how much of the plan is sent at all
	ended    bool     // the peer has shut down
	shutdown bool     // shut down when everything is sent and received
	hasty    bool     // shut down when everything is sent
	deaf     simSpan  // takes no messages
	early    bool     // sends before the association is established
	want     *simNode // the peer
	got      received
	up, down bool // established, closed
	err      error

	record simRecord
	paths  []PathInfo // scratch
	broken error      // an invariant that does not hold
}

// simRecord is what happened at a node.
type simRecord struct {
	ends       []simEnd
	failures   int
	dialed     int
	made       int // associations that the peer made
	up         int // EventEstablished, of all of them
	bothered   []bothered
	blackHoles uint64
	probes     uint64
}

// simEnd is the end of one association.
type simEnd struct {
	assoc *Assoc
	up    bool
	err   error
}

// Deliver does what the readers of package sctpmh and their endpoint do.
func (s *simNode) Deliver(now netsim.Time, p netsim.Packet) {
	on := Pair{Local: p.Dst, Remote: p.Src}
	if r, ok := Route(p.Data); ok && slices.Contains(s.ep.cfg.Locals, on.Local) {
		if a := s.lookup(r); a != nil {
			if p.CE {
				a.HandleMarked(Time(now), on, p.Data)
			} else {
				a.Handle(Time(now), on, p.Data)
			}
		} else {
			s.handle(Time(now), on, r, p.Data)
		}
	}
	for i := range p.Data {
		p.Data[i] = 0xA5 // it was borrowed
	}
}

// handle gives a packet that is no association's to the endpoint, together with
// the association that it is about.
func (s *simNode) handle(now Time, on Pair, r RouteKey, packet []byte) {
	old := s.about(r, on.Remote)
	if old == nil {
		if made, _ := s.ep.Handle(now, on, packet, nil); made != nil {
			s.accept(made, Keep)
		}
		return
	}
	made, verdict := s.ep.Handle(now, on, packet, old.TCB())
	switch verdict {
	case Complete:
		old.CookieEchoed(now, on, packet)
	case Restart:
		if old.state < Established {
			s.fail("the peer's restart ends an association that is being set up")
		}
		old.Restarted()
		s.user(now)
		s.table.remove(old)
	}
	if made != nil {
		s.accept(made, verdict)
	}
}

// accept takes an association that the peer made.
func (s *simNode) accept(made *Assoc, verdict Verdict) {
	live := s.assoc != nil && !s.assoc.Closed()
	switch {
	case s.want.up && (live || verdict == Restart):
		// The peer knows of one association only. One that was restarted, or
		// whose handshake began anew, may take the place of another; but not
		// while the peer is content with that.
		s.fail("the peer, which has an association, sets up a second one")
	case live && s.assoc.state < Established:
		s.fail("a second association while the first is being set up: a collision makes one of the two")
	}
	s.record.made++
	s.begin(made)
}

// begin makes an association the user's.
func (s *simNode) begin(a *Assoc) {
	if s.assoc != nil {
		s.former = append(s.former, s.assoc)
	}
	s.assoc, s.next, s.up, s.down, s.err, s.ended = a, 0, false, false, nil, false
	s.got = newReceived()
}

// dial sets an association up unless the peer has done so.
func (s *simNode) dial(now Time) {
	if s.assoc != nil {
		return
	}
	s.record.dialed++
	s.begin(s.ep.Dial(now, s.pairs, s.ports[0], s.ports[1]))
}

// all returns the associations that have not ended.
func (s *simNode) all() (all []*Assoc) {
	for _, a := range s.former {
		if !a.Closed() {
			all = append(all, a)
		}
	}
	if s.assoc != nil && !s.assoc.Closed() {
		all = append(all, s.assoc)
	}
	return all
}

// simTable knows where the peers of associations send from, as the table of
// package sctpmh does.
type simTable struct {
	byAddr map[simKey]*Assoc
	noted  map[*Assoc][]simKey // never iterated
}

type simKey struct {
	peer            netip.AddrPort
	localPort, port uint16
}

func (t *simTable) note(a *Assoc, from netip.AddrPort) {
	if t.byAddr == nil {
		t.byAddr, t.noted = make(map[simKey]*Assoc), make(map[*Assoc][]simKey)
	}
	local, port := a.Ports()
	k := simKey{from, local, port}
	if slices.Contains(t.noted[a], k) {
		return
	}
	t.noted[a] = append(t.noted[a], k)
	if t.byAddr[k] == nil {
		t.byAddr[k] = a
	}
}

func (t *simTable) remove(a *Assoc) {
	for _, k := range t.noted[a] {
		if t.byAddr[k] == a {
			delete(t.byAddr, k)
		}
	}
	delete(t.noted, a)
}

// lookup returns the association that a packet is for.
func (s *simNode) lookup(r RouteKey) *Assoc {
	if r.Setup {
		return nil
	}
	if a := s.byTag(r); a != nil {
		return a
	}
	for _, a := range s.all() {
		if r.Reflected && r.Tag == a.PeerTag() && hasPorts(a, r) {
			return a
		}
	}
	return nil
}

func (s *simNode) byTag(r RouteKey) *Assoc {
	for _, a := range s.all() {
		if r.Tag == a.LocalTag() && hasPorts(a, r) {
			return a
		}
	}
	return nil
}

func hasPorts(a *Assoc, r RouteKey) bool {
	local, peer := a.Ports()
	return local == r.LocalPort && peer == r.PeerPort
}

// about returns the association whose peer a packet is from.
func (s *simNode) about(r RouteKey, from netip.AddrPort) *Assoc {
	if a := s.byTag(r); a != nil {
		return a
	}
	if s.assoc != nil {
		for _, c := range s.assoc.hs.candidates { // where it was dialed
			s.table.note(s.assoc, c.pair.Remote)
		}
	}
	if a := s.table.byAddr[simKey{from, r.LocalPort, r.PeerPort}]; a != nil && !a.Closed() {
		return a
	}
	return nil
}

func (s *simNode) Deadline() (netsim.Time, bool) {
	var next deadline
	for _, a := range s.all() {
		if at, ok := a.NextDeadline(); ok {
			(&deadline{at, true}).earlier(&next)
		}
	}
	s.userDeadline(&next)
	return netsim.Time(next.at), next.armed
}

func (s *simNode) Expire(now netsim.Time) {
	for _, a := range s.all() {
		a.Expire(Time(now))
	}
}

// Poll lets the user run and returns what is to be sent. What cannot leave is
// reported as package sctpmh reports it.
func (s *simNode) Poll(now netsim.Time) (netsim.Packet, bool) {
	for range 1000 {
		b, on, a, ok := s.poll(Time(now))
		if !ok {
			s.check()
			return netsim.Packet{}, false
		}
		p := netsim.Packet{Src: on.Local, Dst: on.Remote, Data: b}
		if a != nil {
			m := a.Marks()
			p.Fragment, p.ECT = m.Fragment, m.ECT
		}
		s.inspect(Time(now), a, on, p)
		if !slices.Contains(s.ep.cfg.Locals, on.Local) {
			continue // its socket is closed
		}
		if !slices.Contains(s.gone, on.Local.Addr()) {
			return p, true
		}
		if a != nil {
			a.LocalFailed(Time(now), on.Local.Addr())
		}
	}
	s.fail("packets without end over an address without a way out")
	return netsim.Packet{}, false
}

// poll returns the next packet and the association that sends it.
func (s *simNode) poll(now Time) (b []byte, on Pair, a *Assoc, ok bool) {
	s.user(now)
	if b, on, ok = s.ep.Poll(now, nil); ok {
		return b, on, nil, true
	}
	for _, a := range s.former {
		if b, on, ok = a.Poll(now, nil); ok {
			return b, on, a, true
		}
	}
	if s.assoc != nil {
		if b, on, ok = s.assoc.Poll(now, nil); ok {
			return b, on, s.assoc, true
		}
	}
	for _, a := range append(s.former, s.assoc) {
		if a != nil && a.Closed() {
			s.table.remove(a)
		}
	}
	return nil, Pair{}, nil, false
}

// addLocal opens a socket, removeLocal closes one.
func (s *simNode) addLocal(now Time, l netip.AddrPort) {
	if !slices.Contains(s.ep.cfg.Locals, l) {
		s.setLocals(append(slices.Clone(s.ep.cfg.Locals), l))
	}
	for _, a := range s.all() {
		a.LocalAdded(now, l)
	}
}

func (s *simNode) removeLocal(now Time, l netip.AddrPort) {
	gone := func(x netip.AddrPort) bool { return x == l }
	s.setLocals(slices.DeleteFunc(slices.Clone(s.ep.cfg.Locals), gone))
	for _, a := range s.all() {
		a.LocalRemoved(now, l)
	}
}

func (s *simNode) setLocals(locals []netip.AddrPort) {
	list := s.ep.cfg.List
	if list != nil {
		list = pfAddrs(locals)
	}
	s.ep.SetLocals(locals, list)
}

func (s *simNode) fail(format string, args ...any) {
	if s.broken == nil {
		s.broken = fmt.Errorf(s.name+": "+format, args...)
	}
}
