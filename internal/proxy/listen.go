package proxy

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/sctpmh/mh/internal/config"
)

// checkListen refuses to be an open proxy: on an address that others reach,
// a rule must say which clients are meant.
func checkListen(cfg *config.Socks) error {
	for _, rule := range cfg.Rules {
		if len(rule.Client) > 0 {
			return nil
		}
	}
	for _, l := range cfg.Listen {
		host, _, err := net.SplitHostPort(string(l))
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		a, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !a.IsLoopback()) {
			return fmt.Errorf("listen: %q is reachable by others and no rule names clients: listen on 127.0.0.1 or add a [[rule]] with client = [...]", l)
		}
	}
	return nil
}
