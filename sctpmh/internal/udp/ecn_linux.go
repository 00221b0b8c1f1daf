package udp

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// ECN says that sockets see Congestion Experienced. Where they do not, nobody
// may send ECN-capable packets to us.
const ECN = true

// reportECN asks for the TOS or traffic class of what the socket receives.
func reportECN(fd int, local netip.Addr) error {
	if local.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
}
