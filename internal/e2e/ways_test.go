package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// echoAt starts an echo server on an address of the site.
func (s *scene) echoAt(addr string) net.Addr {
	s.t.Helper()
	l, err := s.Site.Listen(addr)
	s.must(err)
	done := make(chan struct{})
	go func() { // ends when the test closes l
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // ends with the connection
				defer c.Close()
				io.Copy(c, c)
				c.(*net.TCPConn).CloseWrite()
			}()
		}
	}()
	s.t.Cleanup(func() { l.Close(); <-done })
	return l.Addr()
}

// wantEcho sends through a connection and wants the same back.
func (s *scene) wantEcho(c *net.TCPConn) {
	s.t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	msg := bytes.Repeat([]byte("echo"), 50_000)
	go func() { // ends when all is sent
		c.Write(msg)
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, msg) {
		s.t.Errorf("%d octets came back, %v", len(got), err)
	}
}

// transportOf returns how the latest connection to a target went, as mh-socks
// logs it.
func (s *scene) transportOf(target string) (transport, reason string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	for n := 1; ; n++ {
		s.must(s.socks.Await(ctx, "stream finished", n))
		for _, l := range s.socks.Lines("stream finished") {
			if l["target"] == target {
				reason, _ := l["reason"].(string)
				return l["transport"].(string), reason
			}
		}
	}
}

// A name without a capability record is reached without mh, and the log says
// why.
func TestLegacyTargetIsReachedDirectly(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.must(s.SetZone(s.Zone() + "legacy.example.net. 60 IN A " + s.Site.Addrs()[0].String() + "\n"))
	s.echoAt(net.JoinHostPort(s.Site.Addrs()[0].String(), "7"))
	c, err := s.DialSocks("legacy.example.net", 7)
	s.must(err)
	s.wantEcho(c)
	want := "tcp"
	if testnet.HasMPTCP() {
		want = "mptcp"
	}
	if transport, reason := s.transportOf("legacy.example.net:7"); transport != want || !strings.Contains(reason, "_mhsctp.legacy.example.net") {
		t.Errorf("transport %q because %q", transport, reason)
	}
}

// Through the gateway to a host that does not speak mh: only for peers that
// are listed by their verified name, and only to what is allowed.
func TestEgress(t *testing.T) {
	t.Parallel()
	var legacy string
	s := newSceneWith(t, func(l *lab.Lab) options {
		legacy = l.Site.Addrs()[0].String()
		if err := l.SetZone(l.Zone() + "legacy.example.net. 60 IN A " + legacy + "\ninside.example.net. 60 IN A 127.0.0.1\n"); err != nil {
			t.Fatal(err)
		}
		return options{
			gateway: "[egress]\npeers = [\"" + lab.LaptopName + "\"]\nallow = [\"" + legacy + ":7\", \"*:443\"]\n",
			socks:   "via = \"" + lab.GatewayName + "\"\nlisten = [\"127.0.0.1:1080\"]",
		}
	})
	s.echoAt(net.JoinHostPort(legacy, "7"))
	for _, host := range []string{"legacy.example.net", legacy} {
		c, err := s.DialSocks(host, 7)
		s.must(err)
		s.wantEcho(c)
		if transport, _ := s.transportOf(net.JoinHostPort(host, "7")); transport != "mh" {
			t.Errorf("transport %q", transport)
		}
	}
	for host, port := range map[string]int{legacy: 8, "127.0.0.1": 443, "inside.example.net": 443, "169.254.169.254": 443} {
		if _, err := s.DialSocks(host, port); err == nil {
			t.Errorf("%s:%d is reached through the gateway", host, port)
		}
	}
	for _, l := range s.gw.Lines("connection refused") {
		t.Logf("refused: %v: %v", l["target"], l["error"])
	}
}

// A gateway is no relay for peers that are not listed.
func TestEgressIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := newSceneWith(t, func(*lab.Lab) options {
		return options{socks: "via = \"" + lab.GatewayName + "\"\nlisten = [\"127.0.0.1:1080\"]"}
	})
	addr := s.Site.Addrs()[0].String()
	s.echoAt(net.JoinHostPort(addr, "7"))
	if _, err := s.DialSocks(addr, 7); err != lab.SocksError(2) {
		t.Errorf("without an egress table: %v", err)
	}
}

// Legacy clients reach the site through a gateway of their own, and a cut
// does not end their connections.
func TestForward(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	// A gateway lists no addresses: its own capability record says that its
	// name is one host, whose other addresses may be used.
	s.must(s.SetZone(s.Zone() + "_mhsctp." + lab.LaptopName + ". 60 IN SVCB 1 " + lab.LaptopName + ". port=9900 key65280=\"\\001\\001\"\n"))
	file, err := s.Config("near.toml", lab.LaptopName, "[transport]\nudp-port = 9900\n[[forward]]\nlisten = \"127.0.0.1:8443\"\nto = \""+lab.SiteName+":80\"")
	s.must(err)
	near, err := s.Start(s.Laptop, "mh-gw", "-c", file)
	s.must(err)
	s.must(near.AwaitReady())
	var progress meter
	cut := when(t, &progress, 2<<20, func() {
		if err := s.ISP[0].Cut(); err != nil {
			t.Error(err)
		}
	})
	c, err := s.Laptop.Dial("tcp", "127.0.0.1:8443")
	s.must(err)
	s.must(exchange(c.(*net.TCPConn), 4<<20, 8<<20, &progress))
	<-cut
}

// The server ends its direction first, long before the client does.
func TestHalfCloseFromTheServer(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	l, err := s.Site.Listen("127.0.0.1:8081")
	s.must(err)
	got := make(chan []byte, 1)
	go func() { // ends with one connection
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "greeting")
		c.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(c)
		got <- b
	}()
	file, err := s.Config("gw2.toml", lab.GatewayName, "[transport]\nudp-port = 9901\n[[service]]\nport = 81\ntarget = \"127.0.0.1:8081\"\npeers = [\"*\"]")
	s.must(err)
	s.must(s.SetZone(s.Zone() + "_mhsctp.second.example.net. 60 IN SVCB 1 gw2.example.net. port=9901 key65280=\"\\001\\001\"\ngw2.example.net. 60 IN A " + s.Site.Addrs()[0].String() + "\nsecond.example.net. 60 IN A " + s.Site.Addrs()[0].String() + "\n"))
	gw2, err := s.Start(s.Site, "mh-gw", "-c", file)
	s.must(err)
	s.must(gw2.AwaitReady())
	c, err := s.DialSocks("second.example.net", 81)
	s.must(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	greeting, err := io.ReadAll(c) // until the server's end
	if string(greeting) != "greeting" || err != nil {
		t.Fatalf("read %q, %v", greeting, err)
	}
	data := bytes.Repeat([]byte("x"), 1<<20)
	if _, err := c.Write(data); err != nil {
		t.Fatalf("write after the server's end: %v", err)
	}
	s.must(c.CloseWrite())
	if b := <-got; !bytes.Equal(b, data) {
		t.Errorf("the server read %d octets", len(b))
	}
}
