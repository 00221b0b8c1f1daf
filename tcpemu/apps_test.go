package tcpemu_test

import (
	"testing"

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
