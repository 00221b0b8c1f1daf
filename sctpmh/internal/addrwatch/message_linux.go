package addrwatch

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The kernel's own byte order and layout, see rtnetlink(7). Messages,
// attributes and next hops are records alike: they begin with their length,
// padding to four octets follows and is not counted.

// native is the byte order of the kernel.
var native = binary.NativeEndian

// Operational states of a link (RFC 2863) in which it carries nothing; unix
// has no names for them.
const (
	operUnknown        = 0
	operDown           = 2
	operLowerLayerDown = 3
)

// A message is a view of one.
type message struct {
	kind, flags uint16
	seq         uint32 // of the request that it answers
	body        []byte // without header
}

// nextMessage returns the first message of b and what follows it, and reports
// false when b does not begin with a whole one.
func nextMessage(b []byte) (m message, rest []byte, ok bool) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, false
	}
	m = message{kind: native.Uint16(b[4:]), flags: native.Uint16(b[6:]), seq: native.Uint32(b[8:])}
	m.body, rest, ok = cut(b, uint64(native.Uint32(b)), unix.SizeofNlMsghdr)
	return m, rest, ok
}

// cut splits a record of n octets off b and returns what is behind its header.
func cut(b []byte, n uint64, header int) (body, rest []byte, ok bool) {
	if n < uint64(header) || n > uint64(len(b)) {
		return nil, nil, false
	}
	padded := min((n+3)&^3, uint64(len(b)))
	return b[header:n:n], b[padded:], true
}

// attributes hands the attributes in b to take, and reports false when b is
// not made of whole ones.
func attributes(b []byte, take func(kind uint16, value []byte)) (ok bool) {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtAttr {
			return false
		}
		kind := native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		var value []byte
		if value, b, ok = cut(b, uint64(native.Uint16(b)), unix.SizeofRtAttr); !ok {
			return false
		}
		take(kind, value)
	}
	return true
}

// number reads an attribute of 32 bits; one of another length is none, and 0.
func number(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return native.Uint32(value)
}

// add takes what a message says. It reports false for what is malformed;
// messages of other kinds say nothing.
func (s *snapshot) add(m message) bool {
	switch m.kind {
	case unix.RTM_NEWLINK:
		return s.addLink(m.body)
	case unix.RTM_NEWADDR:
		return s.addAddress(m.body)
	case unix.RTM_NEWROUTE:
		return s.addRoute(m.body)
	}
	return true
}

// addLink takes a state that is unknown for a carrier: loopback and tunnels
// have no other.
func (s *snapshot) addLink(b []byte) bool {
	if len(b) < unix.SizeofIfInfomsg {
		return false
	}
	index, flags, state := int(int32(native.Uint32(b[4:]))), native.Uint32(b[8:]), byte(operUnknown)
	ok := attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		if kind == unix.IFLA_OPERSTATE && len(value) == 1 {
			state = value[0]
		}
	})
	s.links[index] = link{
		up:       flags&unix.IFF_UP != 0,
		carrier:  state != operDown && state != operLowerLayerDown,
		loopback: flags&unix.IFF_LOOPBACK != 0,
	}
	return ok
}

// addAddress takes IP addresses: some other families have addresses on
// interfaces too.
func (s *snapshot) addAddress(b []byte) bool {
	if len(b) < unix.SizeofIfAddrmsg {
		return false
	}
	bits, flags, index := int(b[1]), uint32(b[2]), int(int32(native.Uint32(b[4:])))
	var local, far netip.Addr
	ok := attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case unix.IFA_ADDRESS:
			far, _ = netip.AddrFromSlice(value)
		case unix.IFA_FLAGS: // all of them; the header has eight
			flags = number(value)
		}
	})
	switch {
	case !local.IsValid():
		local = far // IPv6 without a peer
	case local != far:
		bits = local.BitLen() // the subnet is the peer's
	}
	if local.IsValid() {
		s.addrs = append(s.addrs, address{
			prefix: netip.PrefixFrom(local, bits),
			link:   index,
			held:   local.Is6() && flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0,
			brief:  local.Is6() && flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_DEPRECATED) != 0,
		})
	}
	return ok
}

// A hop is a link that a route leads out by, and whether to a gateway.
type hop struct {
	link    int
	gateway bool
}

// take looks at one of the attributes of a hop, or of a route that has one.
func (h *hop) take(kind uint16, value []byte) {
	switch kind {
	case unix.RTA_OIF:
		h.link = int(int32(number(value)))
	case unix.RTA_GATEWAY, unix.RTA_VIA: // the latter is of the other family
		h.gateway = true
	}
}

// addRoute takes the uplinks that a route leads out by: over a gateway, or to
// everywhere as on tunnels and point-to-point lines. Cloned routes are what
// the kernel remembers of single destinations.
func (s *snapshot) addRoute(b []byte) bool {
	if len(b) < unix.SizeofRtMsg {
		return false
	}
	family, everywhere, kind, flags := b[0], b[1] == 0, b[7], native.Uint32(b[8:])
	if kind != unix.RTN_UNICAST || family != unix.AF_INET && family != unix.AF_INET6 || flags&unix.RTM_F_CLONED != 0 {
		return true
	}
	hops, hopsOK := make([]hop, 1), true // a route of several hops has no link itself
	ok := attributes(b[unix.SizeofRtMsg:], func(kind uint16, value []byte) {
		if kind == unix.RTA_MULTIPATH {
			hops, hopsOK = appendHops(hops, value)
		} else {
			hops[0].take(kind, value)
		}
	})
	for _, h := range hops {
		if h.link != 0 && (everywhere || h.gateway) {
			s.exits[uplink{h.link, family == unix.AF_INET6}] = true
		}
	}
	return ok && hopsOK
}

// appendHops reads the hops of a route that has several.
func appendHops(hops []hop, b []byte) (_ []hop, ok bool) {
	for len(b) > 0 {
		if len(b) < unix.SizeofRtNexthop {
			return hops, false
		}
		h := hop{link: int(int32(native.Uint32(b[4:])))}
		var attrs []byte
		if attrs, b, ok = cut(b, uint64(native.Uint16(b)), unix.SizeofRtNexthop); !ok || !attributes(attrs, h.take) {
			return hops, false
		}
		hops = append(hops, h)
	}
	return hops, true
}
