package config

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/sctpmh/mh/noid"
)

// Common are the keys that both daemons have.
type Common struct {
	Name      Name      `toml:"name"`
	Transport Transport `toml:"transport"`
	DNS       DNS       `toml:"dns"`
	Security  Security  `toml:"security"`
	Callback  Callback  `toml:"callback"`
	Limits    Limits    `toml:"limits"`
	Log       Log       `toml:"log"`
}

// Transport is the [transport] table.
type Transport struct {
	Local           []Address `toml:"local"`
	UDPPort         uint16    `toml:"udp-port"`
	Backend         Backend   `toml:"backend"`
	Mode            Mode      `toml:"mode"`
	Disclose        Disclose  `toml:"disclose"`
	MaxAssociations int       `toml:"max-associations"`
	MaxStreams      uint16    `toml:"max-streams"`
}

// DNS is the [dns] table.
type DNS struct {
	Upstream     []Upstream           `toml:"upstream"`
	Consistency  Consistency          `toml:"consistency"`
	Trust        Trust                `toml:"trust"`
	ReverseAll   bool                 `toml:"reverse-all"`
	PortRecords  bool                 `toml:"port-records"`
	Search       []Name               `toml:"search"` // nil: those of resolv.conf
	MaxOrphan    Duration             `toml:"max-orphan"`
	Hosts        string               `toml:"hosts"`
	SystemHosts  *bool                `toml:"system-hosts"`
	PrivateZones map[string][]Network `toml:"private-zones"`
	Validate     *bool                `toml:"validate"`
	Anchors      []string             `toml:"anchors"`
	Unsigned     []ZoneName           `toml:"unsigned"`
}

// Security is the [security] table.
type Security struct {
	Mode SecurityMode `toml:"mode"`
}

// Callback is the [callback] table: which protocols' servers may connect to
// their clients.
type Callback struct {
	FTP bool `toml:"ftp"`
}

// Limits is the [limits] table.
type Limits struct {
	Handshake   Duration `toml:"handshake"`
	Connect     Duration `toml:"connect"`
	Idle        Duration `toml:"idle"`
	Drain       Duration `toml:"drain"`
	Connections int      `toml:"connections"`
	PerClient   int      `toml:"per-client"`
}

// Log is the [log] table.
type Log struct {
	Level  Level  `toml:"level"`
	Format Format `toml:"format"`
}

// Socks is the configuration of mh-socks.
type Socks struct {
	Common
	Listen []HostPort `toml:"listen"`
	Via    Name       `toml:"via"`
	Rules  []Rule     `toml:"rule"`
}

// A Rule says what becomes of connections that fit all that it names. The
// first one that fits is taken; none: "auto".
type Rule struct {
	Port   []PortRange `toml:"port"`
	Name   []Pattern   `toml:"name"`
	CIDR   []Network   `toml:"cidr"`
	Client []Network   `toml:"client"`
	Action Action      `toml:"action"`
}

// Gateway is the configuration of mh-gw.
type Gateway struct {
	Common
	Services   []Service   `toml:"service"`
	Egress     Egress      `toml:"egress"`
	Forwards   []Forward   `toml:"forward"`
	Intercepts []Intercept `toml:"intercept"`
}

// A Service is a legacy TCP server that peers may reach.
type Service struct {
	Port   uint16   `toml:"port"`
	Target HostPort `toml:"target"`
	Peers  []Peer   `toml:"peers"`
}

// Egress lets peers reach other destinations.
type Egress struct {
	Peers []Peer        `toml:"peers"`
	Allow []Destination `toml:"allow"`
	Deny  []Destination `toml:"deny"`
}

// A Forward takes legacy TCP connections to a host that speaks mh.
type Forward struct {
	Listen HostPort `toml:"listen"`
	To     HostPort `toml:"to"`
}

// An Intercept takes over legacy TCP connections to wherever they go, which the
// packet filter hands to it.
type Intercept struct {
	Listen HostPort      `toml:"listen"`
	Mode   InterceptMode `toml:"mode"`
}

