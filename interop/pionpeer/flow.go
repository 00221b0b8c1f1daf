package main

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// receiveMax is the largest UDP payload that can arrive.
const receiveMax = 1 << 16

// flowQueue bounds the packets that wait for pion; more are lost, as they are in
// a socket.
const flowQueue = 4096

// SCTP chunk types that tell how an association goes (RFC 9260 section 3.2).
const (
	chunkINIT             = 1
	chunkABORT            = 6
	chunkSHUTDOWNACK      = 8
	chunkCOOKIEECHO       = 10
	chunkSHUTDOWNCOMPLETE = 14
)

// firstChunk returns the first chunk of a packet, type and all, nil without one.
func firstChunk(packet []byte) []byte {
	const common, header = 12, 4
	if len(packet) < common+header {
		return nil
	}
	return packet[common:]
}

// A flow is the datagrams to and from one address, as the connection that an
// association of pion's wants to have for itself.
type flow struct {
	sock   *net.UDPConn
	remote netip.AddrPort
	in     chan []byte
	gone   chan struct{} // closed by Close, or by a deadline for reading that has passed
	once   sync.Once
	see    func(packet []byte) // called with each packet, either way, before pion knows of it
}

func newFlow(sock *net.UDPConn, remote netip.AddrPort, see func([]byte)) *flow {
	return &flow{sock: sock, remote: remote, in: make(chan []byte, flowQueue), gone: make(chan struct{}), see: see}
}

// deliver is called by the socket's reader, which must not wait.
func (f *flow) deliver(packet []byte) {
	select {
	case f.in <- packet:
	default:
	}
}

func (f *flow) Read(b []byte) (int, error) {
	select {
	case <-f.gone:
		return 0, os.ErrDeadlineExceeded
	case packet := <-f.in:
		f.see(packet)
		return copy(b, packet), nil
	}
}

func (f *flow) Write(b []byte) (int, error) {
	select {
	case <-f.gone:
		return 0, net.ErrClosed
	default:
	}
	f.see(b)
	return f.sock.WriteToUDPAddrPort(b, f.remote)
}

func (f *flow) Close() error {
	f.once.Do(func() { close(f.gone) })
	return nil
}

func (f *flow) LocalAddr() net.Addr  { return f.sock.LocalAddr() }
func (f *flow) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(f.remote) }

// SetReadDeadline ends reading: pion sets one, that has passed, when it wants to
// be done.
func (f *flow) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		return f.Close()
	}
	return nil
}

// SetWriteDeadline has nothing to do: writing does not wait.
func (f *flow) SetWriteDeadline(time.Time) error { return nil }

func (f *flow) SetDeadline(t time.Time) error { return f.SetReadDeadline(t) }
