package tcpemu_test

import (
	"testing"
	"testing/synctest"

	"github.com/sctpmh/mh/internal/workload"
	"github.com/sctpmh/mh/tcpemu"
)

// Programs that were written for TCP see no difference. Package cuttest has
// the same done while paths are cut.
func TestApps(t *testing.T) {
	for name, load := range workload.All {
		t.Run(name, func(t *testing.T) {
			load(t, func(t *testing.T) workload.Net {
				l, d := tcpemu.Loopback(t)
				return workload.Net{Listener: l, Dial: d.DialContext}
			})
		})
	}
}

// A second after its last answer net/http closes a connection over HTTP/2, and
// what the client sends from then on resets it, as it would over TCP. Answers
// are whole all the same where it takes longer until they have arrived.
func TestHTTP2ShutdownOverASlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		workload.HTTP2Shutdown(t, func(t *testing.T) workload.Net {
			l, d := tcpemu.Slow(t, 50_000)
			return workload.Net{Listener: l, Dial: d.DialContext}
		})
	})
}
