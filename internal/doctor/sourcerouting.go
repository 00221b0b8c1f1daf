package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const sourceRoutingCheck = "source-routing"

// checkSourceRouting compares where the kernel would send an address's packets
// with the link that has the address. Providers drop packets with the address
// of another (BCP 38).
func checkSourceRouting(h *host) (out []Finding) {
	var good []*local
	for _, l := range h.links {
		var strays []*local
		for _, x := range h.on(l, (*local).leads) {
			switch {
			case l.virtual:
				out = append(out, Finding{sourceRoutingCheck, Info, fmt.Sprintf("%v is on %s: its socket is bound to no uplink and follows the routes, now to %s", x, l.name, x.own.device), nil})
			case x.foreignRouter():
				out = append(out, Finding{sourceRoutingCheck, Warn, fmt.Sprintf("%v leaves by %v, the router of another subnet of %s: its provider may drop that as forged", x, x.own.gateway, l.name),
					[]string{"binding to a device cannot tell two routers behind it apart; a rule for the source can:", x.rule(netip.Addr{})}})
			case x.plain.device != l.name:
				strays = append(strays, x)
			default:
				good = append(good, x)
			}
		}
		if len(strays) > 0 {
			out = append(out, h.stray(strays))
		}
	}
	if len(good) > 0 {
		out = append(out, Finding{sourceRoutingCheck, OK, list(good, (*local).String) + ": the kernel sends by the link that has the address", nil})
	}
	return out
}

// stray is about addresses of a link whose packets the kernel sends by another.
// Binding sockets to devices makes up for that, for those sockets.
func (h *host) stray(all []*local) Finding {
	l := all[0].link
	var devices, rules []string
	for _, x := range all {
		where := x.plain.device
		if x.plain.err != nil {
			where = "nowhere (" + x.plain.err.Error() + ")"
		}
		if !slices.Contains(devices, where) {
			devices = append(devices, where)
		}
		rules = append(rules, x.rule(x.own.gateway))
	}
	seen := fmt.Sprintf("%s: the kernel sends by %s, not by %s", list(all, (*local).String), strings.Join(devices, " and "), l.name)
	if h.unbound != nil {
		return Finding{sourceRoutingCheck, Warn, seen, append([]string{
			fmt.Sprintf("%v: so do our packets, and providers may drop them as forged", h.unbound),
			"use Linux 5.7, give the daemon CAP_NET_RAW, or add a rule for the source:",
		}, rules...)}
	}
	return Finding{sourceRoutingCheck, Info, seen, append([]string{
		"associations need nothing done: their sockets are bound to " + l.name,
		"binding cures nothing else: answers to TCP clients and pings leave by the wrong provider, which may drop them; rules for the source do:",
	}, rules...)}
}

// foreignRouter reports whether an address leaves by the router of another
// subnet of its link.
func (x *local) foreignRouter() bool {
	gw := x.own.gateway
	return gw.Is4() && !x.subnet.Contains(gw) && slices.ContainsFunc(x.link.addrs, func(p netip.Prefix) bool { return p.Contains(gw) })
}

// rule is what has the kernel send an address's packets by its own link.
func (x *local) rule(gateway netip.Addr) string {
	via := ""
	if gateway.IsValid() {
		via = "via " + gateway.String() + " "
	} else if x.link.asks {
		via = "via ROUTER "
	}
	n := x.link.number()
	return ip(x, "route replace default %sdev %s table %d", via, x.link.name, n) + " && " + ip(x, "rule add from %v lookup %d", x, n)
}
