package addrwatch

import (
	"errors"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// interruptions bounds the reads in a row that a change may spoil: where
// changes never end, one read takes long enough.
const interruptions = 3

// read takes a snapshot.
func read(h *netlink.Handle) (s snapshot, err error) {
	for range interruptions {
		if s, err = readOnce(h); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return s, err
}

// readOnce reads the links last: with a link its addresses and routes go, and
// the cause is to be the link.
func readOnce(h *netlink.Handle) (s snapshot, err error) {
	// Without the filter it would be the main table only; hosts with several
	// uplinks often give each a table.
	routes, err := h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return s, err
	}
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return s, err
	}
	links, err := h.LinkList()
	if err != nil {
		return s, err
	}
	s.exits, s.links = map[uplink]bool{}, map[int]link{}
	for _, r := range routes {
		for _, up := range exits(r) {
			s.exits[up] = true
		}
	}
	for _, a := range addrs {
		if x, ok := parseAddress(a); ok {
			s.addrs = append(s.addrs, x)
		}
	}
	for _, l := range links {
		s.links[l.Attrs().Index] = parseLink(l.Attrs())
	}
	return s, nil
}

// exits returns the uplinks that a route leads out by: over a gateway, or to
// everywhere as on tunnels and point-to-point lines.
func exits(r netlink.Route) (out []uplink) {
	if r.Type != unix.RTN_UNICAST || r.Family != unix.AF_INET && r.Family != unix.AF_INET6 {
		return nil
	}
	is6 := r.Family == unix.AF_INET6
	everywhere := r.Dst == nil
	if !everywhere {
		ones, _ := r.Dst.Mask.Size()
		everywhere = ones == 0
	}
	for _, hop := range append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via}) {
		if hop.LinkIndex != 0 && (everywhere || hop.Gw != nil || hop.Via != nil) { // a route of several hops has no link itself
			out = append(out, uplink{hop.LinkIndex, is6})
		}
	}
	return out
}

// parseAddress fails for what is no IP address: some other families have
// addresses on interfaces too.
func parseAddress(a netlink.Addr) (x address, ok bool) {
	if a.IPNet == nil {
		return x, false
	}
	ip, ok := netip.AddrFromSlice(a.IP)
	if !ok {
		return x, false
	}
	ones, _ := a.Mask.Size()
	return address{
		prefix: netip.PrefixFrom(ip, ones),
		link:   a.LinkIndex,
		held:   ip.Is6() && a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0,
	}, true
}

// parseLink takes a state that is unknown for a carrier: loopback and tunnels
// have no other.
func parseLink(l *netlink.LinkAttrs) link {
	return link{
		up:       l.Flags&net.FlagUp != 0,
		carrier:  l.OperState != netlink.OperDown && l.OperState != netlink.OperLowerLayerDown,
		loopback: l.Flags&net.FlagLoopback != 0,
	}
}
