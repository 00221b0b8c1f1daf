package cuttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// What net.Conn promises holds while the path in use is dark: at once, in the
// first packets, and a little later.
func TestConnWhileItsPathIsCut(t *testing.T) {
	for _, after := range []time.Duration{0, 2 * time.Millisecond, 50 * time.Millisecond} {
		t.Run(fmt.Sprint("after ", after), func(t *testing.T) {
			t.Parallel()
			p := &pipes{t: t, world: newWorld(t), after: after}
			nettest.TestConn(t, p.make)
			n, worst := p.failovers()
			t.Logf("%d failovers, the longest stall %v", n, worst)
			if n < 4 { // so many of the tests cannot end before data has arrived
				t.Error("the cuts made no difference: hardly an association moved to another path")
			}
		})
	}
}

// pipes makes connections whose path is cut.
type pipes struct {
	*world
	t     *testing.T
	after time.Duration // from the pipe to the cut
}

// make is a nettest.MakePipe, each over an association of its own.
func (p *pipes) make() (c1, c2 net.Conn, stop func(), err error) {
	if p.t.Failed() {
		return nil, nil, nil, errors.New("a test before has failed") // they would all wait for the same
	}
	n := p.open(p.t)
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	accepted := make(chan net.Conn, 1)
	go func() { // ends with one connection, or with the listener
		c, _ := n.Listener.Accept() // then the dial fails too
		accepted <- c
	}()
	if c1, err = n.Dial(ctx, "tcp", net.JoinHostPort(lab.SiteName, "80")); err != nil {
		return nil, nil, nil, err
	}
	c2 = <-accepted
	here, there := c1.(*tcpemu.Conn), c2.(*tcpemu.Conn)
	if err := errors.Join(p.bothUp(ctx, here, p.Laptop), p.bothUp(ctx, there, p.Site)); err != nil {
		return nil, nil, nil, err
	}
	lift := p.cut(p.inUse(here))
	return c1, c2, func() { c1.Close(); c2.Close(); lift() }, nil
}

// bothUp waits until a connection's end can use both providers.
func (p *pipes) bothUp(ctx context.Context, c *tcpemu.Conn, h *testnet.Host) error {
	for {
		changed := c.PathsChanged()
		var up [2]bool
		for _, path := range c.Paths() {
			if path.State == sctpmh.Active {
				up[provider(h, path)] = true
			}
		}
		if up[0] && up[1] {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s cannot use both providers: %+v", h.Name, c.Paths())
		}
	}
}

// provider returns over which provider a path leaves a host.
func provider(h *testnet.Host, path sctpmh.PathInfo) int {
	return slices.Index(h.Addrs(), path.Local.Addr()) / 2 // each has given it two addresses
}

// inUse returns the provider over which the laptop sends.
func (p *pipes) inUse(c *tcpemu.Conn) *testnet.ISP {
	paths := c.Paths()
	i := slices.IndexFunc(paths, func(path sctpmh.PathInfo) bool { return path.InUse })
	return p.ISP[provider(p.Laptop, paths[i])]
}

// cut cuts a provider when it is time and restores it half a second later, or
// when lift is called, which returns when that is done.
func (p *pipes) cut(isp *testnet.ISP) (lift func()) {
	ctx, cancel := context.WithCancel(context.Background())
	dark := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { // ends with ctx, or half a second later
		sleep(ctx, p.after)
		if err := isp.Cut(); err != nil {
			p.t.Error(err)
		}
		close(dark)
		sleep(ctx, 500*time.Millisecond)
		if err := isp.Restore(); err != nil {
			p.t.Error(err)
		}
	})
	if p.after == 0 {
		<-dark // before anything is sent
	}
	return func() { cancel(); running.Wait() }
}
