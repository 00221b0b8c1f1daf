package tcpemu

import (
	"context"
	"net/netip"
	"slices"
	"sync"
)

// An Identity is who the other end was found to be. It never claims more than
// was proved.
type Identity struct {
	Name    string // a DNS name, or "" when none was proved
	Binding string // how the name was tied to the address, as package noid has it: "none", "claim", "reverse", "static", ...
	Channel string // how trustworthy the way to that knowledge was: "plain", "encrypted", "ad", "validated", "local"
	Secured bool   // the association is sealed
}

// How names and the ways to their records are rated, weakest first, in the
// words of package noid. What is not listed is weaker than all.
var (
	bindings = []string{"none", "hint", "claim", "reverse", "reverse-all", "tls", "static"}
	channels = []string{"plain", "encrypted", "ad", "validated", "local"}
)

// covers reports whether i was proved at least as well as o, which has the same
// name.
func (i Identity) covers(o Identity) bool {
	return i.Name == o.Name && (i.Secured || !o.Secured) &&
		slices.Index(bindings, i.Binding) >= slices.Index(bindings, o.Binding) &&
		slices.Index(channels, i.Channel) >= slices.Index(channels, o.Channel)
}

// Identity waits until it is known who the other end is. A peer that could not
// be verified is an Identity without a name. The error is ctx's, or why the
// association ended before.
func (c *Conn) Identity(ctx context.Context) (Identity, error) { return c.s.identity.wait(ctx) }

// identity is an Identity that becomes known later.
type identity struct {
	known chan struct{}
	once  sync.Once
	id    Identity
	err   error
}

func (i *identity) init() { i.known = make(chan struct{}) }

func (i *identity) resolve(id Identity, err error) {
	i.once.Do(func() {
		i.id, i.err = id, err
		close(i.known)
	})
}

func (i *identity) wait(ctx context.Context) (Identity, error) {
	select {
	case <-i.known:
		return i.id, i.err
	case <-ctx.Done():
		return Identity{}, ctx.Err()
	}
}

// now returns what is known at this moment.
func (i *identity) now() Identity {
	select {
	case <-i.known:
		return i.id
	default:
		return Identity{Binding: "none"}
	}
}

// A Resolver is what this package needs to know of names. Package noid knows
// it; the program joins the two. Methods are called from any goroutine, and end
// when ctx does.
type Resolver interface {
	// Resolve returns the hosts over which a TCP port at a name, or an IP
	// address, can be reached, best first, or why there are none. An error is
	// for when nothing is known, and then nothing is dialled.
	Resolve(ctx context.Context, name string, port uint16) (Targets, error)

	// Verify finds out who src is, which claims to be claim (which may be
	// empty), and which further addresses of its may be used, given those
	// that it listed; silent says that it listed none. What it returns beside
	// an error, which is logged, counts as well.
	Verify(ctx context.Context, src netip.Addr, claim string, listed []netip.Addr, silent bool) (Identity, []netip.Addr, error)
}

// A Beginner is a Resolver that need not know all of a name for a dial to begin.
type Beginner interface {
	// Begin is Resolve that returns as soon as there is something to try. Hints,
	// Late and More are the rest. What must not be tried before the hosts are
	// known (NoFallback) is not among it before.
	Begin(ctx context.Context, name string, port uint16) (Targets, error)
}

// Targets is the answer to a name.
type Targets struct {
	MH     []Endpoint
	Legacy []netip.AddrPort // where plain TCP would go
	Reason string           // why MH is empty

	// Late waits for what MH lacks because its record came long after the
	// addresses. Nil: the record is here, or there is none. It may be called
	// until the context of Resolve ends.
	Late func(context.Context) ([]Endpoint, error)

	// Hints are where the hosts that Late waits for may be. A dial that has no
	// others shakes hands there, and uses what comes of that if Late agrees.
	Hints []Endpoint

	// More waits for addresses of Legacy that were not known before, and returns
	// all that are by then, none when there will be no further ones. Nil: there
	// will not. It may be called until the context of Begin ends.
	More func(context.Context) ([]netip.AddrPort, error)

	// NoFallback says that Legacy must not take the place of mh: that could be
	// what somebody wants who suppresses packets.
	NoFallback bool
}

// An Endpoint is one host that speaks mh, and what is known of it.
type Endpoint struct {
	Name     string           // its own name, which keys the association; "": it serves one connection
	Remotes  []netip.AddrPort // addresses and UDP ports to begin with
	Identity Identity         // what is known of it before it has answered

	// Permit returns the addresses beside h, which completed the handshake,
	// that may be used, given those that the host listed; silent says that it
	// listed none. Nil: none.
	Permit func(h netip.Addr, listed []netip.Addr, silent bool) []netip.Addr
}
