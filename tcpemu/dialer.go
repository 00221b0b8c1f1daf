package tcpemu

import (
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
	// Endpoint is the local end.
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

	// Hops counts the gateways that a connection has passed already; a
	// gateway that dials on sets it.
	Hops uint8

	// Logger gets breaches of protocol. Nil: none.
	Logger *slog.Logger

	mu       sync.Mutex // leaf
	sessions map[string]*shared
	closed   bool
}

// MaxHops is how many gateways a connection may pass.
const MaxHops = 4

// DefaultUDPPort is the UDP port of a peer that is dialled by its address
// (RFC 6951 section 7).
const DefaultUDPPort = 9899

// DialContext connects to a host and port over an association. network is
// "mh", or one of TCP's so that the method fits where net.Dialer's does. Its
// errors say which name and addresses failed; errors.Is finds
// syscall.ECONNREFUSED and so on in them.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
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
	c, err := d.dial(ctx, peer, t, remote)
	if err != nil {
		return nil, d.opError(remote, err)
	}
	return c, nil
}

// dial connects to a target at or behind a peer.
func (d *Dialer) dial(ctx context.Context, peer string, t Target, remote Addr) (*Conn, error) {
	targets, err := d.resolve(ctx, peer, t.Port)
	if err != nil {
		return nil, err
	}
	if len(targets.MH) == 0 {
		return nil, fmt.Errorf("%s does not speak mh: %s: %w", peer, targets.Reason, syscall.EPROTONOSUPPORT)
	}
	var errs []error
	for _, host := range targets.MH {
		c, err := d.dialHost(ctx, host, t, remote)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		var refused *RefusedError
		if errors.As(err, &refused) || ctx.Err() != nil {
			break // the host has answered for its name
		}
	}
	return nil, errors.Join(errs...)
}

// resolve finds the hosts of a peer's name or address.
func (d *Dialer) resolve(ctx context.Context, peer string, port uint16) (Targets, error) {
	if a, err := netip.ParseAddr(peer); err == nil && d.Resolver == nil {
		return Targets{MH: []Endpoint{{Remotes: []netip.AddrPort{netip.AddrPortFrom(a.Unmap(), DefaultUDPPort)}, Identity: Identity{Binding: "none"}}}}, nil
	}
	if d.Resolver == nil {
		return Targets{}, fmt.Errorf("cannot resolve %s: the dialer has no resolver", peer)
	}
	return d.Resolver.Resolve(ctx, peer, port)
}

func (d *Dialer) opError(remote Addr, err error) error {
	return &net.OpError{Op: "dial", Net: "mh", Addr: remote, Err: err}
}
