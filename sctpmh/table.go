package sctpmh

import (
	"sync"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// table finds the association that a packet is for. Readers look up, loops
// add and remove. mu is a leaf: nothing is called while it is held.
type table struct {
	mu      sync.Mutex
	byLocal map[wire.Tag]*Assoc
	byPeer  map[peerKey]*Assoc // by the tag that the peer is known by, for what it reflects
	closed  bool
}

type peerKey struct {
	tag             wire.Tag
	localPort, port uint16
}

func newTable() table {
	return table{byLocal: make(map[wire.Tag]*Assoc), byPeer: make(map[peerKey]*Assoc)}
}

// lookup returns the association for a packet, nil when it has none.
func (t *table) lookup(r engine.RouteKey) *Assoc {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.byLocal[r.Tag]; a != nil {
		return a
	}
	if r.Reflected {
		return t.byPeer[peerKey{r.Tag, r.LocalPort, r.PeerPort}]
	}
	return nil
}

// add takes an association in unless its tag is taken, the table is full or
// closed.
func (t *table) add(tag wire.Tag, a *Assoc, limit int) error {
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

// peer notes the tag of an association's peer and returns the association
// that had the same one, if any.
func (t *table) peer(k peerKey, a *Assoc) (old *Assoc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old = t.byPeer[k]
	t.byPeer[k] = a
	return old
}

// samePeer returns the association with a peer tag.
func (t *table) samePeer(k peerKey) *Assoc {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byPeer[k]
}

func (t *table) remove(tag wire.Tag, k peerKey, a *Assoc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byLocal[tag] == a {
		delete(t.byLocal, tag)
	}
	if t.byPeer[k] == a {
		delete(t.byPeer, k)
	}
}

// close refuses further associations and returns those that there are.
func (t *table) close() (all []*Assoc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	for _, a := range t.byLocal {
		all = append(all, a)
	}
	return all
}
