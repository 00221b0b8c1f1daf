package udp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// datagrams is the kernel's socket below a Socket: a *net.UDPConn or a rawConn.
type datagrams interface {
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, src netip.AddrPort, err error)
	WriteMsgUDPAddrPort(b, oob []byte, dst netip.AddrPort) (n, oobn int, err error)
	WriteToUDPAddrPort(b []byte, dst netip.AddrPort) (n int, err error)
	LocalAddr() net.Addr
	SyscallConn() (syscall.RawConn, error)
	Close() error
}

// ListenRaw opens a socket that carries SCTP in IP itself, as protocol 132,
// without UDP. It needs the privilege to open raw sockets. The ports of its
// addresses are 0. Nobody else on the host may speak SCTP from this address:
// each raw socket sees every packet, and would answer those of others.
func ListenRaw(local netip.Addr, bind bool) (*Socket, error) {
	network := "ip6:132"
	if local.Is4() {
		network = "ip4:132"
	}
	s, err := open(network, local.String(), netip.AddrPortFrom(local, 0), bind)
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: native SCTP needs the capability CAP_NET_RAW", err)
	}
	return s, err
}

// rawConn makes a raw socket look like a UDP socket whose port is 0.
type rawConn struct {
	*net.IPConn
	v4 bool
}

func (c rawConn) ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, src netip.AddrPort, err error) {
	n, oobn, flags, from, err := c.ReadMsgIP(b, oob)
	if from == nil {
		return n, oobn, flags, src, err
	}
	addr, _ := netip.AddrFromSlice(from.IP)
	if c.v4 {
		n = copy(b, pastHeader(b[:n]))
	}
	return n, oobn, flags, netip.AddrPortFrom(addr.Unmap(), 0), err
}

// pastHeader returns what follows an IPv4 header, which raw sockets leave on.
// The kernel has checked it.
func pastHeader(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[min(len(b), int(b[0]&0xf)*4):]
}

func (c rawConn) WriteMsgUDPAddrPort(b, oob []byte, dst netip.AddrPort) (n, oobn int, err error) {
	return c.WriteMsgIP(b, oob, &net.IPAddr{IP: dst.Addr().AsSlice()})
}

func (c rawConn) WriteToUDPAddrPort(b []byte, dst netip.AddrPort) (n int, err error) {
	return c.WriteToIP(b, &net.IPAddr{IP: dst.Addr().AsSlice()})
}

// open opens the kernel's socket, UDP or raw as the network says.
func open(network, address string, local netip.AddrPort, bind bool) (*Socket, error) {
	s := &Socket{oob: make([]byte, 128), local: local}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error { return s.setup(fd, local, bind) })
	}}
	conn, err := lc.ListenPacket(context.Background(), network, address)
	if err != nil {
		return nil, err // it names the operation and the address
	}
	switch conn := conn.(type) {
	case *net.UDPConn:
		s.conn = conn
		at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
		s.local = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
	case *net.IPConn:
		s.conn = rawConn{conn, local.Addr().Is4()}
	}
	if s.raw, err = s.conn.SyscallConn(); err == nil {
		err = control(s.raw, func(fd int) (err error) { s.watch, err = watchErrors(fd); return err })
	}
	if err != nil {
		s.conn.Close()
		return nil, fmt.Errorf("listen on %v: watch for errors: %w", local, err)
	}
	return s, nil
}
