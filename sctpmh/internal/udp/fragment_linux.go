package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// allowFragments says whether what the socket sends may be fragmented: by this
// host, as the kernel's path MTU cache has it, and over IPv4, without DF, by
// routers. Else packets are never fragmented and the cache is not trusted:
// packets are sized by the engine (RFC 8899 section 4.4). IPV6_DONTFRAG need not
// be touched: it is off.
func allowFragments(fd int, local netip.Addr, allow bool) error {
	level, opt, v := unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE
	if local.Is4() {
		level, opt, v = unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE
	}
	if allow {
		v = unix.IP_PMTUDISC_DONT // IPv6 has the same number
	}
	return unix.SetsockoptInt(fd, level, opt, v)
}

// writeFragment sends one datagram that may be fragmented.
//
// Invariant: no other datagram leaves without DF. The option is the socket's, not
// the datagram's, but a RawConn's Write keeps the socket's other writers out for
// as long as it takes, which they do for one another anyway: no lock of ours
// adds to their cost. TestFragmentAlone fails should that change.
func (s *Socket) writeFragment(data, oob []byte, dst netip.AddrPort) error {
	to := sockaddr(dst)
	var err error
	werr := s.raw.Write(func(fd uintptr) bool {
		err = allowFragments(int(fd), s.local.Addr(), true)
		if err == nil {
			_, err = unix.SendmsgN(int(fd), data, oob, to, 0)
			err = errors.Join(err, allowFragments(int(fd), s.local.Addr(), false))
		}
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if err != nil {
		err = &net.OpError{Op: "write", Net: "udp", Source: net.UDPAddrFromAddrPort(s.local), Addr: net.UDPAddrFromAddrPort(dst), Err: os.NewSyscallError("sendmsg", err)}
	}
	return errors.Join(werr, err)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return &unix.SockaddrInet4{Addr: ip.As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}
