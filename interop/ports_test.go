package interop

import (
	"encoding/binary"
	"hash/crc32"
	"sync/atomic"
	"testing"
)

// ports makes our end dial from the port on which it listens, in the eyes of
// the peer. Each dial of ours draws another port, so that no two associations
// are ever taken for one; but a restart and a collision are about just that.
// The zero value leaves packets as they are.
type ports struct {
	on    atomic.Bool
	drawn atomic.Uint32 // what our end calls sctpPort; 0: nothing else
}

// reset begins a scenario.
func (p *ports) reset() {
	p.on.Store(false)
	p.drawn.Store(0)
}

// leave changes the source of a frame of ours, as soon as it is on a wire.
func (p *ports) leave(frame []byte) {
	packet, ok := p.packet(frame)
	if !ok {
		return
	}
	if own := binary.BigEndian.Uint16(packet); own != sctpPort {
		p.drawn.Store(uint32(own))
		put(frame, packet, 0, sctpPort)
	}
}

// enter changes the destination of a frame to us, at the last moment.
func (p *ports) enter(frame []byte) {
	if packet, ok := p.packet(frame); ok && p.drawn.Load() != 0 {
		put(frame, packet, 2, uint16(p.drawn.Load()))
	}
}

// packet returns the packet to change.
func (p *ports) packet(frame []byte) (packet []byte, ok bool) {
	const common = 12
	if !p.on.Load() {
		return nil, false
	}
	packet, _, ok = sctpPacket(frame)
	return packet, ok && len(packet) >= common
}

// put changes a port of a packet and the checksums.
func put(frame, packet []byte, at int, port uint16) {
	binary.BigEndian.PutUint16(packet[at:], port)
	sum := packet[8:12]
	clear(sum)
	binary.LittleEndian.PutUint32(sum, crc32.Checksum(packet, castagnoli))
	const protocol, udp, checksum = 9, 17, ipv4Header + 6
	if ip := frame[ethernetHeader:]; ip[protocol] == udp { // which may do without (RFC 768)
		clear(ip[checksum : checksum+2])
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func TestPorts(t *testing.T) {
	out, in := sctpFrame(chunkINIT), sctpFrame(chunkDATA)
	port := func(frame []byte, at int) uint16 {
		packet, _, _ := sctpPacket(frame)
		return binary.BigEndian.Uint16(packet[at:])
	}
	packet, _, _ := sctpPacket(out)
	binary.BigEndian.PutUint16(packet, 55555)
	packet, _, _ = sctpPacket(in)
	binary.BigEndian.PutUint16(packet[2:], sctpPort)

	var p ports
	p.leave(out)
	if got := port(out, 0); got != 55555 {
		t.Errorf("when off, the source becomes %d", got)
	}
	p.on.Store(true)
	p.enter(in) // nothing is drawn yet
	if got := port(in, 2); got != sctpPort {
		t.Errorf("before a dial, the destination becomes %d", got)
	}
	p.leave(out)
	p.enter(in)
	if src, dst := port(out, 0), port(in, 2); src != sctpPort || dst != 55555 {
		t.Errorf("the source becomes %d, the destination %d", src, dst)
	}
}
