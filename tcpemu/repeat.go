package tcpemu

import (
	"fmt"
	"syscall"
	"time"
)

// repeatTime is how long the dialler of a session has to show that it is there
// when its HELLO comes a second time: as long as it waited itself before it began
// anew.
const repeatTime = 3 * time.Second

// settle ends one of two sessions that began with the same HELLO. Its dialler has
// said it twice and knows of one of the two associations, which may be either:
// COOKIE ECHO can be overtaken by those that were sent later. The former stays if
// its dialler answers, so that who overheard a nonce ends nothing that lives; the
// latter does if only its dialler answers.
func (l *Listener) settle(former, latter *session) {
	first, second := make(chan struct{}), make(chan struct{})
	defer former.ping(0, false, func() { close(first) })()
	defer latter.ping(0, false, func() { close(second) })()
	limit := time.NewTimer(repeatTime)
	defer limit.Stop()
	select {
	case <-first:
		l.pool.greet(former, former.peerNonce())
		latter.repeated()
	case <-limit.C:
		if isClosed(second) {
			former.repeated()
		}
	case <-former.assoc.Done():
	case <-latter.assoc.Done():
	}
}

// repeated ends a session whose dialler has said the same over another
// association, and is there.
func (s *session) repeated() {
	const why = "its dialler is on another association"
	s.end(fmt.Errorf("%w: %s", syscall.ECONNRESET, why))
	s.assoc.Abort(why)
}

// peerNonce is that of the peer's HELLO, 0 before.
func (s *session) peerNonce() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peer.nonce
}
