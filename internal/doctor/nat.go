package doctor

import (
	"net/netip"
	"slices"

	"github.com/sctpmh/mh/internal/config"
)

// translated are the addresses that lead out only through a translator: RFC
// 1918, RFC 6598 and RFC 4193.
var translated = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7"),
}

// checkNAT says what a translator costs: peers see other addresses than those
// that we would name.
func checkNAT(h *host, name config.Name) []Finding {
	const check = "nat"
	var private, leading []*local
	for _, x := range h.locals {
		if !x.leads() {
			continue
		}
		leading = append(leading, x)
		if slices.ContainsFunc(translated, func(p netip.Prefix) bool { return p.Contains(x.addr) }) {
			private = append(private, x)
		}
	}
	if len(leading) == 0 {
		return nil
	}
	if len(private) == 0 {
		return []Finding{{check, OK, "no address is a private one", nil}}
	}
	if name == "" {
		name = "NAME"
	}
	return []Finding{{check, Info, list(private, (*local).String) + ": private; peers see a translator's addresses instead", []string{
		"a peer sends to a second address of this host only with permission, and for a translator's that takes " + string(name) + " with the outer addresses,",
		"a capability record at _mhsctp." + string(name) + ", which says that the name is one host, and transport.disclose = \"none\"",
		"without these a second path leads to a second address of the peer, if that is not behind a translator itself",
	}}}
}
