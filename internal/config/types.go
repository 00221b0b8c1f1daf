package config

import (
	"bytes"
	"encoding"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/sctpmh/mh/noid"
)

// Duration is a time.Duration in Go's notation, such as "10s".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q: want a duration such as \"10s\" or \"1m30s\"", b)
	}
	*d = Duration(v)
	return nil
}

// D returns the duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Name is a host name.
type Name string

// UnmarshalText reads a host name.
func (n *Name) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*n = ""
		return nil
	}
	v, err := noid.ParseName(string(b))
	if err != nil {
		return fmt.Errorf("%q: want a host name such as \"site-a.example.net\"", b)
	}
	*n = Name(v.String())
	return nil
}

// Address is a local IP address.
type Address struct{ netip.Addr }

// UnmarshalText reads an address.
func (a *Address) UnmarshalText(b []byte) error {
	v, err := netip.ParseAddr(string(b))
	if err != nil || v.IsUnspecified() {
		return fmt.Errorf("%q: want a concrete IP address such as \"192.0.2.10\"", b)
	}
	a.Addr = v.Unmap()
	return nil
}

// HostPort is a TCP address to listen on or connect to.
type HostPort string

// UnmarshalText reads host:port.
func (h *HostPort) UnmarshalText(b []byte) error {
	host, port, ok := cutLast(string(b), ":")
	if n, err := strconv.ParseUint(port, 10, 16); !ok || err != nil || host == "" && n == 0 {
		return fmt.Errorf("%q: want HOST:PORT such as \"127.0.0.1:8080\"", b)
	}
	*h = HostPort(b)
	return nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Upstream is a DNS server.
type Upstream struct{ noid.Upstream }

// UnmarshalText reads a server's URL.
func (u *Upstream) UnmarshalText(b []byte) (err error) {
	u.Upstream, err = noid.ParseUpstream(string(b))
	return err
}

// Trust is a trust mode.
type Trust struct{ noid.Trust }

// UnmarshalText reads a trust mode.
func (t *Trust) UnmarshalText(b []byte) (err error) {
	t.Trust, err = noid.ParseTrust(string(b))
	return err
}

// Consistency says what to believe when DNS servers tell different things.
type Consistency struct{ noid.Consistency }

// UnmarshalText reads a consistency.
func (c *Consistency) UnmarshalText(b []byte) (err error) {
	c.Consistency, err = noid.ParseConsistency(string(b))
	return err
}

// Level is a log level.
type Level struct{ slog.Level }

// UnmarshalText reads a log level.
func (l *Level) UnmarshalText(b []byte) error {
	switch string(b) {
	case "debug", "info", "warn", "error":
		return l.Level.UnmarshalText(b)
	}
	return fmt.Errorf("%q: want \"debug\", \"info\", \"warn\" or \"error\"", b)
}

// Format is a log format: "text", "json", or "" for what suits the output.
type Format string

// UnmarshalText reads a log format.
func (f *Format) UnmarshalText(b []byte) error {
	switch string(b) {
	case "text", "json":
		*f = Format(b)
		return nil
	}
	return fmt.Errorf("%q: want \"text\" or \"json\"", b)
}

// SecurityMode is the mode of sealed associations.
type SecurityMode string

// UnmarshalText reads the mode.
func (m *SecurityMode) UnmarshalText(b []byte) error {
	if string(b) != "off" {
		return fmt.Errorf("%q: this version knows only \"off\": associations are not sealed", b)
	}
	*m = SecurityMode(b)
	return nil
}

// InterceptMode is how the packet filter hands connections over; "" means
// "redirect" too.
type InterceptMode string

// Modes of interception.
const (
	InterceptRedirect InterceptMode = "redirect" // their destination is changed to ours
	InterceptTProxy   InterceptMode = "tproxy"   // it is not, and they come to our socket all the same
)

// UnmarshalText reads the mode.
func (m *InterceptMode) UnmarshalText(b []byte) error {
	switch InterceptMode(b) {
	case InterceptRedirect, InterceptTProxy:
		*m = InterceptMode(b)
		return nil
	}
	return fmt.Errorf("%q: want \"redirect\" or \"tproxy\"", b)
}

// Backend is what carries associations.
type Backend string

// Backends.
const (
	BackendUDP    Backend = "udp"
	BackendRaw    Backend = "raw"
	BackendKernel Backend = "kernel"
)

// UnmarshalText reads a backend.
func (v *Backend) UnmarshalText(b []byte) error {
	switch Backend(b) {
	case BackendUDP, BackendRaw, BackendKernel:
		*v = Backend(b)
		return nil
	}
	return fmt.Errorf("%q: want \"udp\", \"raw\" or \"kernel\"", b)
}

// Disclose is which local addresses are named to peers: "none", "all", or ""
// for what suits the backend.
type Disclose string

// UnmarshalText reads what to disclose.
func (v *Disclose) UnmarshalText(b []byte) error {
	switch string(b) {
	case "none", "all":
		*v = Disclose(b)
		return nil
	}
	return fmt.Errorf("%q: want \"none\" or \"all\"", b)
}

// All reports whether the addresses are named; usual is what the daemon does
// over UDP when nothing is said. Without UDP they always are: peers are other
// SCTP stacks then, which learn addresses in no other way.
func (v Disclose) All(backend Backend, usual bool) bool {
	if v != "" {
		return v == "all"
	}
	return usual || backend != BackendUDP && backend != ""
}

// Action is what a rule does with a connection.
type Action string

// UnmarshalText reads an action.
func (a *Action) UnmarshalText(b []byte) error {
	switch string(b) {
	case "auto", "mh", "via", "direct", "deny":
		*a = Action(b)
		return nil
	}
	return fmt.Errorf("%q: want \"auto\", \"mh\", \"via\", \"direct\" or \"deny\"", b)
}

// Network is a prefix or a single address.
type Network struct{ netip.Prefix }

// UnmarshalText reads a network.
func (n *Network) UnmarshalText(b []byte) error {
	p, ok := parseNetwork(string(b))
	if !ok {
		return fmt.Errorf("%q: want a network such as \"192.0.2.0/24\"", b)
	}
	n.Prefix = p
	return nil
}

func parseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err == nil
}

