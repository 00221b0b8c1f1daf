package tcpemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/sctpmh/mh/sctpmh"
)

// A Dialer opens connections. Those to one host share an association, which
// is made on first use. Methods may be called from any goroutine; fields are
// not to be changed after the first dial.
type Dialer struct {
	// Endpoint is the local end, which announces AdaptationCode.
	Endpoint *sctpmh.Endpoint

	// Resolver turns names into hosts that speak mh. Nil: only IP literals
	// with the port of the peer's endpoint in DefaultUDPPort can be dialled.
	Resolver Resolver

	// Name is the own name, claimed towards peers that may verify it. It is
	// sent in clear.
	Name string

	// Via names a gateway that every connection goes through: it is asked to
	// reach the target.
	Via string

	// Fallback connects where mh does not, when it is asked for one of TCP's
	// networks and not Via a gateway. Nil: nothing does.
	Fallback *Fallback

	// Hops counts the gateways that a connection has passed already; a
	// gateway that dials on sets it to one more than it was asked with.
	Hops uint8

	// Windows bounds what peers may send to readers that do not read. Nil: those
	// of the process.
	Windows *Windows

	// Logger gets breaches of protocol. Nil: none.
	Logger *slog.Logger

	// Policy says which connections share an association. Default Shared.
	Policy Policy

	// PerHost is how many associations Spread makes with a host. Default 2.
	PerHost int

	// Weight says how large a share of the connections of Spread goes over an
	// association that prefers a path; the zero Pair stands for none so far. It
	// must always say the same. Nil: all the same.
	Weight func(sctpmh.Pair) int

	// Listener takes the connections that peers open over associations made
	// here, and lends those that peers made for dials to them. It is of the
	// same host and name as the dialer. Nil: both are refused.
	Listener *Listener

	own     pool               // without Listener
	life    context.Context    // until Close, nil before the first dial; the pool's mu guards these two
	end     context.CancelFunc //
	running sync.WaitGroup     // a follow for each association, and those of Close
}

// MaxHops is how many gateways a connection may pass; a gateway refuses further
// ones with CodeLoop.
const MaxHops = 4

// DefaultUDPPort is the UDP port of a peer that is dialled by its address
// (RFC 6951 section 7).
const DefaultUDPPort = 9899

// DialContext connects to a host and port: over an association, or, if network
// is one of TCP's and there is a Fallback, without one where that does not
// work. With "mh" it never does. The connection is a *Conn or a *LegacyConn; ctx
// bounds the dial, names included, and no longer means anything after. Its errors
// are *net.OpError that say which name and addresses failed; errors.Is finds
// syscall.ECONNREFUSED and so on in them, errors.As a *RefusedError or a
// *NameError.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.DialEarly(ctx, network, address, nil)
}

// DialEarly is DialContext and a Write of data. Over an association the first
// 16 KiB of data leave with the question whether the peer accepts the
// connection, so that where there is an association already the answer to a
// request is here after one round trip, and after two where it has to be made. A
// peer that refuses never reads data.
// Where a Fallback competes, data waits for the winner: of all that is tried,
// one target at the most gets to read it. When DialEarly fails by anything but a
// refusal, the target may have read a part of data.
func (d *Dialer) DialEarly(ctx context.Context, network, address string, data []byte) (net.Conn, error) {
	host, port, err := splitTarget(address)
	if err != nil {
		return nil, d.opError(Addr{Host: address}, err)
	}
	remote := Addr{Host: host, Port: port}
	t := Target{Port: port}
	peer := d.Via
	if peer == "" {
		peer = host
	} else if t.Addr, err = netip.ParseAddr(host); err != nil {
		t.Addr, t.Name = netip.Addr{}, host
	}
	c, err := d.dial(ctx, network, peer, &request{target: t, hops: d.Hops, remote: remote, early: data})
	if err != nil {
		return nil, d.opError(remote, err)
	}
	return c, nil
}

// dial connects to a target at or behind a peer.
func (d *Dialer) dial(ctx context.Context, network, peer string, r *request) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what the resolver still looks for
	targets, err := d.resolve(ctx, peer, r.target.Port)
	if err != nil {
		// Nothing is known then, not even that the peer does not speak mh.
		return nil, &NameError{Name: peer, Err: err}
	}
	to, more := d.legacy(network, targets)
	hosts := len(targets.MH) > 0 || len(targets.Hints) > 0
	switch {
	case !hosts && targets.NoFallback:
		return nil, fmt.Errorf("%s may speak mh and is not dialled without (trust mode): %s: %w", peer, targets.Reason, syscall.EACCES)
	case len(to) == 0 && more == nil && !hosts && targets.Late == nil:
		return nil, fmt.Errorf("%s does not speak mh: %s: %w", peer, targets.Reason, syscall.EPROTONOSUPPORT)
	case len(to) == 0 && more == nil:
		return d.dialTargets(ctx, peer, targets, r)
	}
	e := errand{target: r.remote.String(), to: to, more: more, why: targets.Reason, lead: minAttemptDelay}
	if hosts || targets.Late != nil {
		alone := &request{target: r.target, hops: r.hops, remote: r.remote}
		e.mh = func(ctx context.Context) (net.Conn, error) { return d.dialTargets(ctx, peer, targets, alone) }
	}
	if hosts {
		e.why, e.lead = "", mhHeadStart
	}
	c, err := d.Fallback.dial(ctx, e)
	return writeEarly(ctx, c, r.early, err)
}

