package tcpemu

import "testing"

// Loopback is newWorld's listener and dialer, for tests that see this package
// from outside.
func Loopback(t testing.TB) (*Listener, *Dialer) {
	w := newWorld(t, names{})
	return w.l, w.dialer
}