// A Destination is "HOST:PORT", either of which may be "*": a network, an
// address, a name, or "*.zone".
type Destination struct {
	Any     bool
	Network netip.Prefix
	Name    Pattern
	Ports   PortRange // zero: all
}

// UnmarshalText reads a destination.
func (d *Destination) UnmarshalText(b []byte) error {
	host, port, ok := cutLast(string(b), ":")
	bad := fmt.Errorf("%q: want HOST:PORT such as \"*:443\", \"203.0.113.0/24:*\" or \"*.example.net:8000-8999\"", b)
	if !ok {
		return bad
	}
	if port != "*" && d.Ports.UnmarshalText([]byte(port)) != nil {
		return bad
	}
	host = strings.Trim(host, "[]")
	if host == "*" {
		d.Any = true
		return nil
	}
	if n, ok := parseNetwork(host); ok {
		d.Network = n
		return nil
	}
	if d.Name.UnmarshalText([]byte(host)) != nil {
		return bad
	}
	return nil
}

func common() Common {
	return Common{
		Transport: Transport{MaxAssociations: 4096, MaxStreams: 16384},
		Security:  Security{Mode: "off"},
		Limits: Limits{
			Handshake: Duration(10 * time.Second), Connect: Duration(30 * time.Second), Drain: Duration(30 * time.Second),
			Connections: 10000, PerClient: 1000,
		},
	}
}

// DefaultSocks is the configuration of mh-socks without a file.
func DefaultSocks() *Socks {
	return &Socks{Common: common(), Listen: []HostPort{"127.0.0.1:1080"}}
}

// DefaultGateway is the configuration of mh-gw without a file.
func DefaultGateway() *Gateway {
	g := &Gateway{Common: common()}
	g.Transport.UDPPort = noid.DefaultUDPPort
	return g
}

// LoadSocks reads a file over the defaults; "": none.
func LoadSocks(file string) (*Socks, error) {
	c := DefaultSocks()
	if err := load(file, c, &c.Common); err != nil {
		return nil, err
	}
	for i, r := range c.Rules {
		if r.Action == "" {
			return nil, fmt.Errorf("%s: rule %d has no action: want \"auto\", \"mh\", \"via\", \"direct\" or \"deny\"", file, i+1)
		}
	}
	return c, nil
}

// LoadGateway reads a file over the defaults; "": none.
func LoadGateway(file string) (*Gateway, error) {
	c := DefaultGateway()
	if err := load(file, c, &c.Common); err != nil {
		return nil, err
	}
	for i, s := range c.Services {
		if s.Port == 0 || s.Target == "" {
			return nil, fmt.Errorf("%s: service %d needs port and target", file, i+1)
		}
		if len(s.Peers) == 0 {
			return nil, fmt.Errorf("%s: service %d has no peers, so nobody could use it: want peers = [\"*\"], names or networks", file, i+1)
		}
	}
	for i, f := range c.Forwards {
		if f.Listen == "" || f.To == "" {
			return nil, fmt.Errorf("%s: forward %d needs listen and to", file, i+1)
		}
	}
	for i, n := range c.Intercepts {
		if n.Listen == "" {
			return nil, fmt.Errorf("%s: intercept %d needs listen", file, i+1)
		}
	}
	return c, nil
}

// load decodes a file strictly.
func load(file string, v any, c *Common) error {
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().EnableUnmarshalerInterface()
	if err := d.Decode(v); err != nil {
		return located(file, b, err)
	}
	if c.DNS.Hosts != "" && !filepath.IsAbs(c.DNS.Hosts) {
		c.DNS.Hosts = filepath.Join(filepath.Dir(file), c.DNS.Hosts)
	}
	if _, err := c.Zones(); err != nil {
		return fmt.Errorf("%s: dns.private-zones: %w", file, err)
	}
	return nil
}

// Zones returns the private zones.
func (c *Common) Zones() (zones []noid.Zone, err error) {
	for name, networks := range c.DNS.PrivateZones {
		var prefixes []netip.Prefix
		for _, n := range networks {
			prefixes = append(prefixes, n.Prefix)
		}
		z, err := noid.NewZone(name, prefixes)
		if err != nil {
			return nil, err
		}
		zones = append(zones, z)
	}
	return zones, nil
}
