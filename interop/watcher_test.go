package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"
)

// SCTP chunk types that scenarios look for (RFC 9260 section 3.2).
const (
	chunkDATA         = 0
	chunkINIT         = 1
	chunkHEARTBEAT    = 4
	chunkHEARTBEATACK = 5
	chunkABORT        = 6
	chunkECNE         = 12
	chunkCWR          = 13

	chunkSHUTDOWNCOMPLETE = 14

	chunkTypes = 16 // of those counted
)

// sctpOverUDP is the port of SCTP in UDP (RFC 6951), at either end.
const sctpOverUDP = 9899

// A watcher counts what passes on the wires of a world: scenarios wait for it
// and are judged by it, for no end can be believed about itself.
type watcher struct {
	mu      sync.Mutex
	counts  counts
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// counts are indexed by wire and direction.
type counts struct {
	chunks [2][2][chunkTypes]int
	marked [2][2]int // packets with CE

	data   [2]time.Time     // when DATA last passed, by direction
	stalls [2]time.Duration // longest time between two DATA
}

func newWatcher() *watcher { return new(watcher) }

// reset begins a scenario.
func (w *watcher) reset() {
	w.mu.Lock()
	w.counts = counts{}
	w.mu.Unlock()
}

// now returns the counts.
func (w *watcher) now() counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// measure forgets the stalls so far: those from now on are wanted.
func (w *watcher) measure() {
	w.mu.Lock()
	w.counts.stalls = [2]time.Duration{}
	w.mu.Unlock()
}

// tell wakes those who await. w.mu is held.
func (w *watcher) tell() {
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

// passed notes a frame.
func (w *watcher) passed(wire, d int, frame []byte) {
	packet, ecn, ok := sctpPacket(frame)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &w.counts
	if ecn == ecnCE {
		c.marked[wire][d]++
	}
	for typ := range chunks(packet) {
		if typ < chunkTypes {
			c.chunks[wire][d][typ]++
		}
		if typ == chunkDATA {
			now := time.Now()
			if last := c.data[d]; !last.IsZero() {
				c.stalls[d] = max(c.stalls[d], now.Sub(last))
			}
			c.data[d] = now
		}
	}
	w.tell()
}

// await waits until the counts are as wanted.
func (w *watcher) await(ctx context.Context, what string, wanted func(counts) bool) error {
	for {
		w.mu.Lock()
		if wanted(w.counts) {
			w.mu.Unlock()
			return nil
		}
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain for %s on the wires: %w", what, ctx.Err())
		}
	}
}

// sctpPacket returns the SCTP packet in an IPv4 frame, over UDP or native, and
// the ECN field. Fragments are not looked into.
func sctpPacket(frame []byte) (packet []byte, ecn byte, ok bool) {
	const udp, sctp, udpHeader = 17, 132, 8
	if etherType(frame) != etherIPv4 || len(frame) < ethernetHeader+ipv4Header {
		return nil, 0, false
	}
	ip := frame[ethernetHeader:]
	header := int(ip[0]&15) * 4
	if total := int(binary.BigEndian.Uint16(ip[2:])); header < ipv4Header || total < header || total > len(ip) {
		return nil, 0, false
	} else {
		ip = ip[:total]
	}
	ecn, packet = ip[1]&ecnMask, ip[header:]
	switch ip[9] {
	case sctp:
		return packet, ecn, true
	case udp:
		if len(packet) < udpHeader {
			return nil, 0, false
		}
		src, dst := binary.BigEndian.Uint16(packet), binary.BigEndian.Uint16(packet[2:])
		return packet[udpHeader:], ecn, src == sctpOverUDP || dst == sctpOverUDP
	}
	return nil, 0, false
}

// chunks yields the types of the chunks of a packet, as far as it is well
// formed: to find that it is not is the dissector's part.
func chunks(packet []byte) func(func(byte) bool) {
	const common, header = 12, 4
	return func(yield func(byte) bool) {
		for b := packet[min(common, len(packet)):]; len(b) >= header; {
			length := int(binary.BigEndian.Uint16(b[2:]))
			if length < header || !yield(b[0]) {
				return
			}
			b = b[min((length+3)&^3, len(b)):]
		}
	}
}

// aborting reports whether a frame has an ABORT chunk.
func aborting(frame []byte) bool {
	packet, _, ok := sctpPacket(frame)
	if !ok {
		return false
	}
	for typ := range chunks(packet) {
		if typ == chunkABORT {
			return true
		}
	}
	return false
}

func TestWatcher(t *testing.T) {
	w := newWatcher()
	frame := sctpFrame(chunkDATA, chunkHEARTBEAT)
	w.passed(1, toUs, frame)
	w.passed(1, toUs, frame[:len(frame)-3]) // cut short: counted as far as it goes
	w.passed(1, toUs, frame[:20])
	w.passed(1, toUs, nil)
	if c := w.now(); c.chunks[1][toUs][chunkDATA] != 1 || c.chunks[1][toUs][chunkHEARTBEAT] != 1 {
		t.Errorf("counted %v", c.chunks)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	go w.passed(0, toPeer, frame) // ends at once
	err := w.await(ctx, "HEARTBEAT", func(c counts) bool { return c.chunks[0][toPeer][chunkHEARTBEAT] == 1 })
	if err != nil {
		t.Error(err)
	}
}

// sctpFrame makes a frame with empty chunks.
func sctpFrame(types ...byte) []byte {
	const udp, common = 8, 12
	size := ipv4Header + udp + common + 4*len(types)
	f := make([]byte, ethernetHeader+size)
	binary.BigEndian.PutUint16(f[12:], etherIPv4)
	ip := f[ethernetHeader:]
	ip[0], ip[9] = 0x45, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(size))
	binary.BigEndian.PutUint16(ip[ipv4Header:], sctpOverUDP)
	for i, typ := range types {
		c := ip[ipv4Header+udp+common+4*i:]
		c[0], c[3] = typ, 4
	}
	return f
}
