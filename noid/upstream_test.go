package noid

import (
	"strings"
	"testing"
)

// Servers are named by URL, in one form.
func TestParseUpstream(t *testing.T) {
	for in, want := range map[string]string{
		"udp://192.0.2.53":                                  "udp://192.0.2.53:53",
		"udp://[2001:db8::53]:5353":                         "udp://[2001:db8::53]:5353",
		"tcp://192.0.2.53":                                  "tcp://192.0.2.53:53",
		"tls://192.0.2.53#DNS.example":                      "tls://192.0.2.53:853#dns.example",
		"tls://[2001:db8::53]:853#dns.example":              "tls://[2001:db8::53]:853#dns.example",
		"https://dns.example/dns-query@192.0.2.1":           "https://dns.example/dns-query@192.0.2.1",
		"https://dns.example:8443/a%20b/c@[2001:db8::1]":    "https://dns.example:8443/a%20b/c@2001:db8::1",
		"https://dns.example/some@where@192.0.2.1":          "https://dns.example/some@where@192.0.2.1",
		"https://DNS.example.:443/dns-query@::ffff:9.0.0.1": "https://dns.example/dns-query@::ffff:9.0.0.1",
	} {
		up, err := ParseUpstream(in)
		if err != nil || up.String() != want || up.TrustAD != up.Proto.encrypted() {
			t.Errorf("%s: %v, %v, want %s", in, up, err, want)
		}
	}
	for in, why := range map[string]string{
		"192.0.2.53":                              "not the URL of a DNS server",
		"quic://192.0.2.53":                       "not the URL of a DNS server",
		"udp://dns.example":                       `"dns.example" is not an IP address`,
		"udp://192.0.2.53:0":                      `"0" is not a port`,
		"udp://192.0.2.53:65536":                  `"65536" is not a port`,
		"udp://192.0.2.53/x":                      "it has a path",
		"udp://192.0.2.53#dns.example":            "it has a name, yet no certificate",
		"udp://user@192.0.2.53":                   "not the URL of a DNS server",
		"tls://192.0.2.53":                        "the name on its certificate",
		"tls://192.0.2.53#192.0.2.53":             "the name on its certificate",
		"https://dns.example/dns-query":           "no address after the path",
		"https://dns.example@192.0.2.1":           "not the URL of a DNS server",
		"https://dns.example/q?x=1@192.0.2.1":     "not the URL of a DNS server",
		"https://192.0.2.1/dns-query@192.0.2.1":   "the name on its certificate",
		"https://dns.example/dns-query@other.net": `"other.net" is not an IP address`,
		"udp://[fe80::1%":                         "missing ']' in host",
	} {
		if up, err := ParseUpstream(in); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), in) {
			t.Errorf("%s: %v, %v, want %s", in, up, err, why)
		}
	}
}

func FuzzUpstream(f *testing.F) {
	f.Add("tls://[2001:db8::53]:853#dns.example")
	f.Add("https://dns.example/dns-query@192.0.2.1")
	f.Fuzz(func(t *testing.T, s string) {
		up, err := ParseUpstream(s)
		if err != nil || up.Addr.Addr().Zone() != "" {
			return
		}
		if again, err := ParseUpstream(up.String()); err != nil || again != up {
			t.Errorf("%q is %+v, %q is %+v, %v", s, up, up, again, err)
		}
	})
}
