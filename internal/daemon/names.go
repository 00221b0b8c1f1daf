package daemon

import (
	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/noid"
	"github.com/sctpmh/mh/tcpemu"
)

// NamesConfig is how a daemon resolves names.
func NamesConfig(c *config.Common) (noid.Config, error) {
	zones, err := c.Zones()
	if err != nil {
		return noid.Config{}, &UsageError{err}
	}
	rc := noid.Config{
		Consistency: c.DNS.Consistency.Consistency, HostsFile: c.DNS.Hosts, Zones: zones,
		Trust: c.DNS.Trust.Trust, ReverseAll: c.DNS.ReverseAll, DNSSEC: c.DNS.DNSSEC(),
		PortRecords: c.DNS.PortRecords, MaxOrphan: c.DNS.MaxOrphan.D(), Network: noid.SystemNetwork,
		Native: c.Transport.UDPPort == 0 && c.Transport.Backend != config.BackendUDP,
	}
	if c.DNS.SystemHosts == nil || *c.DNS.SystemHosts {
		rc.SystemHosts = "/etc/hosts"
	}
	for _, u := range c.DNS.Upstream {
		rc.Upstreams = append(rc.Upstreams, u.Upstream)
	}
	if c.DNS.Search == nil {
		// Without the file no name is completed, which is all that it is read for here.
		rc.Search, rc.Dots, _ = noid.SystemSearch("/etc/resolv.conf")
	}
	for _, z := range c.DNS.Search {
		rc.Search = append(rc.Search, string(z))
	}
	return rc, nil
}

// UserNames is Names for what people of this host ask for: names that lack
// their domain are completed.
func (h *Host) UserNames() tcpemu.Resolver {
	if h.Names == nil {
		return nil // only addresses can be dialled
	}
	names := *h.Names
	names.Relative = true
	return &names
}
