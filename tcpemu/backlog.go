package tcpemu

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"

	"github.com/sctpmh/mh/internal/gate"
)

const (
	// maxUnaccepted bounds connections that peers opened and nobody has taken
	// yet; further ones are refused.
	maxUnaccepted = 1024

	// maxUnacceptedPeer bounds those of one peer. One that opens more than the
	// program accepts would else have everybody refused; those that it resets
	// meanwhile count until they are taken.
	maxUnacceptedPeer = maxUnaccepted / peerShare
)

// A backlog is the connections that wait to be accepted, and the dials that may
// meet one.
type backlog struct {
	mu      sync.Mutex // before that of peers
	queue   []*Open    // for who accepts
	parked  []*Open    // that may meet a dial, once it is known who the peer is
	peers   shares     // of both
	calls   []*call
	changed gate.Signal
}

// put has a connection wait to be accepted; or it returns a call that has its
// ports, beside those that were tried; or it has it wait until it is known who
// the peer is, if that matters to a call.
func (b *backlog) put(o *Open, tried []*call) (*call, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	parks := false
	for _, k := range b.calls {
		switch {
		case !k.matches(o) || slices.Contains(tried, k):
		case o.conn.s.identified():
			return k, nil
		default:
			parks = true
		}
	}
	if len(b.queue)+len(b.parked) >= maxUnaccepted {
		return nil, fmt.Errorf("%d connections wait to be accepted: %w", maxUnaccepted, syscall.EAGAIN)
	}
	peer := sharerOf(o.From().Addr())
	if b.peers.add(peer, 1) > maxUnacceptedPeer {
		b.peers.add(peer, -1)
		return nil, fmt.Errorf("%d connections of this peer wait to be accepted: %w", maxUnacceptedPeer, syscall.EAGAIN)
	}
	if parks {
		b.parked = append(b.parked, o)
		return nil, nil
	}
	b.queue = append(b.queue, o)
	b.changed.Notify()
	return nil, nil
}

// identified reports whether it is known who the peer is.
func (s *session) identified() bool { return s.cfg.dialled || isClosed(s.identity.known) }

// take waits for a connection. It returns nil when either context ends first.
func (b *backlog) take(ctx, open context.Context) *Open {
	for {
		b.mu.Lock()
		if len(b.queue) > 0 && open.Err() == nil {
			o := b.queue[0]
			b.queue = slices.Delete(b.queue, 0, 1)
			b.peers.add(sharerOf(o.From().Addr()), -1)
			b.mu.Unlock()
			return o
		}
		changed := b.changed.Wait()
		b.mu.Unlock()
		select {
		case <-changed:
		case <-open.Done():
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// remove takes out of one of the two what fits. mu is held.
func (b *backlog) remove(from *[]*Open, fits func(*Open) bool) (out []*Open) {
	*from = slices.DeleteFunc(*from, func(o *Open) bool {
		if !fits(o) {
			return false
		}
		b.peers.add(sharerOf(o.From().Addr()), -1)
		out = append(out, o)
		return true
	})
	return out
}

// refuse empties the backlog.
func (b *backlog) refuse(code Code) {
	b.mu.Lock()
	each := func(*Open) bool { return true }
	all := append(b.remove(&b.queue, each), b.remove(&b.parked, each)...)
	b.mu.Unlock()
	for _, o := range all {
		o.Reject(code, "")
	}
}

// unpark takes out what waited to be known who the peer of a session is.
func (b *backlog) unpark(s *session) []*Open {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.remove(&b.parked, func(o *Open) bool { return o.conn.s == s })
}

// begin notes a call, and takes out what has its ports.
func (b *backlog) begin(k *call) (waiting []*Open, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.calls, func(o *call) bool { return o.from == k.from && o.to == k.to }) {
		return nil, errPortInUse(k)
	}
	b.calls = append(b.calls, k)
	return b.remove(&b.queue, k.matches), nil
}

// end forgets a call.
func (b *backlog) end(k *call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = slices.DeleteFunc(b.calls, func(o *call) bool { return o == k })
}
