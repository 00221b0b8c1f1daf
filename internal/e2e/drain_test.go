package e2e

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// SIGTERM ends a gateway without a victim: what runs goes on to its end, new
// connections are refused at once, and the program is gone with the last one.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	service := "[transport]\nudp-port = 9901\n[[service]]\nport = 81\ntarget = \"127.0.0.1:8080\"\npeers = [\"*\"]"
	file, err := s.Config("gw2.toml", "gw2.example.net", service)
	s.must(err)
	text, err := os.ReadFile(file)
	s.must(err)
	s.must(os.WriteFile(file, []byte(strings.Replace(string(text), `drain = "1s"`, `drain = "30s"`, 1)), 0o600))
	s.must(s.SetZone(s.Zone() + "_mhsctp.second.example.net. 60 IN SVCB 1 gw2.example.net. port=9901 key65280=\"\\001\\001\"\ngw2.example.net. 60 IN A " + s.Site.Addrs()[0].String() + "\n"))
	gw, err := s.Start(s.Site, "mh-gw", "-c", file)
	s.must(err)
	s.must(gw.AwaitReady())
	dial := func() (*net.TCPConn, error) { return s.DialSocks("second.example.net", 81) }

	running, err := dial()
	s.must(err)
	gw.Terminate()
	deadline := time.Now().Add(10 * time.Second)
	for refused := false; !refused; { // the signal is on its way through the program
		began := time.Now()
		c, err := dial()
		switch d := time.Since(began); {
		case err == nil && time.Now().After(deadline):
			t.Fatal("a gateway that drains accepts connections")
		case err == nil:
			c.Close()
		case d > 5*time.Second:
			t.Errorf("%v after %v, want a refusal at once", err, d)
			fallthrough
		default:
			refused = true
		}
	}
	var progress meter
	s.must(exchange(running, 1<<20, 1<<20, &progress))
	if code := gw.Exit(); code != 0 {
		t.Errorf("the gateway ended with exit code %d:\n%s", code, gw.Log())
	}
}
