package addrwatch

import (
	"fmt"
	"net/netip"
)

// An Uplink is a local address that leads out, and the interface by which it
// does.
type Uplink struct {
	Addr      netip.Addr
	Interface int // its index
}

// Uplinks returns the global addresses that are usable at this moment and whose
// interface leads out. The network namespace is that of the calling thread.
func Uplinks() ([]Uplink, error) {
	all, err := uplinks()
	if err != nil {
		return nil, fmt.Errorf("list local addresses that lead out: %w", err)
	}
	return all, nil
}

// uplinks demands a way out even of interfaces that never had one: bridges of
// containers and virtual machines have global addresses too.
func (s snapshot) uplinks() (out []Uplink) {
	for _, x := range s.addrs {
		a := x.prefix.Addr()
		if a.IsGlobalUnicast() && s.whyNot(x, nil) == usable && s.exits[uplink{x.link, a.Is6()}] {
			out = append(out, Uplink{Addr: a, Interface: x.link})
		}
	}
	return out
}
