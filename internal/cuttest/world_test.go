package cuttest

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/internal/workload"
	"github.com/sctpmh/mh/sctpmh"
	"github.com/sctpmh/mh/tcpemu"
)

// rate is that of each link, in octets a second: 40 Mbit/s. What is faster is
// over before anything is cut.
const rate = 5_000_000

// A world is the network, and which associations there were.
type world struct {
	*lab.Lab

	mu     sync.Mutex              // guards what follows
	assocs map[uint64]*tcpemu.Conn // the first connection of each
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := lab.New("", rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return &world{Lab: l, assocs: make(map[uint64]*tcpemu.Conn)}
}

// open has the site listen and the laptop dial.
func (w *world) open(t *testing.T) workload.Net {
	t.Helper()
	server, client := endpoint(t, w.Site), endpoint(t, w.Laptop)
	names := hosts{server: server.Addrs(), client: w.Laptop.Addrs()}
	l, err := tcpemu.Listen(server, &tcpemu.ListenConfig{Name: lab.SiteName, Resolver: names})
	if err != nil {
		t.Fatal(err)
	}
	d := &tcpemu.Dialer{Endpoint: client, Resolver: names, Name: lab.LaptopName}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d.Close(ctx)
		l.Close()
	})
	return workload.Net{Listener: l, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			w.note(c.(*tcpemu.Conn))
		}
		return c, err
	}}
}

// endpoint opens one on all addresses of a host.
func endpoint(t *testing.T, h *testnet.Host) (e *sctpmh.Endpoint) {
	t.Helper()
	var locals []netip.AddrPort
	for _, a := range h.Addrs() {
		locals = append(locals, netip.AddrPortFrom(a, 0))
	}
	err := h.Do(func() (err error) {
		e, err = sctpmh.Listen(locals, &sctpmh.Config{Adaptation: tcpemu.AdaptationCode})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// hosts knows who has which addresses.
type hosts struct {
	server []netip.AddrPort
	client []netip.Addr
}

// Resolve returns the site, whatever it is called.
func (h hosts) Resolve(context.Context, string, uint16) (tcpemu.Targets, error) {
	all := func(netip.Addr, []netip.Addr, bool) []netip.Addr { return addrs(h.server) }
	return tcpemu.Targets{MH: []tcpemu.Endpoint{{
		Name: lab.SiteName, Remotes: h.server, Permit: all,
		Identity: tcpemu.Identity{Name: lab.SiteName, Binding: "static"},
	}}}, nil
}

// Verify believes what the laptop claims.
func (h hosts) Verify(_ context.Context, _ netip.Addr, claim string, _ []netip.Addr, _ bool) (tcpemu.Identity, []netip.Addr, error) {
	return tcpemu.Identity{Name: claim, Binding: "static"}, h.client, nil
}

func addrs(all []netip.AddrPort) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, a.Addr())
	}
	return out
}

// note remembers the first connection of an association.
func (w *world) note(c *tcpemu.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.assocs[c.AssocID()] == nil {
		w.assocs[c.AssocID()] = c
	}
}

// failovers counts those that the laptop's associations have had.
func (w *world) failovers() (n int, worst time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.assocs {
		for _, f := range c.Failovers() {
			n++
			worst = max(worst, f.Stall)
		}
	}
	return n, worst
}
