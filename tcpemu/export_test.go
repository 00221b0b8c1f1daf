package tcpemu

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// Loopback is newWorld's listener and dialer, for tests that see this package
// from outside.
func Loopback(t testing.TB) (*Listener, *Dialer) {
	w := newWorld(t, names{})
	return w.l, w.dialer
}

// Slow is the same over links that carry rate octets a second, for bubbles.
func Slow(t testing.TB, rate int) (*Listener, *Dialer) {
	w := newSimWorld(t, 1, netsim.Config{Delay: 10 * time.Millisecond, Rate: rate, Queue: 64 << 10})
	return w.l, w.dialer
}
