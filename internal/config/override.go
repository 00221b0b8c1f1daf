package config

import (
	"encoding"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// A Setting is a key that the environment and flags can set as well.
type Setting struct {
	Flag  string // its variable is MH_ and the flag in upper case, "_" for "-"
	Short string
	Usage string
	set   func(string) error
}

// Settings of mh-socks.
func (c *Socks) Settings() []Setting {
	return append(c.Common.settings(),
		Setting{Flag: "listen", Usage: "addresses for SOCKS and HTTP CONNECT clients", set: list(&c.Listen)},
		Setting{Flag: "via", Usage: "egress gateway for destinations that do not speak mh", set: text(&c.Via)},
	)
}

// Settings of mh-gw.
func (c *Gateway) Settings() []Setting {
	return append(c.Common.settings(),
		Setting{Flag: "service", Usage: "PORT=HOST:PORT, what peers may reach; replaces the file's services", set: c.setServices},
	)
}

func (c *Common) settings() []Setting {
	return []Setting{
		{Flag: "name", Usage: "own host name", set: text(&c.Name)},
		{Flag: "local", Usage: "local addresses, one for each uplink (default: all global ones)", set: list(&c.Transport.Local)},
		{Flag: "udp-port", Usage: "UDP port of associations", set: func(s string) error {
			n, err := strconv.ParseUint(s, 10, 16)
			c.Transport.UDPPort = uint16(n)
			if err != nil {
				return fmt.Errorf("%q: want a port number", s)
			}
			return nil
		}},
		{Flag: "backend", Usage: "udp, raw or kernel: what carries associations", set: text(&c.Transport.Backend)},
		{Flag: "dns", Usage: "DNS servers, such as udp://192.0.2.53 (default: resolv.conf)", set: list(&c.DNS.Upstream)},
		{Flag: "trust", Usage: "opportunistic, reverse, strict, pinned or single", set: text(&c.DNS.Trust)},
		{Flag: "hosts", Usage: "static hosts file", set: func(s string) error { c.DNS.Hosts = s; return nil }},
		{Flag: "log-level", Usage: "debug, info, warn or error", set: text(&c.Log.Level)},
		{Flag: "log-format", Usage: "text or json (default: text on a terminal)", set: text(&c.Log.Format)},
	}
}

func text(v encoding.TextUnmarshaler) func(string) error {
	return func(s string) error { return v.UnmarshalText([]byte(s)) }
}

// list reads comma-separated values.
func list[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](to *[]T) func(string) error {
	return func(s string) error {
		var all []T
		for _, part := range strings.Split(s, ",") {
			var v T
			if err := P(&v).UnmarshalText([]byte(strings.TrimSpace(part))); err != nil {
				return err
			}
			all = append(all, v)
		}
		*to = all
		return nil
	}
}

func (c *Gateway) setServices(s string) error {
	c.Services = nil
	for _, part := range strings.Split(s, ",") {
		port, target, ok := strings.Cut(part, "=")
		n, err := strconv.ParseUint(port, 10, 16)
		svc := Service{Port: uint16(n), Peers: []Peer{{Any: true}}}
		if !ok || err != nil || n == 0 || svc.Target.UnmarshalText([]byte(target)) != nil {
			return fmt.Errorf("%q: want PORT=HOST:PORT such as 80=127.0.0.1:8080", part)
		}
		c.Services = append(c.Services, svc)
	}
	return nil
}

// AddFlags declares the flags of settings.
func AddFlags(fs *pflag.FlagSet, settings []Setting) {
	fs.StringP("config", "c", "", "configuration file")
	for _, s := range settings {
		if s.Flag == "service" {
			fs.StringArray(s.Flag, nil, s.Usage)
			continue
		}
		fs.StringP(s.Flag, s.Short, "", s.Usage)
	}
}

// Override sets what the environment and then the flags say. Errors name the
// variable or flag.
func Override(fs *pflag.FlagSet, settings []Setting) error {
	for _, s := range settings {
		variable := "MH_" + strings.ToUpper(strings.ReplaceAll(s.Flag, "-", "_"))
		if v, ok := os.LookupEnv(variable); ok {
			if err := s.set(v); err != nil {
				return fmt.Errorf("%s: %w", variable, err)
			}
		}
		if !fs.Changed(s.Flag) {
			continue
		}
		v := fs.Lookup(s.Flag).Value.String()
		if all, err := fs.GetStringArray(s.Flag); err == nil {
			v = strings.Join(all, ",")
		}
		if err := s.set(v); err != nil {
			return fmt.Errorf("--%s: %w", s.Flag, err)
		}
	}
	return nil
}
