package udp

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Batch is one or more packets from one sender. Its memory is pooled: who
// has it last calls Release.
type Batch struct {
	Src  netip.AddrPort
	Data []byte // packets of Size octets, the last one may be shorter
	Size int

	// CE: the packets carry Congestion Experienced (RFC 3168 section 5). The
	// kernel says it once for all of them: it coalesces only datagrams whose
	// ECN field is the same, as TestCoalescedAlike shows. Kernels from before
	// 2024 may not look ("net: gro: add flush check in udp_gro_receive_segment");
	// what the first packet carried is then said of all.
	CE bool

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

// Memory is the octets of memory that the batch holds.
func (b *Batch) Memory() int { return len(b.buf) }

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
	n.Src, n.CE, n.Data, n.Size = b.Src, b.CE, n.buf[:copy(n.buf, packet)], len(packet)
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
			if !mayBePending(err) {
				time.Sleep(receivePause)
			}
			continue // an ICMP error of an earlier send: it is no packet
		}
		b.Src = netip.AddrPortFrom(src.Addr().Unmap().WithZone(""), src.Port())
		b.Data, b.Size = b.buf[:n], n
		size, tos := arrived(s.oob[:oobn])
		if size > 0 {
			b.Size = size
		}
		b.CE = tos&ecnMask == ecnCE
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

// receivePause is what Receive waits after an error that need not be gone the
// next time. One is real: while the send buffer is more than half full an
// error is all that there is to poll for, and then the runtime fails every read
// at once ("not pollable") until something else happens.
const receivePause = time.Millisecond
