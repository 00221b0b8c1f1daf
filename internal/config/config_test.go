package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/sctpmh/mh/noid"
)

func file(t *testing.T, text string) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "mh.toml")
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestSocksFile(t *testing.T) {
	c, err := LoadSocks(file(t, `
name = "Laptop.example.net"
listen = ["127.0.0.1:1080", "[::1]:1080"]
via = "gw.example.net"
[transport]
local = ["192.0.2.10", "2001:db8:b::10"]
[dns]
upstream = ["udp://192.0.2.53:53"]
consistency = "all"
trust = "reverse"
reverse-all = true
port-records = true
search = ["corp.example"]
max-orphan = "10m"
system-hosts = false
hosts = "hosts"
private-zones = { "corp.example" = ["10.0.0.0/8", "fd00::/8"] }
[callback]
ftp = true
[limits]
connect = "5s"
[log]
level = "debug"
[[rule]]
port = [119, "8000-8999"]
name = ["*.example.net"]
action = "via"
`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "laptop.example.net" || len(c.Listen) != 2 || len(c.Transport.Local) != 2 || c.Limits.Connect.D().Seconds() != 5 || c.DNS.Trust.String() != "reverse" || !c.Callback.FTP || DefaultSocks().Callback.FTP {
		t.Errorf("%+v", c)
	}
	if d := c.DNS; d.Consistency.Consistency != noid.ConsistencyAll || !d.ReverseAll || !d.PortRecords || d.MaxOrphan.D() != 10*time.Minute || *d.SystemHosts || !slices.Equal(d.Search, []Name{"corp.example"}) {
		t.Errorf("%+v", d)
	}
	r := c.Rules[0]
	if !r.Port[0].Contains(119) || !r.Port[1].Contains(8500) || r.Port[1].Contains(9000) || !r.Name[0].Match("a.Example.net") || r.Name[0].Match("example.net") {
		t.Errorf("%+v", r)
	}
	if !filepath.IsAbs(c.DNS.Hosts) {
		t.Errorf("hosts file %q is not relative to the configuration", c.DNS.Hosts)
	}
}

// Each mistake is reported with its file, line and key, and what is allowed.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"nmae = \"x\"\n":                                          ":1:1: unknown key nmae",
		"[transport]\nudp-prot = 1\n":                             ":2:1: unknown key transport.udp-prot",
		"name = \"a b\"\n":                                        ":1:8: name: \"a b\": want a host name",
		"\n[transport]\nlocal = [\"0.0.0.0\"]\n":                  ":3:10: transport.local",
		"[transport]\nmode = \"bonded\"\n":                        ":2:8: transport.mode: \"bonded\": want \"failover\" or \"aggregate\"",
		"[transport]\nbackend = \"tcp\"\n":                        ":2:11: transport.backend: \"tcp\": want \"udp\", \"raw\" or \"kernel\"",
		"[transport]\ndisclose = \"some\"\n":                      ":2:12: transport.disclose: \"some\": want",
		"[transport]\nudp-port = 70000\n":                         ":2:12: transport.udp-port",
		"[limits]\nconnect = \"soon\"\n":                          ":2:11: limits.connect: \"soon\": want a duration",
		"[dns]\nconsistency = \"most\"\n":                         ":2:15: dns.consistency",
		"[dns]\nsearch = [\"a b\"]\n":                             "dns.search",
		"[dns]\ntrust = \"blind\"\n":                              ":2:9: dns.trust",
		"[dns]\nupstream = [\"tls://192.0.2.1\"]\n":               "want udp://",
		"[security]\nmode = \"required\"\n":                       ":2:8: security.mode: \"required\": this version knows only \"off\"",
		"[[rule]]\nport = [\"x\"]\naction = \"via\"\n":            "want a port such as",
		"[[rule]]\nport = [1]\n":                                  "rule 1 has no action",
		"[[rule]]\naction = \"maybe\"\n":                          "want \"auto\", \"mh\"",
		"listen = [\"1080\"]\n":                                   "want HOST:PORT",
		"name = \n":                                               ":1:",
		"[dns]\nprivate-zones = { \"a b\" = [\"10.0.0.0/8\"] }\n": "dns.private-zones",
	} {
		f := file(t, text)
		_, err := LoadSocks(f)
		if err == nil || !strings.HasPrefix(err.Error(), f) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := LoadSocks("/nowhere/mh.toml"); err == nil || !strings.Contains(err.Error(), "/nowhere/mh.toml") {
		t.Errorf("missing file: %v", err)
	}
}

func TestGatewayFile(t *testing.T) {
	c, err := LoadGateway(file(t, `
[[service]]
port = 80
target = "127.0.0.1:8080"
peers = ["*"]
[egress]
peers = ["laptop.example.net", "192.0.2.0/24"]
allow = ["*:443", "203.0.113.0/24:*", "*.example.net:8000-8999", "[2001:db8::1]:22"]
[[forward]]
listen = "0.0.0.0:8443"
to = "site-b.example.net:443"
[[intercept]]
listen = "0.0.0.0:1234"
mode = "redirect"
[[intercept]]
listen = "0.0.0.0:1235"
mode = "tproxy"
`))
	if err != nil {
		t.Fatal(err)
	}
	a := c.Egress.Allow
	if c.Transport.UDPPort != 9899 || !a[0].Any || a[0].Ports.First != 443 || !a[1].Network.IsValid() || a[1].Ports.Last != 0 || a[2].Name != "*.example.net" || a[3].Network.Bits() != 128 || c.Intercepts[0].Mode != InterceptRedirect || c.Intercepts[1].Mode != InterceptTProxy {
		t.Errorf("%+v", c)
	}
	for text, want := range map[string]string{
		"[[service]]\nport = 80\n":                     "service 1 needs port and target",
		"[[service]]\nport = 80\ntarget = \"a:1\"\n":   "service 1 has no peers",
		"[egress]\npeers = [\"sha256:abc\"]\n":         "keys need sealed associations",
		"[egress]\nallow = [\"443\"]\n":                "want HOST:PORT",
		"[[forward]]\nlisten = \"0.0.0.0:1\"\n":        "forward 1 needs listen and to",
		"[[service]]\nport = 80\nproxy-protocol = 1\n": "unknown key service.proxy-protocol",
		"[[intercept]]\nmode = \"redirect\"\n":         "intercept 1 needs listen",
		"[[intercept]]\nmode = \"divert\"\n":           ":2:8: intercept.mode: \"divert\": want \"redirect\" or \"tproxy\"",
	} {
		if _, err := LoadGateway(file(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// Flags come before the environment, and both before the file.
func TestPrecedence(t *testing.T) {
	c := DefaultSocks()
	c.Via = "file.example.net"
	fs := pflag.NewFlagSet("x", pflag.ContinueOnError)
	AddFlags(fs, c.Settings())
	t.Setenv("MH_VIA", "env.example.net")
	t.Setenv("MH_LISTEN", "127.0.0.1:1,127.0.0.1:2")
	if err := fs.Parse([]string{"--via", "flag.example.net"}); err != nil {
		t.Fatal(err)
	}
	if err := Override(fs, c.Settings()); err != nil {
		t.Fatal(err)
	}
	if c.Via != "flag.example.net" || len(c.Listen) != 2 {
		t.Errorf("%+v", c)
	}
	t.Setenv("MH_TRUST", "blind")
	if err := Override(fs, c.Settings()); err == nil || !strings.HasPrefix(err.Error(), "MH_TRUST: ") {
		t.Errorf("bad variable: %v", err)
	}
	g := DefaultGateway()
	fs = pflag.NewFlagSet("x", pflag.ContinueOnError)
	AddFlags(fs, g.Settings())
	os.Unsetenv("MH_TRUST")
	if err := fs.Parse([]string{"--service", "80=127.0.0.1:8080", "--service", "22=127.0.0.1:22"}); err != nil {
		t.Fatal(err)
	}
	if err := Override(fs, g.Settings()); err != nil || len(g.Services) != 2 {
		t.Errorf("%+v, %v", g.Services, err)
	}
}
