package doctor

import (
	"fmt"
	"net/netip"
	"slices"
)

const uplinksCheck = "uplinks"

// checkUplinks says which links lead out, and of the others why they do not.
func checkUplinks(h *host) (out []Finding) {
	for _, l := range h.links {
		locals := h.on(l, func(*local) bool { return true })
		if len(locals) > 0 || !h.explicit && !l.loopback {
			out = append(out, checkLink(l, locals, h.explicit)...)
		}
	}
	for _, x := range h.locals {
		if x.link == nil {
			out = append(out, Finding{uplinksCheck, Fail, fmt.Sprintf("%v is on no link of this host", x),
				[]string{"take it out of transport.local, or bring up the link that should have it"}})
		}
	}
	switch h.uplinks() {
	case 0:
		out = append(out, Finding{uplinksCheck, Fail, "there is no way out", []string{"connect to a provider"}})
	case 1:
		out = append(out, Finding{uplinksCheck, Warn, "there is one way out only: connections end when it does",
			[]string{"connect to a second provider; each link needs an address and a default route, with a metric of its own"}})
	}
	return out
}

// checkLink says whether a link leads out. What is wrong with addresses that
// the user named is a failure.
func checkLink(l *link, locals []*local, named bool) (out []Finding) {
	say := func(s Status, seen string, advice ...string) {
		out = append(out, Finding{uplinksCheck, s, l.name + seen, advice})
	}
	bad, having := Warn, ""
	if named {
		bad = Fail
	}
	if addrs := l.global(); addrs != "" {
		having = " (" + addrs + ")"
	} else if l.hardware {
		bad = Info
	} else {
		return nil // a bridge port, a tunnel's end: no uplink
	}
	switch {
	case !l.up:
		say(bad, having+" is down", "ip link set "+l.name+" up")
		return out
	case !l.carrier:
		say(bad, having+" has no carrier", "plug it in, or join a network")
		return out
	case having == "":
		say(bad, " has no global address", "let DHCP or router advertisements give it one")
		return out
	}
	var good, loose, routeless []*local
	for _, x := range locals {
		switch {
		case x.leads():
			good = append(good, x)
		case x.own.err == errLoopback:
			loose = append(loose, x)
		case x.own.err == errNoRoute:
			routeless = append(routeless, x)
		default:
			say(bad, fmt.Sprintf(": %v: %v", x, x.own.err), "see the routes: "+ip(x, "route get %v from %v oif %s", farFrom(x.addr), x, l.name))
		}
	}
	if len(routeless) > 0 {
		say(bad, ": "+list(routeless, (*local).String)+": no default route", routeAdvice(routeless, named)...)
	}
	if len(loose) > 0 {
		say(Info, ": "+list(loose, (*local).String)+": this host only")
	}
	if len(good) > 0 {
		say(OK, ": "+list(good, (*local).way))
	}
	return out
}

// global lists the addresses of a link that others can reach, or, on loopback,
// all.
func (l *link) global() string {
	var all []netip.Addr
	for _, p := range l.addrs {
		if l.loopback || p.Addr().IsGlobalUnicast() {
			all = append(all, p.Addr())
		}
	}
	return list(all, netip.Addr.String)
}

// way is an address and the router that its packets leave by.
func (x *local) way() string {
	s := x.addr.String()
	if x.own.gateway.IsValid() {
		s += " via " + x.own.gateway.String()
	}
	if x.own.device != x.link.name {
		s += " by " + x.own.device
	}
	return s
}

// routeAdvice says how to give addresses of a link a way out.
func routeAdvice(all []*local, named bool) (advice []string) {
	for _, x := range all {
		add := ip(x, "route add default via ROUTER dev %s metric %d", x.link.name, x.link.number())
		if !slices.Contains(advice, add) {
			advice = append(advice, add)
		}
	}
	if !named {
		advice = append(advice, "or, if it is no uplink, name those that are in transport.local")
	}
	return advice
}

// ip is a command of iproute2 for an address's family.
func ip(x *local, format string, args ...any) string {
	if x.addr.Is6() {
		return "ip -6 " + fmt.Sprintf(format, args...)
	}
	return "ip " + fmt.Sprintf(format, args...)
}

// number is one for each link, and hardly taken: a metric or table to advise.
func (l *link) number() int { return 1000 + l.index }

// uplinks counts the ways out: devices, and IPv4 routers where a device has
// several. IPv6 routers do not count: addresses of one link often leave by
// different ones.
func (h *host) uplinks() int {
	ways, has4 := map[exit]bool{}, map[string]bool{}
	for _, x := range h.locals {
		if x.leads() && x.addr.Is4() {
			ways[x.own], has4[x.own.device] = true, true
		}
	}
	for _, x := range h.locals {
		if x.leads() && x.addr.Is6() && !has4[x.own.device] {
			ways[exit{device: x.own.device}] = true
		}
	}
	return len(ways)
}
