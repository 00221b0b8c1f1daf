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
		s.Notice = bindToDevice(fd, local.Addr())
	}
	return nil
}

// Bind makes packets leave by the device that has the address from now on, as
// Listen does when it is asked to. It returns what that means if it cannot.
func (s *Socket) Bind() (notice string) {
	_ = control(s.raw, func(fd int) error { // it fails when the socket is closed
		notice = bindToDevice(fd, s.local.Addr())
		return nil
	})
	return notice
}

// bindToDevice makes packets leave by the device that has the address, as
// they must when several uplinks have a default route. It needs no privilege
// since Linux 5.7.
func bindToDevice(fd int, a netip.Addr) (notice string) {
	name := device(a)
	if name == "" {
		return ""
	}
	if err := unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name); err != nil {
		return "cannot bind " + a.String() + " to its device " + name + ": " + err.Error() + "; it leaves by whatever route the kernel prefers"
	}
	return ""
}
