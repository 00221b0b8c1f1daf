// Package udp is a UDP socket for SCTP packets: bound to one local address
// and its uplink, never fragmenting unless told, and moving many packets with
// one system call where the kernel can (segmentation offload out, coalescing
// in). It sees and sets the ECN field, and passes on what the network says of
// packets that it could not deliver.
package udp

import (
	"context"
	"fmt"
	"net"
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

// A Socket is a UDP socket on one local address. Send may be called from any
// goroutine, Receive from one and Hints from one.
type Socket struct {
	// Set once.
	conn  *net.UDPConn
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
	s := &Socket{oob: make([]byte, 128)}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return s.setup(fd, local, bind) })
	}}
	conn, err := lc.ListenPacket(context.Background(), "udp", local.String())
	if err != nil {
		return nil, err // it names the operation and the address
	}
	s.conn = conn.(*net.UDPConn)
	at := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	s.local = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	if s.raw, err = s.conn.SyscallConn(); err == nil {
		err = control(s.raw, func(fd int) (err error) { s.watch, err = watchErrors(fd); return err })
	}
	if err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("listen on %v: watch for errors: %w", local, err)
	}
	return s, nil
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
