package tcpemu

import (
	"context"
	"time"
)

// goAway stops new connections, of either side; those that there are go on. An
// OPEN that was under way by then is answered by OPEN_FAIL with CodeAway.
func (s *session) goAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = true
}

// sayGoAway is goAway, and tells the peer.
func (s *session) sayGoAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.away {
		s.away = true
		goAway := frame{typ: typeGoAway, code: CodeAway}
		s.pushLocked(queued{msg: ctrl(0, &goAway)})
	}
}

// usable reports whether new connections can be opened.
func (s *session) usable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && !s.away
}

// unusedLimit is for how long an association is kept without a connection: far
// longer than a user of HTTP pauses, and each one costs memory and heartbeats.
const unusedLimit = 10 * time.Minute

// unused returns for how long there has been no connection.
func (s *session) unused() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) > 0 {
		return 0
	}
	return time.Since(s.used)
}

// idle waits until no connection is left and what they queued last, such as
// FIN, is the association's. It reports false when ctx ends before.
func (s *session) idle(ctx context.Context) bool {
	for {
		s.mu.Lock()
		idle := s.err != nil || len(s.conns) == 0 && s.out.idle()
		wait := s.idling.Wait()
		s.mu.Unlock()
		if idle {
			return true
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
	}
}

// close drains: no new connections, running ones may finish until ctx ends,
// then the association ends. It returns when the session's goroutines have.
//
// Invariant: the end is graceful only when no connection was left; see
// lastWords.
func (s *session) close(ctx context.Context) {
	s.sayGoAway()
	if !s.idle(ctx) || s.assoc.Shutdown(ctx) != nil {
		s.assoc.Abort("closed")
	}
	<-s.assoc.Done()
	s.running.Wait()
}

// welcomes reports whether we may open connections on an association that the
// peer made.
func (s *session) welcomes() bool {
	return s.peer.flags&helloAccepts != 0 && s.usable()
}