// Pattern is a host name, or "*.zone" for every name below a zone.
type Pattern string

// UnmarshalText reads a pattern.
func (p *Pattern) UnmarshalText(b []byte) error {
	name := strings.TrimPrefix(string(b), "*.")
	n, err := noid.ParseName(name)
	if err != nil {
		return fmt.Errorf("%q: want a host name or \"*.zone\"", b)
	}
	*p = Pattern(strings.TrimSuffix(string(b), name) + n.String())
	return nil
}

// Match reports whether a name fits.
func (p Pattern) Match(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if zone, ok := strings.CutPrefix(string(p), "*"); ok {
		return strings.HasSuffix(name, zone)
	}
	return name == string(p)
}

// Peer says which peers a rule is for: "*", a verified name, or a network
// that their handshake came from.
type Peer struct {
	Any     bool
	Name    string
	Network netip.Prefix
}

// UnmarshalText reads a peer.
func (p *Peer) UnmarshalText(b []byte) error {
	s := string(b)
	if s == "*" {
		p.Any = true
		return nil
	}
	if n, ok := parseNetwork(s); ok {
		p.Network = n
		return nil
	}
	if strings.HasPrefix(s, "sha256:") {
		return fmt.Errorf("%q: keys need sealed associations, which this version does not have: name the peer or its network", b)
	}
	n, err := noid.ParseName(s)
	if err != nil {
		return fmt.Errorf("%q: want \"*\", a host name or a network", b)
	}
	p.Name = n.String()
	return nil
}

// Match reports whether a peer with a verified name, which may be empty, at
// an address is meant.
func (p Peer) Match(name string, from netip.Addr) bool {
	return p.Any || p.Name != "" && p.Name == strings.TrimSuffix(name, ".") || p.Network.IsValid() && p.Network.Contains(from)
}

// PortRange is a port or a range of them.
type PortRange struct{ First, Last uint16 }

// UnmarshalText reads "80" or "8000-8999".
func (r *PortRange) UnmarshalText(b []byte) error {
	first, last, isRange := strings.Cut(string(b), "-")
	if !isRange {
		last = first
	}
	f, err1 := strconv.ParseUint(first, 10, 16)
	l, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || f == 0 || l < f {
		return fmt.Errorf("%q: want a port such as \"443\" or a range such as \"8000-8999\"", b)
	}
	*r = PortRange{uint16(f), uint16(l)}
	return nil
}

// Contains reports whether a port is meant.
func (r PortRange) Contains(p uint16) bool { return r.First <= p && p <= r.Last }

// The decoder copies strings into types that are strings without asking their
// UnmarshalText; it does ask UnmarshalTOML.

// UnmarshalTOML reads a host name.
func (n *Name) UnmarshalTOML(raw []byte) error { return unquoted(raw, n) }

// UnmarshalTOML reads host:port.
func (h *HostPort) UnmarshalTOML(raw []byte) error { return unquoted(raw, h) }

// UnmarshalTOML reads a log format.
func (f *Format) UnmarshalTOML(raw []byte) error { return unquoted(raw, f) }

// UnmarshalTOML reads the mode.
func (m *SecurityMode) UnmarshalTOML(raw []byte) error { return unquoted(raw, m) }

// UnmarshalTOML reads the mode.
func (m *InterceptMode) UnmarshalTOML(raw []byte) error { return unquoted(raw, m) }

// UnmarshalTOML reads a backend.
func (v *Backend) UnmarshalTOML(raw []byte) error { return unquoted(raw, v) }

// UnmarshalTOML reads what to disclose.
func (v *Disclose) UnmarshalTOML(raw []byte) error { return unquoted(raw, v) }

// UnmarshalTOML reads an action.
func (a *Action) UnmarshalTOML(raw []byte) error { return unquoted(raw, a) }

// UnmarshalTOML reads a pattern.
func (p *Pattern) UnmarshalTOML(raw []byte) error { return unquoted(raw, p) }

// UnmarshalTOML reads a port as a number or a range as a string.
func (r *PortRange) UnmarshalTOML(raw []byte) error { return unquoted(raw, r) }

// unquoted gives a type the text of a TOML value.
func unquoted(raw []byte, v encoding.TextUnmarshaler) error {
	raw = bytes.TrimSpace(raw)
	if err := v.UnmarshalText(bytes.Trim(raw, `"'`)); err != nil {
		return &valueError{raw: bytes.Clone(raw), err: err}
	}
	return nil
}

// A valueError is a value that is wrong. The decoder does not say where it
// stood.
type valueError struct {
	raw []byte
	err error
}

func (e *valueError) Error() string { return e.err.Error() }
