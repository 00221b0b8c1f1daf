// Package datagram is the seam between associations and a network that is not
// the kernel's. Package sctpmh takes sockets of this kind where its tests, and
// those of the packages above, want a network in virtual time; package netsim
// has one. Nobody outside the module can name these types, so nobody there can
// put anything but the kernel below an association.
package datagram

import "net/netip"

// A Packet is a UDP datagram between two addresses.
type Packet struct {
	Src, Dst netip.AddrPort
	Data     []byte
	Fragment bool // the network may cut it in pieces that fit; else one that is too big vanishes
	ECT, CE  bool // it is ECN-capable; congestion was experienced
}

// A Socket is bound to one local address. Send may be called from any
// goroutine, Receive from one.
type Socket interface {
	// Local returns the bound address.
	Local() netip.AddrPort

	// Receive waits for a packet, whose Data is the caller's from then on. Its
	// error is net.ErrClosed.
	Receive() (Packet, error)

	// Send sends a packet from the local address, whatever Src is. It keeps
	// nothing of Data.
	Send(Packet) error

	// Close closes the socket; a Receive that waits returns net.ErrClosed.
	Close() error
}
