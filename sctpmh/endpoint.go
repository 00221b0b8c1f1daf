package sctpmh

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// An Endpoint is the local end of associations: an SCTP port on some local
// addresses.
type Endpoint struct {
	// Set once.
	cfg   Config
	stack stack

	backlog chan *Assoc    // made by peers, not yet accepted
	closing chan struct{}  // closed when Close begins
	once    sync.Once      // for Close
	running sync.WaitGroup // every goroutine of the endpoint and its associations
}

// A stack is what an endpoint's associations run on: this package's own engine
// or the kernel's SCTP. It puts associations that peers make into the backlog.
type stack interface {
	// dial makes an association; see Endpoint.DialEarly.
	dial(ctx context.Context, remote []netip.AddrPort, early func(*Assoc)) (*Assoc, error)

	// locals returns the bound addresses.
	locals() []netip.AddrPort

	// addLocal and removeLocal change them; see Endpoint.AddLocal.
	addLocal(netip.AddrPort) error
	removeLocal(netip.Addr) error

	// close ends the associations and all that waits; it is called once, after
	// the endpoint's closing is closed.
	close()
}

// Listen binds the local addresses and returns an endpoint that dials and
// accepts. Each address becomes the source of its own paths and must be a
// concrete one. With port 0 a UDP port that is free on all of them is taken.
// Errors name the address. A host whose addresses change while it runs says so
// with AddLocal and RemoveLocal; those that stop or start to lead out are noticed
// without.
func Listen(local []netip.AddrPort, cfg *Config) (*Endpoint, error) {
	if len(local) == 0 {
		return nil, errors.New("listen: no local address: name one, or bring a link up")
	}
	local = slices.Clone(local)
	for i, l := range local {
		if !l.Addr().IsValid() || l.Addr().IsUnspecified() {
			return nil, fmt.Errorf("listen on %v: a path needs a concrete local address", l)
		}
		local[i] = netip.AddrPortFrom(l.Addr().Unmap(), l.Port())
	}
	e := &Endpoint{
		cfg:     cfg.withDefaults(),
		backlog: make(chan *Assoc, backlogLimit),
		closing: make(chan struct{}),
	}
	if err := e.listen(local); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Endpoint) listen(local []netip.AddrPort) (err error) {
	if e.cfg.Backend == Kernel {
		e.stack, err = newKernelStack(e, local)
	} else {
		e.stack, err = newUserStack(e, local)
	}
	return err
}

// Addrs returns the addresses that are bound now. Their port is that of UDP, 0
// without.
func (e *Endpoint) Addrs() []netip.AddrPort { return e.stack.locals() }

// Dial makes an association with the endpoint behind the remote addresses,
// which are tried 250 ms apart, each with the local address that has least in
// common with those before; the first that answers is used. It returns when the
// handshake is complete or has failed, or when ctx ends. After some seconds of
// silence it fails, unless ctx leaves time for the two further attempts that an
// address gets, after half a minute and after another minute.
// The error says which addresses were tried.
func (e *Endpoint) Dial(ctx context.Context, remote []netip.AddrPort) (*Assoc, error) {
	return e.DialEarly(ctx, remote, nil)
}

// DialEarly is Dial for who has something to say at once. It calls early with the
// association before the peer has answered. What early sends leaves with the third
// packet of the handshake, as far as it fits, so that the answer is there two round
// trips after the dial. Peer tells until then what is asked for; Send and TrySend
// are the methods to be used.
//
// It goes to a peer only that announces the same Adaptation and can take it;
// otherwise the dial fails. Nor is it given to two associations, but for messages
// that say so ([Message] Repeats): when the peer falls silent after others have
// left, the dial fails even if there are other addresses. The peer may have acted
// upon them then.
//
// Over the kernel early is called when the handshake is complete.
func (e *Endpoint) DialEarly(ctx context.Context, remote []netip.AddrPort, early func(*Assoc)) (*Assoc, error) {
	unmapped := make([]netip.AddrPort, len(remote))
	for i, r := range remote {
		unmapped[i] = netip.AddrPortFrom(r.Addr().Unmap(), r.Port())
	}
	return e.stack.dial(ctx, unmapped, early)
}

// Accept waits for an association that a peer made. Its error is ErrClosed
// after Close.
func (e *Endpoint) Accept(ctx context.Context) (*Assoc, error) {
	select {
	case a := <-e.backlog:
		return a, nil
	case <-e.closing:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close aborts the associations that are left and closes the sockets. It
// returns when no goroutine of the endpoint is left.
func (e *Endpoint) Close() error {
	e.once.Do(func() {
		close(e.closing)
		e.stack.close()
	})
	e.running.Wait()
	return nil
}
