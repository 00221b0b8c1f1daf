package publish

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// passing returns the addresses that this host has for a short time only:
// temporary ones, which exist to be forgotten, and deprecated ones, which is
// how an operator says of an address of either family that it will go.
func passing() (out []netip.Addr, err error) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("read the addresses of this host: %w: let this process use AF_NETLINK sockets", err)
	}
	for _, a := range all {
		if a.Flags&(unix.IFA_F_TEMPORARY|unix.IFA_F_DEPRECATED) != 0 {
			if ip, ok := netip.AddrFromSlice(a.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out, nil
}

// Notices has one item after links, addresses or routes of this host have
// changed, however often; until ctx ends.
func Notices(ctx context.Context) (<-chan struct{}, error) {
	links, addrs, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
	for what, err := range map[string]error{
		"links":     netlink.LinkSubscribe(links, ctx.Done()),
		"addresses": netlink.AddrSubscribe(addrs, ctx.Done()),
		"routes":    netlink.RouteSubscribe(routes, ctx.Done()),
	} {
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w: let this process use AF_NETLINK sockets", what, err)
		}
	}
	out := make(chan struct{}, 1)
	go func() { // ends when the library closes its channels, after ctx
		for links != nil || addrs != nil || routes != nil {
			var open bool
			select {
			case _, open = <-links:
				if !open {
					links = nil
				}
			case _, open = <-addrs:
				if !open {
					addrs = nil
				}
			case _, open = <-routes:
				if !open {
					routes = nil
				}
			}
			if open {
				select {
				case out <- struct{}{}:
				default:
				}
			}
		}
	}()
	return out, nil
}
