package doctor

import (
	"fmt"
	"strings"
)

const mtuCheck = "mtu"

// leastMTU is the IP packet that every path starts with, over IPv4 too, and
// the least MTU with which the kernel has IPv6 on a link (RFC 8200 section 5).
const leastMTU = 1280

// checkMTU looks for links that are too narrow. What lies behind them is found
// out by the transport itself.
func checkMTU(h *host) (out []Finding) {
	var good []string
	for _, l := range h.leading() {
		if l.mtu >= leastMTU {
			good = append(good, fmt.Sprintf("%s %d", l.name, l.mtu))
			continue
		}
		out = append(out, Finding{mtuCheck, Fail,
			fmt.Sprintf("%s %d: the packets of %d octets that every path starts with do not fit, and IPv6 is off", l.name, l.mtu, leastMTU),
			[]string{fmt.Sprintf("ip link set %s mtu 1500, or what the provider takes, %d at least", l.name, leastMTU)}})
	}
	if len(good) > 0 {
		out = append(out, Finding{mtuCheck, OK, strings.Join(good, ", ") + "; narrower links on the way are found by probing", nil})
	}
	return out
}
