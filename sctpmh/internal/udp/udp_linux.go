package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setup sets the options of a new socket. Only what correctness needs is an
// error; the rest is a notice.
func (s *Socket) setup(fd int, local netip.AddrPort, bind bool) error {
	// Never fragment, never trust the kernel's path MTU cache: packets are
	// sized by the engine (RFC 8899 section 4.4).
	var err error
	if local.Addr().Is4() {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	} else {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
	if err != nil {
		return err
	}
	for _, opt := range []struct{ force, plain int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt.force, socketBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt.plain, socketBuffer) // capped by net.core.*mem_max
		}
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	_, err = unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
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

// segmented appends the control message that has the kernel cut a send into
// packets of size octets.
func segmented(oob []byte, size int) []byte {
	n := unix.CmsgSpace(2)
	oob = append(oob, make([]byte, n)...)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	binary.NativeEndian.PutUint16(oob[unix.CmsgLen(0):], uint16(size))
	return oob
}

// coalesced returns the packet size that the kernel reports for a receive of
// several packets, 0 when there was one.
func coalesced(oob []byte) int {
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
		n := int(h.Len)
		if n < unix.SizeofCmsghdr || n > len(oob) {
			return 0
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && n >= unix.CmsgLen(4) {
			return int(int32(binary.NativeEndian.Uint32(oob[unix.CmsgLen(0):])))
		}
		oob = oob[min(unix.CmsgSpace(n-unix.CmsgLen(0)), len(oob)):]
	}
	return 0
}

// offloadRefused reports whether an error of a segmented send means that the
// route or its device cannot do it.
func offloadRefused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// LinkGone reports whether a send failed because its uplink has no way out:
// the device is down, or its address or route is gone.
func LinkGone(err error) bool {
	for _, e := range []error{unix.ENETDOWN, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENODEV, unix.EADDRNOTAVAIL, unix.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
