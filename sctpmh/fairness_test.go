package sctpmh

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// An octet of one stream overtakes the bulk of another that waits to be sent:
// what arrives before it is what was under way already. That holds too while the
// path is dead, and nothing is taken from the bulk any more.
func TestEchoOvertakesBulk(t *testing.T) {
	const (
		message  = 1200
		underWay = 60 // messages: a window before the link was cut
	)
	for name, outage := range map[string]time.Duration{"SlowPath": 0, "Outage": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var (
					n        = netsim.NewLive(1)
					from, to = n.AddHost(), n.AddHost()
					slow     = netsim.Config{Delay: 10 * time.Millisecond, Rate: 125_000, Queue: 16_000}
					link     *netsim.Link
				)
				n.Do(func(n *netsim.Net) {
					link = n.Join("link", from, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, to, []netip.Addr{netip.MustParseAddr("192.0.2.2")}, slow, slow)
				})
				e, f := listen(t, &Config{Socket: from.Listen}, "192.0.2.1:0"), listen(t, &Config{Socket: to.Listen}, "192.0.2.2:0")
				a, b := connect(t, e, f, f.Addrs())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { // ends with ctx
					for a.Send(ctx, Message{Stream: 1, Data: make([]byte, message)}) == nil {
					}
				}()
				recv := func() Message {
					m, err := b.Recv(ctx)
					if err != nil {
						t.Fatal(err)
					}
					return m
				}
				for range 300 {
					recv()
				}
				if outage > 0 {
					n.Do(func(*netsim.Net) { link.Cut(true, true) })
					time.Sleep(outage / 2)
				}
				if err := a.Send(ctx, Message{Stream: 2, Data: []byte("x")}); err != nil {
					t.Fatal(err)
				}
				if outage > 0 {
					time.Sleep(outage / 2)
					n.Do(func(*netsim.Net) { link.Cut(false, false) })
				}
				before := 0
				for recv().Stream != 2 {
					before++
				}
				if before > underWay {
					t.Errorf("%d messages of the bulk arrive before it", before)
				}
			})
		})
	}
}
