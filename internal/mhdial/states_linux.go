package mhdial

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/noid"
)

// addressStates asks the kernel for its addresses (rtnetlink(7)). What it does
// not say is not held against an address.
func addressStates() map[netip.Addr]noid.Local {
	tunnels := make(map[uint32]bool)
	for _, m := range dump(unix.RTM_GETLINK, unix.RTM_NEWLINK) {
		if len(m.Data) >= unix.SizeofIfInfomsg {
			i := (*unix.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
			tunnels[uint32(i.Index)] = isTransition(i.Type)
		}
	}
	out := make(map[netip.Addr]noid.Local)
	for _, m := range dump(unix.RTM_GETADDR, unix.RTM_NEWADDR) {
		if len(m.Data) < unix.SizeofIfAddrmsg {
			continue
		}
		i := (*unix.IfAddrmsg)(unsafe.Pointer(&m.Data[0]))
		attrs, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue
		}
		l := noid.Local{Deprecated: i.Flags&unix.IFA_F_DEPRECATED != 0, Tunnel: tunnels[i.Index]}
		for _, a := range attrs {
			addr, ok := netip.AddrFromSlice(a.Value)
			// Of a link between two, IFA_ADDRESS is the other end's; there is
			// IFA_LOCAL then.
			if ok && (a.Attr.Type == unix.IFA_LOCAL || a.Attr.Type == unix.IFA_ADDRESS && !l.Addr.IsValid()) {
				l.Addr = addr
			}
		}
		out[l.Addr] = l
	}
	return out
}

// isTransition reports whether a type of link carries one family of IP within
// the other: IPv6 in IPv4 (sit, 6rd, ISATAP) or anything in IPv6, as with
// DS-Lite.
func isTransition(hardware uint16) bool {
	return hardware == unix.ARPHRD_SIT || hardware == unix.ARPHRD_TUNNEL6
}

// dump returns what the kernel has of a kind.
func dump(get, want uint16) (out []syscall.NetlinkMessage) {
	b, err := syscall.NetlinkRIB(int(get), unix.AF_UNSPEC)
	if err != nil {
		return nil
	}
	all, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil
	}
	for _, m := range all {
		if m.Header.Type == want {
			out = append(out, m)
		}
	}
	return out
}
