package tcpemu

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// refusalGrace is how long a race goes on once each destination has refused a
// connection. The refusal may be of a network that lets nobody out by one
// uplink, so that the others get their chance, but not the minutes that one
// takes on which packets vanish.
const refusalGrace = 2 * attemptDelay

// refusals ends attempts over TCP to destinations that have all refused. One
// over an association has nothing to do with them: a host that speaks mh need
// not serve TCP.
type refusals struct {
	ctx context.Context // of the attempts
	end context.CancelFunc

	mu   sync.Mutex // leaf
	left map[netip.AddrPort]struct{}
}

// watchRefusals begins with all destinations; end is to be called at last.
func watchRefusals(ctx context.Context, to []netip.AddrPort) *refusals {
	r := &refusals{left: make(map[netip.AddrPort]struct{})}
	r.ctx, r.end = context.WithCancel(ctx)
	for _, d := range to {
		r.left[d] = struct{}{}
	}
	return r
}

// note takes in how an attempt to a destination ended.
func (r *refusals) note(to netip.AddrPort, err error) {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.left)
	if delete(r.left, to); before > 0 && len(r.left) == 0 {
		time.AfterFunc(refusalGrace, r.end)
	}
}
