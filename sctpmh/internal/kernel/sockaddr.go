package kernel

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/ishidawataru/sctp"
)

// Address families as Linux numbers them, in native octet order.
const (
	afInet  = 2
	afInet6 = 10
)

// Sizes of struct sockaddr_in and sockaddr_in6.
const (
	sizeofInet  = 16
	sizeofInet6 = 28
)

// storage is struct sockaddr_storage. The structs that hold one place it where
// its alignment of 8 demands, unless they are packed.
type storage [128]byte

// appendSockaddrs appends addresses one after the other, as bindx and connectx
// take them (RFC 6458 section 9.1).
func appendSockaddrs(b []byte, addrs []netip.Addr, port uint16) []byte {
	if len(addrs) == 0 {
		return b
	}
	list := sctp.SCTPAddr{Port: int(port)}
	for _, a := range addrs {
		a = a.Unmap()
		list.IPAddrs = append(list.IPAddrs, net.IPAddr{IP: a.AsSlice(), Zone: a.Zone()})
	}
	return append(b, list.ToRawSockAddrBuf()...)
}

// toStorage is a in a storage; the zero address, which stands for all, is one
// of an unspecified family (RFC 6458 section 8.1.12).
func toStorage(a netip.Addr, port uint16) (s storage) {
	if a.IsValid() {
		copy(s[:], appendSockaddrs(nil, []netip.Addr{a}, port))
	}
	return s
}

// cutSockaddr takes the first address off a list as the kernel returns it.
func cutSockaddr(b []byte) (a netip.AddrPort, rest []byte, ok bool) {
	if len(b) < 2 {
		return a, nil, false
	}
	switch family := binary.NativeEndian.Uint16(b); {
	case family == afInet && len(b) >= sizeofInet:
		ip := netip.AddrFrom4([4]byte(b[4:8]))
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[2:])), b[sizeofInet:], true
	case family == afInet6 && len(b) >= sizeofInet6:
		ip := netip.AddrFrom16([16]byte(b[8:24])).Unmap()
		if scope := binary.NativeEndian.Uint32(b[24:]); scope != 0 && ip.IsLinkLocalUnicast() {
			ip = ip.WithZone(zone(scope))
		}
		return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[2:])), b[sizeofInet6:], true
	}
	return a, nil, false
}

func zone(index uint32) string {
	i, err := net.InterfaceByIndex(int(index))
	if err != nil {
		return ""
	}
	return i.Name
}

// addr is the address in s, the zero one when there is none.
func (s *storage) addr() netip.Addr {
	a, _, _ := cutSockaddr(s[:])
	return a.Addr()
}
