package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"

	"github.com/sctpmh/mh/internal/dnstest"
	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// oneDelay is how long a first answer may take when one thing on the way is
// dead: an attempt's delay, and as much again for names and the answer itself.
const oneDelay = 600 * time.Millisecond

// page is what the site's HTTP server answers.
const page = "unmodified\n"

// serveHTTP runs a server that never heard of us, on a port of all the site's
// addresses.
func (s *scene) serveHTTP(port int) {
	s.t.Helper()
	l, err := s.Site.Listen(fmt.Sprintf(":%d", port))
	s.must(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, page) })}
	done := make(chan struct{})
	go func() { // ends when the test closes the server
		defer close(done)
		_ = server.Serve(l)
	}()
	s.t.Cleanup(func() { server.Close(); <-done })
}

// get fetches the page through mh-socks and returns how long that took.
func (s *scene) get(host string, port int) time.Duration {
	s.t.Helper()
	start := time.Now()
	c, err := s.DialSocks(host, port)
	s.must(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	req, err := http.NewRequest("GET", "http://"+host, nil)
	s.must(err)
	req.Close = true
	s.must(req.Write(c))
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	s.must(err)
	body, err := io.ReadAll(resp.Body)
	if string(body) != page || err != nil {
		s.t.Errorf("%s answers %q, %v", host, body, err)
	}
	return time.Since(start)
}

// wantWithin checks how long a page took, and that it came without mh for a
// reason that has these words.
func (s *scene) wantWithin(limit time.Duration, host string, port int, words ...string) {
	s.t.Helper()
	before := len(s.socks.Lines("stream finished"))
	took := s.get(host, port)
	if took > limit {
		s.t.Errorf("%s answered after %v, want at most %v", host, took, limit)
	}
	s.must(s.socks.Await(s.t.Context(), "stream finished", before+1))
	l := s.socks.Lines("stream finished")[before]
	s.t.Logf("%s after %v: transport=%v reason=%v", host, took, l["transport"], l["reason"])
	for _, w := range words {
		if reason, _ := l["reason"].(string); !strings.Contains(reason, w) {
			s.t.Errorf("the reason does not say %q", w)
		}
	}
}

// records returns a name's addresses in zone file form.
func records(name string, addrs ...netip.Addr) (zone string) {
	for _, a := range addrs {
		kind := "A"
		if a.Is6() {
			kind = "AAAA"
		}
		zone += fmt.Sprintf("%s. 60 IN %s %v\n", name, kind, a)
	}
	return zone
}

// The first of a server's two addresses is dead, without a sign: that costs
// one delay, and nothing the next time.
func TestServerAddressIsDead(t *testing.T) {
	t.Parallel()
	var dead netip.Addr
	s := newScene(t, func(l *lab.Lab) {
		h, err := l.Net.Host("dead")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.ISP[0].Attach(h); err != nil {
			t.Fatal(err)
		}
		if err := l.ISP[0].Cut(h); err != nil {
			t.Fatal(err)
		}
		dead = h.Addrs()[0]
		site := l.Site.Addrs()
		if err := l.SetZone(l.Zone() + records("near.example.net", dead, site[0]) + records("far.example.net", dead, site[2])); err != nil {
			t.Fatal(err)
		}
	})
	s.serveHTTP(8000)
	for _, name := range []string{"near.example.net", "far.example.net"} { // behind the same provider, and behind the other
		s.wantWithin(oneDelay, name, 8000, "_mhsctp."+name, ">"+dead.String()+":8000: no answer so far")
		s.wantWithin(oneDelay, name, 8000, "it has won here before")
	}
}

// serveNamesOnLaptop replaces the DNS servers by one on the laptop: what a dead
// uplink costs those who ask is another question.
func serveNamesOnLaptop(l *lab.Lab, zone string) error {
	for _, d := range l.DNS {
		d.Close()
	}
	l.DNS = nil
	return l.Laptop.Do(func() error {
		d, err := dnstest.New("127.0.0.53:53", zone)
		if err == nil {
			l.DNS = append(l.DNS, d)
		}
		return err
	})
}

// One of the laptop's two uplinks is dead, without a sign.
func TestUplinkIsDead(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(l *lab.Lab) {
		site := l.Site.Addrs()
		zone := l.Zone() + records("four.example.net", site[0], site[2]) + records("six.example.net", site[1], site[3]) + records("both.example.net", site...)
		if err := serveNamesOnLaptop(l, zone); err != nil {
			t.Fatal(err)
		}
	})
	s.serveHTTP(8000)
	for _, isp := range s.ISP {
		s.must(isp.Cut())
		for _, name := range []string{"four.example.net", "six.example.net", "both.example.net"} {
			s.wantWithin(oneDelay, name, 8000, "_mhsctp."+name)
		}
		s.must(isp.Restore())
	}
}

