package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

const reversePathCheck = "rp-filter"

// Modes of the kernel's reverse path filter (RFC 3704).
const (
	filterOff = iota
	filterStrict
	filterLoose
)

// checkReversePath looks for links whose packets the kernel drops on arrival: a
// strict filter wants answers to leave where the packet came in, by the routing
// table. That our sockets are bound to the right device does not help. IPv6 has
// no such filter but that of a firewall.
func checkReversePath(h *host) (out []Finding) {
	var good []string
	for _, l := range h.leading() {
		locals := h.on(l, func(x *local) bool { return x.leads() && x.addr.Is4() })
		if len(locals) == 0 {
			continue
		}
		mode, err := filterMode(l)
		if err != nil {
			out = append(out, Finding{reversePathCheck, Warn, err.Error(), nil})
			continue
		}
		var dropped []*local
		for _, x := range locals {
			if mode == filterStrict && x.plain.device != l.name {
				dropped = append(dropped, x)
			}
		}
		switch {
		case len(dropped) > 0:
			out = append(out, Finding{reversePathCheck, Warn,
				fmt.Sprintf("%s is strict: packets to %s are dropped, as the kernel's way back is not by %s", l.name, list(dropped, (*local).String), l.name),
				[]string{"sysctl -w " + filterName(l) + "=2, and the same in /etc/sysctl.d to keep it", "or cure source routing, and strict does no harm"}})
		case mode == filterStrict:
			good = append(good, l.name+" strict, and the way back is its own")
		case mode == filterLoose:
			good = append(good, l.name+" loose")
		default:
			good = append(good, l.name+" off")
		}
	}
	if len(good) > 0 {
		out = append(out, Finding{reversePathCheck, OK, strings.Join(good, "; "), nil})
	}
	return out
}

// filterMode returns a link's mode. The greater of its own setting and that of
// all links counts.
func filterMode(l *link) (mode int, err error) {
	for _, name := range []string{"all", l.name} {
		b, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + name + "/rp_filter")
		if errors.Is(err, fs.ErrNotExist) {
			continue // the link has just gone
		}
		if err != nil {
			return 0, fmt.Errorf("rp_filter of %s cannot be read: %w", name, err)
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return 0, fmt.Errorf("rp_filter of %s is %q, want a number", name, b)
		}
		mode = max(mode, n)
	}
	return mode, nil
}

// filterName is the setting's name for sysctl, where a dot in a device's name
// would be a separator.
func filterName(l *link) string {
	if strings.Contains(l.name, ".") {
		return "net/ipv4/conf/" + l.name + "/rp_filter"
	}
	return "net.ipv4.conf." + l.name + ".rp_filter"
}
