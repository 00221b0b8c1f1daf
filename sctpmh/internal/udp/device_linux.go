package udp

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// device returns the name of the device that has an address, "" when that is
// no uplink: loopback and dummy devices carry addresses that are reached over
// others, and what is bound to them leaves by nothing.
func device(a netip.Addr) string {
	ifaces, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, i := range ifaces {
		addrs, err := i.Addrs()
		if err != nil || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		for _, x := range addrs {
			if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr().Unmap() == a {
				if kind(i.Index) == "dummy" {
					return ""
				}
				return i.Name
			}
		}
	}
	return ""
}

// kind returns what sort of virtual device an index is, such as "veth"; "" for
// a real one.
func kind(index int) string {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return ""
	}
	messages, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return ""
	}
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg || linkIndex(m.Data) != index {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			return ""
		}
		for _, at := range attrs {
			if at.Attr.Type == unix.IFLA_LINKINFO {
				return infoKind(at.Value)
			}
		}
	}
	return ""
}

// linkIndex reads the index from an ifinfomsg, which is at least that long.
func linkIndex(b []byte) int { return int(int32(binary.NativeEndian.Uint32(b[4:]))) }

// infoKind finds the kind among the attributes nested in IFLA_LINKINFO.
func infoKind(b []byte) string {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return ""
		}
		if binary.NativeEndian.Uint16(b[2:]) == unix.IFLA_INFO_KIND {
			return strings.TrimRight(string(b[unix.SizeofRtAttr:n]), "\x00")
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return ""
}
