// Package gate has a condition variable that a select can wait for.
package gate

// A Signal tells waiters that something changed. It belongs to a mutex of the
// user's: both methods are called with it held. The zero Signal is ready.
//
//	mu.Lock()
//	for !ready() {
//		changed := s.Wait()
//		mu.Unlock()
//		select {
//		case <-changed:
//		case <-ctx.Done():
//			return ctx.Err()
//		}
//		mu.Lock()
//	}
type Signal struct {
	changed chan struct{} // nil while nobody waits
}

// Wait returns a channel that the next Notify closes.
func (s *Signal) Wait() <-chan struct{} {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Notify wakes all who wait.
func (s *Signal) Notify() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}
