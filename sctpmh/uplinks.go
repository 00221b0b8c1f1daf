package sctpmh

import (
	"net/netip"

	"github.com/sctpmh/mh/sctpmh/internal/addrwatch"
)

// An Uplink is a local address that leads out, and the interface by which it
// does: a way by which packets can leave this host.
type Uplink struct {
	Addr      netip.Addr
	Interface int // its index
}

// Uplinks returns the ways out of this host: the global addresses whose link is
// up and has a route to everywhere or by a gateway. Only Linux says; elsewhere
// there are none.
func Uplinks() (out []Uplink, err error) {
	all, err := addrwatch.Uplinks()
	for _, u := range all {
		out = append(out, Uplink(u))
	}
	return out, err
}

// FollowUplinks reports which addresses this host has to send from as they come
// and go, until stop is called, for who gives them to an endpoint ([Endpoint.AddLocal]). have
// are those that the caller began with. With only, just these are reported to have
// come, as soon as they can be bound; without, those that [Uplinks] would return,
// but for temporary and deprecated ones. One has come when it has been there for a
// second, and gone when it has been away for a minute. stop returns when no report
// runs; report must not call it.
func FollowUplinks(have, only []netip.Addr, report func(a netip.Addr, there bool)) (stop func(), err error) {
	return addrwatch.Follow(have, only, report)
}

// SourceFor returns the address that the kernel sends from to a destination
// when nobody chooses one, none when it has no route. Nothing is sent.
func SourceFor(remote netip.AddrPort) netip.Addr { return kernelSource(remote) }
