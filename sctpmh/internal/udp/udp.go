// Package udp is a socket for SCTP packets, over UDP or, with privileges, over
// IP itself: bound to one local address and its uplink, never fragmenting
// unless told, and moving many packets with one system call where the kernel
// can (segmentation offload out, coalescing in). It sees and sets the ECN
// field, and passes on what the network says of packets that it could not
// deliver.
package udp

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
)

const (
	// maxSegments is the kernel's own bound on packets in one offloaded send
	// (UDP_MAX_SEGMENTS).
	maxSegments = 64

	// MaxBatch is the most octets that a Batch holds and that Send takes: the
	// length of the largest UDP datagram that offloading may stand for.
	MaxBatch = 65000

	socketBuffer = 4 << 20
)

// A Socket is a UDP or raw socket on one local address. Send may be called
// from any goroutine, Receive from one and Hints from one.
type Socket struct {
	// Set once.
	conn  datagrams
	raw   syscall.RawConn // conn's
	local netip.AddrPort
	watch *errorWatch // wakes Hints

	gso   atomic.Bool // the kernel and the device take segmented sends
	oob   []byte      // Receive's
	errq  sync.Mutex  // held while a message is taken off the error queue; see write
	stats Stats

	// Notice says what could not be set up and what that means; empty when
	// all went well.
	Notice string
}

// Stats counts since the socket was opened.
type Stats struct {
	Sent, SendErrors, Received atomic.Uint64 // packets
}

// Listen opens a socket on a concrete local address. Port 0 takes any that is
// free. bind asks that packets leave by the device that has the address,
// whatever the routing table prefers.
func Listen(local netip.AddrPort, bind bool) (*Socket, error) {
	if !local.Addr().IsValid() || local.Addr().IsUnspecified() {
		return nil, fmt.Errorf("listen on %v: a path needs a concrete local address", local)
	}
	return open("udp", local.String(), local, bind)
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// Local returns the bound address.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Stats returns the socket's counters.
func (s *Socket) Stats() *Stats { return &s.stats }

// Close closes the socket; a Receive or Hints that waits returns
// net.ErrClosed.
func (s *Socket) Close() error {
	s.watch.close()
	return s.conn.Close()
}
