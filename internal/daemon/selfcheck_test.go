package daemon

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/noid"
)

// A host whose name lacks its addresses says so once it is ready; one that has
// no name has nothing to say.
func TestSelfCheck(t *testing.T) {
	d, err := dnstest.New("127.0.0.1:0", "good.example.net. 60 IN A 9.0.0.1\n")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, want := range map[config.Name]string{
		"good.example.net": "",
		"none.example.net": "none.example.net has no address",
		"":                 "",
	} {
		c := config.DefaultGateway().Common
		c.Name, c.Transport.UDPPort = name, 0
		c.Transport.Local = []config.Address{{Addr: netip.MustParseAddr("127.0.0.1")}}
		c.DNS.Upstream = []config.Upstream{{Upstream: noid.Upstream{Addr: netip.MustParseAddrPort(d.Addr())}}}
		var log bytes.Buffer
		h, err := Start(&c, &log, false)
		if err != nil {
			t.Fatal(err)
		}
		h.Ready()
		h.self.wg.Wait()
		h.Close()
		warned := strings.Contains(log.String(), "peers will not use all paths to this host")
		if warned != (want != "") || !strings.Contains(log.String(), want) {
			t.Errorf("%q:\n%s\nwant %q", name, log.String(), want)
		}
	}
}