// The laptop's kernel has routes to all of the site's one address over the
// uplink that is dead. A source address alone does not lead over the other.
func TestKernelPrefersDeadUplink(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(l *lab.Lab) {
		site := l.Site.Addrs()
		if err := serveNamesOnLaptop(l, l.Zone()+records("four.example.net", site[2])+records("six.example.net", site[3])); err != nil {
			t.Fatal(err)
		}
		err := l.Laptop.Do(func() error {
			first, err := netlink.LinkByName("isp1")
			if err != nil {
				return err
			}
			for i, router := range []string{"10.1.1.1", "fd00:1:1::1"} {
				to := site[2+i]
				r := &netlink.Route{
					LinkIndex: first.Attrs().Index, Gw: net.ParseIP(router), Priority: 1,
					Dst: &net.IPNet{IP: to.AsSlice(), Mask: net.CIDRMask(to.BitLen(), to.BitLen())},
				}
				if err := netlink.RouteAdd(r); err != nil {
					return fmt.Errorf("route to %v: %w", to, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	s.serveHTTP(8000)
	s.must(s.ISP[0].Cut())
	laptop := s.Laptop.Addrs()
	s.wantWithin(oneDelay, "four.example.net", 8000, laptop[0].String()+">10.2.2.2:8000: no answer so far")
	s.wantWithin(oneDelay, "six.example.net", 8000, laptop[1].String()+">[fd00:2:2::2]:8000: no answer so far")
	s.wantWithin(oneDelay, "four.example.net", 8000, "it has won here before")
}

// multipathCounter is one of those that the kernel keeps of multipath TCP in a
// host.
func (s *scene) multipathCounter(h *testnet.Host, name string) (value string) {
	s.t.Helper()
	s.must(h.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/netstat")
		var heads []string
		for line := range strings.Lines(string(b)) {
			words := strings.Fields(line)
			if words[0] != "MPTcpExt:" {
				continue
			}
			for i, head := range heads {
				if head == name {
					value = words[i]
				}
			}
			heads = words
		}
		return err
	}))
	return value
}

// Multipath TCP is what is used where both ends have it, plain TCP where one
// has not.
func TestMultipathTCP(t *testing.T) {
	t.Parallel()
	if !testnet.HasMPTCP() {
		if os.Getenv("CI") == "true" {
			t.Fatal("the kernel has no multipath TCP: sysctl -w net.mptcp.enabled=1")
		}
		t.Skip("the kernel has no multipath TCP")
	}
	s := newScene(t, nil)
	addr := s.Site.Addrs()[0].String()
	s.must(s.SetZone(s.Zone() + records("legacy.example.net", s.Site.Addrs()[0])))
	s.echoAt(net.JoinHostPort(addr, "7"))
	for i, test := range []struct{ enabled, transport, counted string }{{"0", "tcp", "0"}, {"1", "mptcp", "1"}} {
		s.must(s.Laptop.Do(func() error {
			return os.WriteFile("/proc/sys/net/mptcp/enabled", []byte(test.enabled), 0)
		}))
		c, err := s.DialSocks("legacy.example.net", 7)
		s.must(err)
		s.wantEcho(c)
		s.must(s.socks.Await(t.Context(), "stream finished", i+1))
		if got := s.socks.Lines("stream finished")[i]["transport"]; got != test.transport {
			t.Errorf("transport %v, want %s", got, test.transport)
		}
		if n := s.multipathCounter(s.Laptop, "MPCapableSYNACKRX"); n != test.counted {
			t.Errorf("with net.mptcp.enabled=%s the laptop's MPCapableSYNACKRX is %q, want %s", test.enabled, n, test.counted)
		}
	}
}

// A network that swallows what it does not know costs one delay, and nothing
// the next time.
func TestMultipathTCPIsSwallowed(t *testing.T) {
	t.Parallel()
	needs(t, "nft")
	s := newScene(t, nil)
	s.serveHTTP(8000)
	s.must(s.SetZone(s.Zone() + records("legacy.example.net", s.Site.Addrs()[0])))
	s.filter(s.Site, "table inet filter {\n chain input {\n type filter hook input priority filter\n tcp option mptcp exists drop\n }\n}\n")
	s.wantWithin(oneDelay, "legacy.example.net", 8000)
	asked := s.multipathCounter(s.Laptop, "MPCapableSYNTX")
	s.wantWithin(oneDelay, "legacy.example.net", 8000, "it has won here before")
	if again := s.multipathCounter(s.Laptop, "MPCapableSYNTX"); asked == "0" || again != asked {
		t.Errorf("multipath TCP was asked for %s times at first, %s in the end", asked, again)
	}
}

// A gateway that is down is no reason to be without the site, whose server
// listens to TCP too.
func TestGatewayIsDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.serveHTTP(lab.ServicePort)
	s.gw.Stop()
	s.wantWithin(2*oneDelay, lab.SiteName, lab.ServicePort, "mh: no answer so far")
	s.wantWithin(oneDelay, lab.SiteName, lab.ServicePort, "it has won here before")
}

// Who suppresses the capability record gets a host in mode strict to talk to
// nobody, not to talk plainly.
func TestStrictIsNotDowngraded(t *testing.T) {
	t.Parallel()
	s := newSceneWith(t, func(l *lab.Lab) options {
		site := l.Site.Addrs()[0]
		if err := l.SetZone(l.Zone() + records("legacy.example.net", site) + records("failing.example.net", site) + records("silent.example.net", site)); err != nil {
			t.Fatal(err)
		}
		for _, d := range l.DNS {
			d.SetFault("_mhsctp.failing.example.net", dnstest.Fault{Rcode: dns.RcodeServerFailure})
			d.SetFault("_mhsctp.silent.example.net", dnstest.Fault{Silent: true})
		}
		return options{socks: "listen = [\"127.0.0.1:1081\"]"}
	})
	s.serveHTTP(8000)
	file, err := s.Config("strict.toml", lab.LaptopName, "listen = [\"127.0.0.1:1080\"]")
	s.must(err)
	s.socks, err = s.Start(s.Laptop, "mh-socks", "-c", file, "--trust", "strict")
	s.must(err)
	s.must(s.socks.AwaitReady())
	s.get("legacy.example.net", 8000) // that there is no record is an answer
	s.gw.Stop()
	for _, test := range []struct {
		host  string
		port  int
		reply lab.SocksError
	}{
		{"failing.example.net", 8000, 2},
		{"silent.example.net", 8000, 2},
		{lab.SiteName, 8000, 6}, // it has a record, and its gateway is down
	} {
		if c, err := s.DialSocks(test.host, test.port); !errors.Is(err, test.reply) {
			t.Errorf("%s: %v, want reply %d", test.host, err, test.reply)
			if err == nil {
				c.Close()
			}
		}
	}
	for _, l := range s.socks.Lines("connection failed") {
		t.Logf("%v: %v", l["target"], l["error"])
	}
}
