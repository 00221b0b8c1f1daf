package tcpemu

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"syscall"

	"github.com/sctpmh/mh/sctpmh"
)

// A Watcher is a Resolver that also knows what becomes of hosts while there
// are associations with them.
type Watcher interface {
	// Watch follows the host of an association until ctx ends, and says with
	// w.Set which addresses it has by now. An error, before that, says that there
	// is no such host any more: the association is ended.
	Watch(ctx context.Context, w Watched) error
}

// Watched is an association to who follows the name of its peer.
type Watched struct {
	Host    Identity
	Dialled bool // Host is the name of an Endpoint, so of one host and no other
	Peer    sctpmh.Peer
	Paths   func() []sctpmh.PathInfo
	Changed func() <-chan struct{} // is closed when Paths returns something else
	Set     func([]netip.AddrPort) // see sctpmh.Assoc.SetCandidates
}

// watch has a host followed if somebody can and there is a name to follow. The
// goroutines are counted in running, which the caller is counted in too.
func (s *session) watch(running *sync.WaitGroup, r Resolver, host Identity) {
	w, ok := r.(Watcher)
	if !ok || host.Name == "" {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { // ends with the association
		<-s.assoc.Done()
		cancel()
	})
	running.Go(func() { // ends with the association
		err := w.Watch(ctx, Watched{
			Host: host, Dialled: s.cfg.dialled, Peer: s.assoc.Peer(),
			Paths: s.assoc.Paths, Changed: s.assoc.PathsChanged, Set: s.assoc.SetCandidates,
		})
		if err != nil && ctx.Err() == nil {
			s.cfg.log.Warn("an association ends because its peer's name means no host any more", "peer", host.Name, "error", err)
			s.end(fmt.Errorf("%w: %w", syscall.ECONNRESET, err))
			s.assoc.Abort("the name of this host has no address any more")
		}
	})
}
