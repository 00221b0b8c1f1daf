package main

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sctpmh/mh/internal/clitest"
	"github.com/sctpmh/mh/internal/dnstest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"mh": main}) }

func TestScripts(t *testing.T) { clitest.Run(t, serveDNS) }

const zone = `
$TTL 60
$ORIGIN example.net.
@           IN SOA  ns hostmaster 1 3600 600 86400 60
ns          IN A    127.0.0.1
gw          IN A    9.0.0.99
site        IN A    9.0.0.11
site        IN A    9.0.0.12
site        IN A    10.0.0.11
_mhsctp.site IN SVCB 1 site port=9899 key65280="\001\001" mandatory=key65280
alias       IN CNAME site
11.0.0.9.in-addr.arpa. IN PTR site.example.net.
`

// serveDNS gives each script a server of its own, which takes updates: $DNS.
func serveDNS(env *testscript.Env) error {
	d, err := dnstest.NewPrimary("127.0.0.1:0", "example.net", zone, map[string]string{"k.": "c2VjcmV0IG9mIHRoZSBzY3JpcHRz"})
	if err != nil {
		return err
	}
	env.Defer(func() { d.Close() })
	_, port, _ := strings.Cut(d.Addr(), ":")
	env.Setenv("DNS", d.Addr())
	env.Setenv("DNS_PORT", port)
	env.Setenv("MH_DNS", "udp://"+d.Addr())
	return nil
}
