package sctpmh

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// TestSimulatedNetwork moves octets between endpoints on simulated hosts, over
// a link that marks packets before its queue is full and becomes narrower: what
// the marks of packets say must pass through the sockets, both ways.
func TestSimulatedNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			n        = netsim.NewLive(1)
			from, to = n.AddHost(), n.AddHost()
			way      = netsim.Config{Delay: 10 * time.Millisecond, Rate: 1_250_000, Queue: 1 << 20, Mark: 20_000, MTU: 1400}
			link     *netsim.Link
		)
		n.Do(func(n *netsim.Net) {
			link = n.Join("link", from, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, to, []netip.Addr{netip.MustParseAddr("192.0.2.2")}, way, way)
		})
		e, f := listen(t, &Config{Socket: from.Listen}, "192.0.2.1:0"), listen(t, &Config{Socket: to.Listen}, "192.0.2.2:0")
		a, b := connect(t, e, f, f.Addrs())
		transfer(t, a, b, 4<<20, 1200)
		n.Do(func(n *netsim.Net) {
			if c := n.Counts(); c.Marked == 0 || c.Queued > 0 {
				t.Errorf("%d packets were marked and %d did not fit the queue: marks are not seen", c.Marked, c.Queued)
			}
		})
		if p := a.Paths(); len(p) != 1 || p[0].MTU <= 1280 || p[0].MTU > 1400 {
			t.Errorf("the path carries 1,400 octets: %+v", p)
		}
		// What was cut for a wide link leaves over a narrow one in pieces.
		time.AfterFunc(500*time.Millisecond, func() { n.Do(func(*netsim.Net) { link.SetMTU(1300) }) })
		transfer(t, a, b, 4<<20, 1330)
		n.Do(func(n *netsim.Net) {
			if c := n.Counts(); c.TooBig == 0 || c.Fragmented == 0 {
				t.Errorf("%d packets were too big, %d were cut: the link became narrow too late", c.TooBig, c.Fragmented)
			}
		})
	})
}
