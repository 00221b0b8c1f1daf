package daemon

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sctpmh/mh/internal/splice"
	"github.com/sctpmh/mh/tcpemu"
)

// A Stream is one connection through a daemon, for its line in the log.
type Stream struct {
	Peer      string // the client, or the peer's name or address
	Target    string
	Transport string // "mh" or "tcp"
	Reason    string // why the transport is not mh
}

// Streams runs connections and waits for them at the end.
type Streams struct {
	Log  *slog.Logger
	last atomic.Uint64

	mu     sync.Mutex // leaf
	cancel map[uint64]context.CancelFunc
	idle   chan struct{} // closed when none runs any more; nil: nobody waits
	cut    bool          // Drain waits no longer: what begins ends at once
}

// counted is a connection that knows what it went through.
type counted interface {
	Stats() tcpemu.ConnStats
}

// Run joins two connections until both directions have ended, and logs the
// one line.
func (s *Streams) Run(st Stream, a, b net.Conn) {
	id := s.last.Add(1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	if s.cancel == nil {
		s.cancel = make(map[uint64]context.CancelFunc)
	}
	s.cancel[id] = cancel
	if s.cut {
		cancel()
	}
	s.mu.Unlock()
	defer s.ended(id)
	if near, ok := a.(*tcpemu.Conn); ok {
		if far, ok := b.(*tcpemu.Conn); ok {
			tcpemu.RelayProbes(near, far)
		}
	}
	start := time.Now()
	r := splice.Run(ctx, a, b)
	attrs := []any{
		"id", id, "peer", st.Peer, "target", st.Target, "transport", st.Transport,
		"up_bytes", r.Up, "down_bytes", r.Down, "duration_ms", time.Since(start).Milliseconds(),
	}
	if st.Reason != "" {
		attrs = append(attrs, "reason", st.Reason)
	}
	for _, c := range []net.Conn{a, b} {
		if c, ok := c.(counted); ok {
			s := c.Stats()
			attrs = append(attrs, "failovers", s.Failovers, "worst_stall_ms", float64(s.WorstStall.Microseconds())/1000)
		}
	}
	if r.Err != nil {
		attrs = append(attrs, "error", r.Err.Error())
	}
	s.Log.Info("stream finished", attrs...)
}

func (s *Streams) ended(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cancel, id)
	if len(s.cancel) == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
}

// Drain waits for the running streams, at most for limit; then it cuts them
// off. Those that begin meanwhile count as running.
func (s *Streams) Drain(limit time.Duration) {
	s.mu.Lock()
	if len(s.cancel) == 0 {
		s.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	s.idle = idle
	s.mu.Unlock()
	select {
	case <-idle:
		return
	case <-time.After(limit):
	}
	s.mu.Lock()
	s.cut = true
	for _, cancel := range s.cancel {
		cancel()
	}
	s.mu.Unlock()
	<-idle
}