// writeEarly ends a dial that has early octets for the winner.
func writeEarly(ctx context.Context, c net.Conn, early []byte, err error) (net.Conn, error) {
	if err == nil && len(early) > 0 {
		err = writeWithin(ctx, c, early)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// legacy returns the addresses to which a dial may fall back, and what waits for
// more of them. Those behind a gateway are the gateway's business.
func (d *Dialer) legacy(network string, targets Targets) (to []netip.AddrPort, more func(context.Context) ([]netip.AddrPort, error)) {
	if network == "mh" || d.Fallback == nil || d.Via != "" || targets.NoFallback {
		return nil, nil
	}
	of := func(all []netip.AddrPort) (out []netip.AddrPort) {
		for _, a := range all {
			out = append(out, ofNetwork(network, []netip.Addr{a.Addr()}, a.Port())...)
		}
		return out
	}
	if targets.More != nil {
		more = func(ctx context.Context) ([]netip.AddrPort, error) {
			for { // none of this network is not the end
				all, err := targets.More(ctx)
				if fit := of(all); err != nil || len(all) == 0 || len(fit) > 0 {
					return fit, err
				}
			}
		}
	}
	return of(targets.Legacy), more
}

// dialTargets connects over an association with a peer that speaks mh, or that
// may turn out to when its record comes.
func (d *Dialer) dialTargets(ctx context.Context, peer string, targets Targets, r *request) (net.Conn, error) {
	if len(targets.MH) == 0 && len(targets.Hints) > 0 && targets.Late != nil {
		return d.dialHints(ctx, peer, targets, r)
	}
	hosts, err := d.hosts(ctx, peer, targets)
	if err != nil {
		return nil, err
	}
	c, err := d.dialMH(ctx, hosts, r)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// hosts returns those of a peer that speak mh, as soon as it is known of one.
func (d *Dialer) hosts(ctx context.Context, peer string, targets Targets) (hosts []Endpoint, err error) {
	hosts, err = targets.MH, errors.New(targets.Reason)
	if len(hosts) == 0 && targets.Late != nil {
		hosts, err = targets.Late(ctx)
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%s does not speak mh: %w: %w", peer, cmp.Or(err, errNoRecord), syscall.EPROTONOSUPPORT)
	}
	return hosts, nil
}

var errNoRecord = errors.New("it has no capability record")

// dialMH connects over an association with the first host that can be reached.
func (d *Dialer) dialMH(ctx context.Context, hosts []Endpoint, r *request) (*Conn, error) {
	var errs []error
	for _, host := range hosts {
		c, err := d.dialHost(ctx, host, r)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if isAnswer(err) || isExposed(err) || ctx.Err() != nil {
			break // the host has answered for its name, or may have begun to
		}
	}
	return nil, errors.Join(errs...)
}

// A NameError is a name that could not be resolved. errors.Is finds
// syscall.EHOSTUNREACH in it.
type NameError struct {
	Name string
	Err  error // what the resolver said
}

func (e *NameError) Error() string { return e.Err.Error() }

// Unwrap returns what the resolver said.
func (e *NameError) Unwrap() error { return e.Err }

// Is gives it a class that users know.
func (e *NameError) Is(target error) bool { return target == syscall.EHOSTUNREACH }

// resolve finds the hosts of a peer's name or address.
func (d *Dialer) resolve(ctx context.Context, peer string, port uint16) (Targets, error) {
	if a, err := netip.ParseAddr(peer); err == nil && d.Resolver == nil {
		return Targets{
			MH:     []Endpoint{{Remotes: []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), DefaultUDPPort)}, Identity: Identity{Binding: "none"}}},
			Legacy: []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), port)},
		}, nil
	}
	if d.Resolver == nil {
		return Targets{}, fmt.Errorf("cannot resolve %s: the dialer has no resolver", peer)
	}
	if b, ok := d.Resolver.(Beginner); ok {
		return b.Begin(ctx, peer, port)
	}
	return d.Resolver.Resolve(ctx, peer, port)
}

func (d *Dialer) opError(remote Addr, err error) error {
	return &net.OpError{Op: "dial", Net: "mh", Addr: remote, Err: err}
}
