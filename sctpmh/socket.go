package sctpmh

import (
	"net"
	"net/netip"

	"github.com/sctpmh/mh/internal/datagram"
	"github.com/sctpmh/mh/sctpmh/internal/udp"
)

// A socket carries the packets of one local address: the kernel's (*udp.Socket)
// or a simulated one. Its methods are those of *udp.Socket.
type socket interface {
	Local() netip.AddrPort
	Receive() (*udp.Batch, error)
	Hints(func(udp.Hint)) error
	Send(data []byte, size int, dst netip.AddrPort, m udp.Marks, oob []byte) error
	Bind() (notice string)
	Close() error
}

// open opens the socket for a local address; bind has it bound to that
// address's device too.
func (e *Endpoint) open(local netip.AddrPort, bind bool) (socket, error) {
	if e.cfg.Socket != nil {
		s, err := e.cfg.Socket(local)
		return simulated{s}, err
	}
	listen := udp.Listen
	if e.cfg.Backend == Raw {
		listen = func(local netip.AddrPort, bind bool) (*udp.Socket, error) { return udp.ListenRaw(local.Addr(), bind) }
	}
	s, err := listen(local, bind)
	if err == nil && s.Notice != "" {
		e.cfg.Logger.Warn(s.Notice)
	}
	return s, err
}

// simulated is a socket that is not the kernel's. Each packet goes alone.
type simulated struct{ datagram.Socket }

func (s simulated) Receive() (*udp.Batch, error) {
	p, err := s.Socket.Receive()
	if err != nil {
		return nil, err
	}
	b := udp.Batch{Src: p.Src, CE: p.CE}
	return b.Copy(p.Data), nil // which has memory of the pool's, as all batches
}

// Hints returns at once: simulated routers say nothing.
func (s simulated) Hints(func(udp.Hint)) error { return net.ErrClosed }

// Bind does nothing: each address has a link of its own.
func (s simulated) Bind() string { return "" }

func (s simulated) Send(data []byte, size int, dst netip.AddrPort, m udp.Marks, _ []byte) error {
	for len(data) > 0 {
		n := min(size, len(data))
		if err := s.Socket.Send(datagram.Packet{Dst: dst, Data: data[:n], Fragment: m.Fragment, ECT: m.ECT}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
