package udp

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// setup sets the options of a new socket. Only what correctness needs is an
// error; the rest is a notice.
func (s *Socket) setup(fd int, local netip.AddrPort, bind bool) error {
	if err := allowFragments(fd, local.Addr(), false); err != nil {
		return err
	}
	for _, opt := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt.force, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt.plain, socketBuffer) // capped by net.core.*mem_max
		}
	}
	if err := reportECN(fd, local.Addr()); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.Store(err == nil)
	if bind {
		s.bindToDevice(fd, local.Addr())
	}
	return nil
}

// bindToDevice makes packets leave by the device that has the address, as
// they must when several uplinks have a default route. It needs no privilege
// since Linux 5.7.
func (s *Socket) bindToDevice(fd int, a netip.Addr) {
	name := device(a)
	if name == "" {
		return
	}
	if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name); err != nil {
		s.Notice = "cannot bind " + a.String() + " to its device " + name + ": " + err.Error() + "; it leaves by whatever route the kernel prefers"
	}
}
