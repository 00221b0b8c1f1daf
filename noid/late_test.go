package noid

import (
	"testing"
	"testing/synctest"

	"github.com/sctpmh/mh/internal/dnstest"
)

// A capability record that comes long after the addresses is not waited for,
// but can be.
func TestLateCapability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := memoryWorld(t, Config{})
		w.dns.SetFault("_mhsctp.www.example.net", dnstest.Fault{Delay: 4 * resolutionDelay})
		r := w.resolve("www.example.net")
		if len(r.MH) != 0 || r.Legacy == nil || r.Late == nil {
			t.Fatalf("resolved to %+v", r)
		}
		if sets, err := r.Late(t.Context()); len(sets) != 2 || err != nil {
			t.Errorf("late: %d hosts, %v", len(sets), err)
		}
		if n := w.dns.Asked("_mhsctp.www.example.net", 64); n != 1 {
			t.Errorf("asked %d times", n)
		}
		if r := w.resolve("legacy.example.net"); r.Late != nil {
			t.Error("that there is no record came in time")
		}
	})
}
