// Package mhdial joins names to connections: it gives package tcpemu, which
// declares what it needs of names, what package noid knows of them.
package mhdial

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/tcpemu"
)

// A Resolver is noid's as tcpemu wants it.
type Resolver struct {
	Noid *noid.Resolver

	// Local returns the addresses that packets may leave from; it decides
	// which of a host's addresses are tried first.
	Local func() []netip.Addr

	// Strange has the host behind every address looked for, not only behind
	// those that an answer had.
	Strange bool

	// Relative completes names as people of this host type them.
	Relative bool
}

// locals returns the addresses that packets may leave from with what the system
// says of them.
func (r *Resolver) locals() (out []noid.Local) {
	states := systemStates.current(time.Now())
	for _, a := range r.Local() {
		l := states[a] // without: nothing is against it
		l.Addr = a
		out = append(out, l)
	}
	return out
}

// Resolve finds the hosts behind a name that speak mh.
func (r *Resolver) Resolve(ctx context.Context, name string, port uint16) (tcpemu.Targets, error) {
	return r.targets(ctx, name, port, r.Noid.Resolve, r.Noid.ResolveRelative)
}

// Begin is Resolve that returns as soon as a dial can begin.
func (r *Resolver) Begin(ctx context.Context, name string, port uint16) (tcpemu.Targets, error) {
	return r.targets(ctx, name, port, r.Noid.Begin, r.Noid.BeginRelative)
}

type resolve func(ctx context.Context, name string, port uint16) (*noid.Result, error)

func (r *Resolver) targets(ctx context.Context, name string, port uint16, absolute, relative resolve) (t tcpemu.Targets, err error) {
	how := absolute
	if r.Relative {
		how = relative
	}
	if a, err := netip.ParseAddr(name); err == nil && r.Strange {
		how = func(ctx context.Context, _ string, _ uint16) (*noid.Result, error) {
			return r.Noid.ResolveAddr(ctx, a), nil
		}
	}
	res, err := how(ctx, name, port)
	if err != nil {
		return t, err
	}
	t.MH, t.Hints = r.endpoints(res.MH), r.hints(res.Hints)
	if res.Late != nil {
		t.Late = func(ctx context.Context) ([]tcpemu.Endpoint, error) {
			sets, err := res.Late(ctx)
			return r.endpoints(sets), err
		}
	}
	t.Legacy = r.legacy(res.Legacy, port)
	if res.More != nil {
		t.More = func(ctx context.Context) ([]netip.AddrPort, error) {
			s, err := res.More(ctx)
			return r.legacy(s, port), err
		}
	}
	if len(t.MH) == 0 {
		t.Reason = "it has no capability record"
		if res.Partial != nil {
			t.Reason = res.Partial.Error()
		}
	}
	t.NoFallback = res.NoFallback
	return t, nil
}

// legacy returns where plain TCP to a set goes.
func (r *Resolver) legacy(s *noid.Set, port uint16) (out []netip.AddrPort) {
	if s == nil {
		return nil
	}
	for _, l := range r.Noid.Order(s.Name, s.Locators, r.locals()) {
		out = append(out, netip.AddrPortFrom(l.Addr, port))
	}
	return out
}

// hints are hosts at addresses that are not known to be theirs: an association
// there is nobody's but the dial's that makes it, and has no other address and no
// name before the answers have come.
func (r *Resolver) hints(sets []*noid.Set) []tcpemu.Endpoint {
	out := r.endpoints(sets)
	for i := range out {
		out[i].Name, out[i].Identity, out[i].Permit = "", tcpemu.Identity{}, nil
	}
	return out
}

func (r *Resolver) endpoints(sets []*noid.Set) (out []tcpemu.Endpoint) {
	for _, s := range sets {
		out = append(out, r.endpoint(s))
	}
	return out
}

// endpoint is one host of noid's as tcpemu wants it.
func (r *Resolver) endpoint(s *noid.Set) tcpemu.Endpoint {
	e := tcpemu.Endpoint{Name: s.Name.String(), Identity: identity(s)}
	for _, l := range r.Noid.Order(s.Name, s.Locators, r.locals()) {
		e.Remotes = append(e.Remotes, netip.AddrPortFrom(l.Addr, s.Cap.UDPPort))
	}
	e.Permit = func(h netip.Addr, listed []netip.Addr, silent bool) []netip.Addr {
		return permitted(s, h, listed, silent)
	}
	return e
}

// Verify finds out who is at an address.
func (r *Resolver) Verify(ctx context.Context, src netip.Addr, claim string, listed []netip.Addr, silent bool) (tcpemu.Identity, []netip.Addr, error) {
	s, err := r.Noid.Verify(ctx, src, claim)
	if s == nil {
		return tcpemu.Identity{Binding: noid.BindingNone.String()}, nil, fmt.Errorf("verify %v: %w", src, err)
	}
	return identity(s), permitted(s, src, listed, silent), err
}

// Watch follows the name of an association's host.
func (r *Resolver) Watch(ctx context.Context, w tcpemu.Watched) error {
	name, err := noid.ParseName(w.Host.Name)
	if err != nil {
		return nil // the resolver did not find it, so it does not lose it
	}
	binding, host := noid.ParseBinding(w.Host.Binding), w.Dialled || r.Noid.IsHost(ctx, name)
	h, peer := w.Peer.Handshake.Addr(), noid.PeerView{Listed: w.Peer.Listed, Silent: w.Peer.Silent}
	changes, end := r.Noid.Watch(name, h)
	defer end()
	for {
		moved := w.Changed()
		for _, p := range w.Paths() {
			if p.Confirmed {
				r.Noid.Reached(name, p.Remote.Addr(), p.SRTT)
			}
		}
		select {
		case c := <-changes:
			if c.Orphaned {
				return fmt.Errorf("%s: its records have had no address for too long", name)
			}
			var set []netip.AddrPort
			for _, l := range c.Set.As(binding, host).Keep(h, peer) {
				set = append(set, netip.AddrPortFrom(l.Addr, 0)) // the port of the handshake
			}
			w.Set(set)
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

func permitted(s *noid.Set, h netip.Addr, listed []netip.Addr, silent bool) (out []netip.Addr) {
	for _, l := range s.Permit(h, noid.PeerView{Listed: listed, Silent: silent}) {
		out = append(out, l.Addr)
	}
	return out
}

func identity(s *noid.Set) tcpemu.Identity {
	return tcpemu.Identity{Name: s.Name.String(), Binding: s.Binding.String(), Channel: s.Channel.String()}
}
