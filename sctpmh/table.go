package sctpmh

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// table finds the association that a packet is for. Readers look up, loops
// add and remove. mu is a leaf: nothing is called while it is held.
type table struct {
	mu      sync.Mutex
	byLocal map[wire.Tag]*loop
	byPeer  map[peerKey]*loop // by the tag that the peer is known by, for what it reflects
	byAddr  map[addrKey]*loop // by where the peer sends from, for INIT and COOKIE ECHO
	sources sourceCounts
	closed  bool
}

type peerKey struct {
	tag             wire.Tag
	localPort, port uint16
}

// addrKey is who a peer is before any tag is known (RFC 9260 section 5.2).
type addrKey struct {
	peer            netip.AddrPort
	localPort, port uint16
}

func newTable() table {
	return table{
		byLocal: make(map[wire.Tag]*loop),
		byPeer:  make(map[peerKey]*loop),
		byAddr:  make(map[addrKey]*loop),
		sources: make(sourceCounts),
	}
}

// lookup returns the association for a packet, nil when it has none. One that
// sets up an association is the endpoint's, see about.
func (t *table) lookup(r engine.RouteKey) *loop {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Setup {
		return nil
	}
	if a := t.byLocal[r.Tag]; a != nil && a.place.ports == [2]uint16{r.LocalPort, r.PeerPort} {
		return a
	}
	if r.Reflected {
		return t.byPeer[peerKey{r.Tag, r.LocalPort, r.PeerPort}]
	}
	return nil
}

// quoted returns the association that sent a packet, by its header.
func (t *table) quoted(r engine.RouteKey) *loop {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byPeer[peerKey{r.Tag, r.LocalPort, r.PeerPort}]
}

// about returns the association whose peer a packet is from.
func (t *table) about(r engine.RouteKey, from netip.AddrPort) *loop {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.byLocal[r.Tag]; a != nil && a.place.ports == [2]uint16{r.LocalPort, r.PeerPort} {
		return a
	}
	return t.byAddr[addrKey{from, r.LocalPort, r.PeerPort}]
}

// add takes an association in unless its tag is taken, the table is full or
// closed.
func (t *table) add(tag wire.Tag, a *loop, limit int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return ErrClosed
	case len(t.byLocal) >= limit || t.byLocal[tag] != nil:
		return ErrTooManyAssociations
	}
	t.byLocal[tag] = a
	return nil
}

// place is where an association stands in the table. Its loop owns it, but for
// the ports, which anybody may read.
type place struct {
	ports    [2]uint16 // local and peer's, set once
	tag      wire.Tag
	peer     peerKey
	addrs    []addrKey
	admitted netip.Addr // who made it, for the count of its source
}

// tags puts an association where its tags have it. Both change when the
// handshake begins anew; a packet for an old one is out of the blue from then
// on.
func (t *table) tags(p *place, tag wire.Tag, peer peerKey, a *loop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byLocal[p.tag] == a {
		delete(t.byLocal, p.tag)
		t.byLocal[tag] = a
	}
	if t.byPeer[p.peer] == a {
		delete(t.byPeer, p.peer)
	}
	if peer.tag != 0 {
		t.byPeer[peer] = a
	}
	p.tag, p.peer = tag, peer
}

// addr notes that the peer of an association sends from an address.
func (t *table) addr(p *place, k addrKey, a *loop) {
	if slices.Contains(p.addrs, k) || len(p.addrs) >= addrLimit {
		return
	}
	p.addrs = append(p.addrs, k)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byAddr[k] == nil {
		t.byAddr[k] = a
	}
}

// admit counts an association that a source made, unless it has too many.
func (t *table) admit(from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sources.admit(from)
}

// dismiss ends what admit counted.
func (t *table) dismiss(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sources.dismiss(from)
}

// remove ends an association's place.
func (t *table) remove(p *place, a *loop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byLocal[p.tag] == a {
		delete(t.byLocal, p.tag)
	}
	if t.byPeer[p.peer] == a {
		delete(t.byPeer, p.peer)
	}
	for _, k := range p.addrs {
		if t.byAddr[k] == a {
			delete(t.byAddr, k)
		}
	}
	if p.admitted.IsValid() {
		t.sources.dismiss(p.admitted)
	}
}

// close refuses further associations and returns those that there are.
func (t *table) close() []*loop {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	return t.all()
}

// all returns the associations that there are.
func (t *table) all() (all []*loop) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range t.byLocal {
		all = append(all, a)
	}
	return all
}
