package tcpemu

import (
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

// maxWays is how many ways to a target are tried. Without a limit a name with
// many addresses would have each client's connection send a packet to each of
// them by each uplink: a flood that anybody could order by a DNS record.
const maxWays = 12

// A way leads from this host to a destination.
type way struct {
	from sctpmh.Uplink // its address may be invalid: the kernel has no route and no other choice
	to   netip.AddrPort

	// free leaves the source to the kernel, which takes from.Addr or knows a
	// better one by now (RFC 6724 section 5).
	free bool
}

func (w way) String() string {
	if !w.from.Addr.IsValid() {
		return ">" + w.to.String()
	}
	return w.from.Addr.String() + ">" + w.to.String()
}

// A turn is a way and how long the next one waits for it.
type turn struct {
	way
	lead time.Duration
}

// ways returns the ways to the destinations in the order in which they are
// tried: at each turn the one that has least in common with those before it.
// So what kept the first from working, be it a dead uplink, a dead destination
// or a family that nobody routes, will rarely keep the second, and the cost of
// any one of them is one delay. Among equals, a way that the kernel would go by
// itself comes first, then the order of the destinations decides. first goes
// first if it is one of the ways.
//
// Before another uplink is used for a destination, the kernel's own way there
// is tried, shortly: where it was the destination before that was dead, not the
// uplink, traffic is to stay where the host's routes have it.
func ways(to []netip.AddrPort, ups []sctpmh.Uplink, source func(netip.AddrPort) netip.Addr, first way) (order []turn) {
	rest := allWays(to, ups, source)
	common := make([]int, len(rest)) // what each has in common with those in order; -1: it is one of them
	take := func(i int, lead time.Duration) {
		order = append(order, turn{rest[i], lead})
		common[i] = -1
		for j, w := range rest {
			if common[j] >= 0 {
				common[j] += w.common(rest[i])
			}
		}
	}
	if i := slices.Index(rest, first); i >= 0 {
		take(i, attemptDelay)
	}
	for len(order) < min(maxWays, len(rest)) {
		best, own := -1, -1
		for i, w := range rest {
			if common[i] >= 0 && (best < 0 || common[i] < common[best] || common[i] == common[best] && w.free && !rest[best].free) {
				best = i
			}
		}
		for i, w := range rest {
			if common[i] >= 0 && w.free && w.to == rest[best].to {
				own = i
			}
		}
		if own >= 0 && own != best {
			take(own, minAttemptDelay)
		}
		take(best, attemptDelay)
	}
	return order[:min(maxWays, len(order))]
}

// common counts what two ways have in common that can fail.
func (w way) common(x way) (n int) {
	for _, same := range []bool{
		w.from.Interface == x.from.Interface,
		w.from.Addr == x.from.Addr, // one link may have addresses of two providers
		w.to == x.to,
		w.to.Addr().Is4() == x.to.Addr().Is4(),
	} {
		if same {
			n++
		}
	}
	return n
}

// allWays pairs each destination with the source that the kernel would take and
// with every other uplink of its family.
func allWays(to []netip.AddrPort, ups []sctpmh.Uplink, source func(netip.AddrPort) netip.Addr) (all []way) {
	for _, d := range to {
		own := source(d)
		natural := way{from: sctpmh.Uplink{Addr: own}, to: d, free: true}
		local := d.Addr().IsLoopback() || d.Addr().IsLinkLocalUnicast() || d.Addr() == own
		if own.IsValid() || len(ups) == 0 {
			for _, u := range ups {
				if u.Addr == own {
					natural.from = u
				}
			}
			all = append(all, natural)
		}
		for _, u := range ups {
			if !local && u.Addr != own && matches(u.Addr, d.Addr()) {
				all = append(all, way{from: u, to: d})
			}
		}
	}
	return all
}

// matches reports whether packets from a source can come back from a
// destination: both are of one family, and unique local IPv6 addresses (RFC
// 4193) know each other only.
func matches(source, destination netip.Addr) bool {
	return source.Is4() == destination.Is4() && (source.Is4() || source.IsPrivate() == destination.IsPrivate())
}
