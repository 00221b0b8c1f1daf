package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"github.com/ishidawataru/sctp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// States of a path as the kernel numbers them; the library has other numbers.
var pathStates = map[sctp.PeerState]string{0: "inactive", 1: "pf", 2: "active", 3: "unconfirmed"}

// Events of a path, of which others are no change of its state.
var pathEvents = map[uint32]string{0: "active", 1: "inactive", 5: "active", 6: "pf"}

const storageSize = 128 // struct sockaddr_storage

// pathChange reads a struct sctp_paddr_change.
func pathChange(b []byte) (addr netip.Addr, state string, ok bool) {
	const address, event = 8, 8 + storageSize
	if len(b) < event+4 {
		return addr, "", false
	}
	state, ok = pathEvents[binary.NativeEndian.Uint32(b[event:])]
	return fromStorage(b[address:]), state, ok
}

// fromStorage reads an address.
func fromStorage(b []byte) netip.Addr {
	switch binary.NativeEndian.Uint16(b) {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(b[4:]))
	case unix.AF_INET6:
		return netip.AddrFrom16([16]byte(b[8:])).Unmap()
	}
	return netip.Addr{}
}

// storage is an address as struct sockaddr_storage.
func storage(a netip.AddrPort) (b [storageSize]byte) {
	copy(b[:], addresses([]netip.Addr{a.Addr()}, a.Port()).ToRawSockAddrBuf())
	return b
}

// peer returns the peer's addresses and port.
func (s *socket) peer() (addrs []netip.Addr, port uint16, err error) {
	var all *sctp.SCTPAddr
	err = s.control(func(int) (err error) {
		all, err = s.lib.SCTPRemoteAddr(0)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	for _, ip := range all.IPAddrs {
		a, _ := netip.AddrFromSlice(ip.IP) // the kernel's
		addrs = append(addrs, a.Unmap())
	}
	return addrs, uint16(all.Port), nil
}

// tellPaths says in which state the peer's addresses are.
func (a *association) tellPaths() error {
	addrs, port, err := a.sock.peer()
	if err != nil {
		return err
	}
	for _, addr := range addrs {
		state, err := a.sock.path(netip.AddrPortFrom(addr, port))
		if err != nil {
			return fmt.Errorf("path to %v: %w", addr, err)
		}
		a.say.line("path addr=%v state=%s", addr, pathStates[state])
	}
	a.say.line("ok paths")
	return nil
}

// path returns the state of a path.
func (s *socket) path(to netip.AddrPort) (sctp.PeerState, error) {
	info := sctp.PeerAddrinfo{Address: storage(to)}
	size := unsafe.Sizeof(info)
	err := s.control(func(int) error {
		_, _, err := s.lib.Getsockopt(sctp.SCTP_GET_PEER_ADDR_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)))
		return err
	})
	return info.State, err
}

// setPrimary chooses the path for new data.
func (a *association) setPrimary(c command) error {
	addrs, err := c.addrs("addr")
	if err != nil {
		return err
	}
	_, port, err := a.sock.peer()
	if err != nil {
		return err
	}
	to := storage(netip.AddrPortFrom(addrs[0], port))
	prim := append(make([]byte, 4), to[:]...) // struct sctp_prim
	err = a.sock.control(func(fd int) error {
		return unix.SetsockoptString(fd, sctp.SOL_SCTP, sctp.SCTP_PRIMARY_ADDR, string(prim))
	})
	if err != nil {
		return err
	}
	a.say.line("ok primary")
	return nil
}

// blackhole has the host lose all packets to some addresses until restore is
// called.
func blackhole(addrs []netip.Addr) (restore func() error, err error) {
	var routes []*netlink.Route
	restore = func() (err error) {
		for _, r := range routes {
			if e := netlink.RouteDel(r); e != nil && err == nil {
				err = fmt.Errorf("remove the black hole for %v: %w", r.Dst, e)
			}
		}
		return err
	}
	for _, a := range addrs {
		dst := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
		r := &netlink.Route{Dst: dst, Type: unix.RTN_BLACKHOLE, Priority: 1}
		if err := netlink.RouteAdd(r); err != nil {
			_ = restore() // the error before is the one to tell
			return nil, fmt.Errorf("a black hole for %v: %w: be root", a, err)
		}
		routes = append(routes, r)
	}
	return restore, nil
}
