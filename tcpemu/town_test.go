package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh"
)

// A town is hosts on a simulated network, each with a link to each, and the
// names that they have. It belongs into a bubble.
type town struct {
	t     *testing.T
	live  *netsim.Live
	hosts []*townHost

	mu      sync.Mutex
	names   map[string]Endpoint
	binding string        // what Verify finds for a name that has the address
	slow    time.Duration // what Verify takes
}

// A townHost is a machine of a town.
type townHost struct {
	*netsim.Host
	addrs []netip.Addr
	links []*netsim.Link
}

// isolate cuts a host off, or restores its links.
func (h *townHost) isolate(w *town, cut bool) {
	w.live.Do(func(*netsim.Net) {
		for _, l := range h.links {
			l.Cut(cut, cut)
		}
	})
}

func newTown(t *testing.T) *town {
	return &town{t: t, live: netsim.NewLive(1), names: make(map[string]Endpoint), binding: "claim"}
}

// addHost adds a host with some addresses.
func (w *town) addHost(addrs int) *townHost {
	h := &townHost{Host: w.live.AddHost()}
	for i := range addrs {
		h.addrs = append(h.addrs, netip.AddrFrom4([4]byte{198, 51, byte(i), byte(len(w.hosts) + 1)}))
	}
	w.live.Do(func(n *netsim.Net) {
		for _, o := range w.hosts {
			for _, a := range o.addrs {
				for _, b := range h.addrs {
					l := n.Join(fmt.Sprint(a, "-", b), o.Host, []netip.Addr{a}, h.Host, []netip.Addr{b}, lan, lan)
					o.links, h.links = append(o.links, l), append(h.links, l)
				}
			}
		}
	})
	w.hosts = append(w.hosts, h)
	return h
}

// register gives a name to where an endpoint is.
func (w *town) register(name string, e *sctpmh.Endpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names[name] = Endpoint{
		Name: name, Remotes: e.Addrs(), Identity: Identity{Name: name, Binding: "claim", Channel: "plain"},
		Permit: func(netip.Addr, []netip.Addr, bool) (out []netip.Addr) {
			for _, a := range e.Addrs() {
				out = append(out, a.Addr())
			}
			return out
		},
	}
}

// Resolve knows what was registered.
func (w *town) Resolve(_ context.Context, name string, _ uint16) (Targets, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.names[name]
	if !ok {
		return Targets{Reason: "no such name"}, nil
	}
	return Targets{MH: []Endpoint{e}}, nil
}

// Verify believes a claim whose name has the address, whatever the port.
func (w *town) Verify(_ context.Context, src netip.Addr, claim string, _ []netip.Addr, _ bool) (Identity, []netip.Addr, error) {
	time.Sleep(w.slow)
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.names[claim]
	if !ok || !slices.ContainsFunc(e.Remotes, func(r netip.AddrPort) bool { return r.Addr() == src }) {
		return Identity{Binding: "none"}, nil, errors.New("not its name")
	}
	return Identity{Name: claim, Binding: w.binding, Channel: "plain"}, e.Permit(src, nil, true), nil
}

// A party is a user of a host, who listens and dials under one name.
type party struct {
	w        *town
	name     string
	endpoint *sctpmh.Endpoint
	l        *Listener
	d        *Dialer
	accepted chan *Conn
	answered atomic.Int32 // questions
}

// addParty has a user of a host listen, on a port of its own, and answer.
func (w *town) addParty(h *townHost, name string) *party {
	w.t.Helper()
	p := &party{w: w, name: name, endpoint: listenOnHost(w.t, h.Host, h.addrs), accepted: make(chan *Conn, 1000)}
	var err error
	p.l, err = Listen(p.endpoint, &ListenConfig{Name: name, Resolver: w})
	must(w.t, err)
	p.d = &Dialer{Endpoint: p.endpoint, Resolver: w, Name: name, Listener: p.l}
	var serving sync.WaitGroup
	serving.Go(func() { // ends when the listener closes
		for {
			c, err := p.l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.answer(c.(*Conn)) }) // ends with the connection
		}
	})
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.d.Close(ctx)
		p.l.Shutdown(ctx)
		p.endpoint.Close()
		serving.Wait()
	})
	return p
}

// answer answers each line with the party's name.
func (p *party) answer(c *Conn) {
	p.accepted <- c
	defer c.Close()
	for b := make([]byte, 1); ; {
		if _, err := c.Read(b); err != nil {
			return
		}
		if b[0] == '\n' {
			p.answered.Add(1)
			fmt.Fprintln(c, p.name)
		}
	}
}

// dial connects to a name; who answers there must be the one of that name, or
// who.
func (p *party) dial(name string, who ...string) *Conn {
	p.w.t.Helper()
	x, err := p.d.DialContext(p.w.t.Context(), "mh", name+":7")
	if err != nil {
		p.w.t.Fatal(err)
	}
	c := x.(*Conn)
	if got, want := p.ask(c), append(who, name)[0]; got != want {
		p.w.t.Fatalf("%s dialled %s and got %s, want %s", p.name, name, got, want)
	}
	return c
}

// ask asks who is at the other end of a connection.
func (p *party) ask(c *Conn) (name string) {
	p.w.t.Helper()
	if _, err := fmt.Fprintln(c); err != nil {
		p.w.t.Fatal(err)
	}
	if _, err := fmt.Fscanln(c, &name); err != nil {
		p.w.t.Fatal(err)
	}
	return name
}

// known waits until the party knows who made a connection to it.
func (p *party) known() (*Conn, Identity) {
	p.w.t.Helper()
	c := <-p.accepted
	id, err := c.s.identity.wait(p.w.t.Context())
	must(p.w.t, err)
	return c, id
}
