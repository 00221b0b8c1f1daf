package noid

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// networks knows on which network the host is.
//
// mu is held across look, which must not call back.
type networks struct {
	look func() string // nil: the host never changes networks

	mu    sync.Mutex
	name  string
	until time.Time
}

// current names the network. It looks at most once in networkPoll.
func (n *networks) current(now time.Time) string {
	if n.look == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if !now.Before(n.until) {
		n.name, n.until = n.look(), now.Add(networkPoll)
	}
	return n.name
}

// SystemNetwork names the network that the host is on, for Config.Network: a
// hash of the default routes, the servers of /etc/resolv.conf and the networks
// of the interfaces. Addresses within these may come and go, as temporary ones
// of IPv6 do every day.
func SystemNetwork() string {
	var facts []string
	if b, err := os.ReadFile("/etc/resolv.conf"); err == nil {
		facts = append(facts, string(b))
	}
	for _, file := range []string{"/proc/net/route", "/proc/net/ipv6_route"} {
		if f, err := os.Open(file); err == nil { // elsewhere than on Linux there is none
			facts = append(facts, defaultRoutes(io.LimitReader(f, maxRoutes))...)
			f.Close()
		}
	}
	facts = append(facts, linkPrefixes()...)
	slices.Sort(facts)
	sum := sha256.Sum256([]byte(strings.Join(facts, "\n")))
	return hex.EncodeToString(sum[:8])
}

// defaultRoutes returns the gateways and interfaces of the default routes of
// one of Linux's tables, without the counters that change with every packet.
func defaultRoutes(table io.Reader) (out []string) {
	for lines := bufio.NewScanner(table); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch {
		case len(f) == 11 && f[1] == "00000000" && f[7] == "00000000": // Iface Destination Gateway ... Mask
			out = append(out, f[0]+" "+f[2])
		case len(f) == 10 && f[1] == "00" && strings.Trim(f[0], "0") == "" && f[9] != "lo": // destination, its length, ..., next hop
			out = append(out, f[9]+" "+f[4])
		}
	}
	return out
}

func linkPrefixes() (out []string) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, p.Masked().String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
