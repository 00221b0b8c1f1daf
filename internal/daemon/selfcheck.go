package daemon

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/sctpmh/mh/noid"
)

// selfCheckTime is how long the question about this host itself may take.
const selfCheckTime = 10 * time.Second

// A selfCheck looks once, beside everything else, whether the DNS has this
// host as it is. When it has not, all works but the second path, and the peer's
// log says why, not this one's.
type selfCheck struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// start begins to look, for a host that has a name.
func (c *selfCheck) start(h *Host) {
	own, err := noid.ParseName(string(h.cfg.Name))
	if err != nil || h.Names == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), selfCheckTime)
	c.cancel = cancel
	c.wg.Go(func() { // ends with ctx at the latest
		var local []netip.Addr
		for _, l := range h.Endpoint.Addrs() {
			if l.Addr().IsGlobalUnicast() {
				local = append(local, l.Addr())
			}
		}
		report := h.Names.Noid.SelfCheck(ctx, own, local)
		if problem := report.Problem(); problem != "" && ctx.Err() == nil {
			h.Log.Warn("peers will not use all paths to this host", "why", problem)
		}
	})
}

// stop returns when nothing is looked at any more.
func (c *selfCheck) stop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.wg.Wait()
}
