package daemon

import (
	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/noid"
)

// NamesConfig is how a daemon resolves names.
func NamesConfig(c *config.Common) (noid.Config, error) {
	zones, err := c.Zones()
	if err != nil {
		return noid.Config{}, &UsageError{err}
	}
	rc := noid.Config{HostsFile: c.DNS.Hosts, Zones: zones, Trust: c.DNS.Trust.Trust, DNSSEC: c.DNS.DNSSEC()}
	for _, u := range c.DNS.Upstream {
		rc.Upstreams = append(rc.Upstreams, u.Upstream)
	}
	return rc, nil
}
