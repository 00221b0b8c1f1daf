// Package udp is a UDP socket for SCTP packets: bound to one local address
// and its uplink, never fragmenting, and moving many packets with one system
// call where the kernel can (segmentation offload out, coalescing in).
package udp

import (
	"context"
	"errors"
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
// goroutine, Receive from one.
type Socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	gso   atomic.Bool // the kernel and the device take segmented sends
	oob   []byte      // Receive's
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

// Close closes the socket; a Receive that waits returns net.ErrClosed.
func (s *Socket) Close() error { return s.conn.Close() }

// A Batch is one or more packets from one sender. Its memory is pooled: who
// has it last calls Release.
type Batch struct {
	Src  netip.AddrPort
	Data []byte // packets of Size octets, the last one may be shorter
	Size int

	pool *sync.Pool
	buf  []byte
}

// Buffers for batches: a small one for a lone packet, so that packets which
// wait in a queue do not hold 64 KiB each.
var (
	bigPool   = newPool(1 << 16)
	smallPool = newPool(smallBatch)
)

const smallBatch = 2048

func newPool(size int) *sync.Pool {
	p := &sync.Pool{}
	p.New = func() any { return &Batch{pool: p, buf: make([]byte, size)} }
	return p
}

// Release gives the batch's memory back. The batch is not to be used again.
func (b *Batch) Release() { b.pool.Put(b) }

// Next takes the next packet off the batch.
func (b *Batch) Next() (packet []byte, ok bool) {
	if len(b.Data) == 0 {
		return nil, false
	}
	n := min(b.Size, len(b.Data))
	packet, b.Data = b.Data[:n:n], b.Data[n:]
	return packet, true
}

// Copy returns a batch of its own with one packet of b.
func (b *Batch) Copy(packet []byte) *Batch {
	c := bigPool
	if len(packet) <= smallBatch {
		c = smallPool
	}
	n := c.Get().(*Batch)
	n.Src, n.Data, n.Size = b.Src, n.buf[:copy(n.buf, packet)], len(packet)
	return n
}

// Receive waits for packets. The caller releases the batch.
func (s *Socket) Receive() (*Batch, error) {
	b := bigPool.Get().(*Batch)
	for {
		n, oobn, _, src, err := s.conn.ReadMsgUDPAddrPort(b.buf, s.oob)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				b.Release()
				return nil, err
			}
			continue // an ICMP error of an earlier send: it is no packet
		}
		b.Src = netip.AddrPortFrom(src.Addr().Unmap().WithZone(""), src.Port())
		b.Data, b.Size = b.buf[:n], n
		if size := coalesced(s.oob[:oobn]); size > 0 {
			b.Size = size
		}
		if b.Size > 0 {
			s.stats.Received.Add(uint64((n + b.Size - 1) / b.Size))
		}
		if n <= smallBatch {
			c := b.Copy(b.Data)
			c.Size = b.Size
			b.Release()
			b = c
		}
		return b, nil
	}
}

// Send sends data as packets of size octets, the last one may be shorter. oob
// is scratch memory of the caller's. The error is that of the first packet
// which could not leave.
func (s *Socket) Send(data []byte, size int, dst netip.AddrPort, oob []byte) error {
	n := (len(data) + size - 1) / size
	if n > 1 && s.gso.Load() {
		_, _, err := s.conn.WriteMsgUDPAddrPort(data, segmented(oob[:0], size), dst)
		if err == nil {
			s.stats.Sent.Add(uint64(n))
			return nil
		}
		if !offloadRefused(err) {
			s.stats.SendErrors.Add(uint64(n))
			return err
		}
		s.gso.Store(false) // some drivers and tunnels refuse; from now on one by one
	}
	for len(data) > 0 {
		k := min(size, len(data))
		if _, err := s.conn.WriteToUDPAddrPort(data[:k], dst); err != nil {
			s.stats.SendErrors.Add(uint64((len(data) + size - 1) / size))
			return err
		}
		s.stats.Sent.Add(1)
		data = data[k:]
	}
	return nil
}

// A Train gathers packets that one Send takes: to one destination, of one
// size but for the last.
type Train struct {
	Buf   []byte
	size  int
	count int
	dst   netip.AddrPort
	sock  *Socket
	oob   [64]byte
}

// Fits reports whether a packet of n octets may join.
func (t *Train) Fits(n int, sock *Socket, dst netip.AddrPort) bool {
	return t.count == 0 || t.sock == sock && t.dst == dst && n <= t.size && t.count < maxSegments && len(t.Buf)+n <= MaxBatch
}

// Push takes the packet that ends t.Buf and is n octets long. It reports
// whether no other may follow, because it is shorter than those before it.
func (t *Train) Push(n int, sock *Socket, dst netip.AddrPort) (last bool) {
	if t.count == 0 {
		t.sock, t.dst, t.size = sock, dst, n
	}
	t.count++
	return n < t.size
}

// Local returns the address that the train leaves from; none when it is empty.
func (t *Train) Local() netip.AddrPort {
	if t.count == 0 {
		return netip.AddrPort{}
	}
	return t.sock.Local()
}

// Leave sends what was gathered.
func (t *Train) Leave() error {
	if t.count == 0 {
		return nil
	}
	err := t.sock.Send(t.Buf, t.size, t.dst, t.oob[:])
	t.Buf, t.count = t.Buf[:0], 0
	return err
}
