package gateway

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// soOriginalDst is SO_ORIGINAL_DST of linux/netfilter_ipv4.h and
// IP6T_SO_ORIGINAL_DST of its IPv6 sister.
const soOriginalDst = 80

// originalDst asks connection tracking where a redirected connection was going
// at first.
func originalDst(c *net.TCPConn) (to netip.AddrPort, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return to, err
	}
	get := originalDst6
	if c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().Is4() {
		get = originalDst4
	}
	if cerr := raw.Control(func(fd uintptr) { to, err = get(int(fd)) }); cerr != nil {
		return to, cerr
	}
	return to, os.NewSyscallError("getsockopt SO_ORIGINAL_DST", err)
}

// originalDst4 reads a struct sockaddr_in, for which there is no function of
// its own; this one's result is as long.
func originalDst4(fd int) (to netip.AddrPort, err error) {
	r, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, soOriginalDst)
	if err != nil {
		return to, err
	}
	b := r.Multiaddr // family, port, address
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:])), nil
}

// originalDst6 reads a struct sockaddr_in6 in the same way.
func originalDst6(fd int) (to netip.AddrPort, err error) {
	r, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, soOriginalDst)
	if err != nil {
		return to, err
	}
	port := binary.NativeEndian.AppendUint16(nil, r.Addr.Port) // as it lay in memory
	return netip.AddrPortFrom(netip.AddrFrom16(r.Addr.Addr), binary.BigEndian.Uint16(port)), nil
}
