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

// SourceFor returns the address that the kernel sends from to a destination
// when nobody chooses one, none when it has no route. Nothing is sent.
func SourceFor(remote netip.AddrPort) netip.Addr { return kernelSource(remote) }
