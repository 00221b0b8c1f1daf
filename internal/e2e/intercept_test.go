package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// The network of a host behind another one.
const (
	inside       = "192.168.7.2" // the host
	insideRouter = "192.168.7.1"
	onLoopback   = "192.168.8.1" // of the router, on its loopback device
)

// behind adds a host that reaches everything through another one, over a
// network of the two.
func behind(l *lab.Lab, router *testnet.Host, name string) (*testnet.Host, error) {
	h, err := l.Net.Host(name)
	if err != nil {
		return nil, err
	}
	var ns netns.NsHandle
	if err := h.Do(func() error { ns, err = netns.Get(); return err }); err != nil {
		return nil, err
	}
	defer ns.Close()
	err = router.Do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "inside"}, PeerName: "outside", PeerNamespace: netlink.NsFd(int(ns))}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return address("inside", insideRouter+"/24", "fd00:7::1/64")
	})
	if err != nil {
		return nil, err
	}
	return h, h.Do(func() error {
		if err := address("outside", inside+"/24", "fd00:7::2/64"); err != nil {
			return err
		}
		return errors.Join(
			netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(insideRouter)}),
			netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP("fd00:7::1")}),
		)
	})
}

// address brings a device of this host up with addresses.
func address(device string, prefixes ...string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		a, err := netlink.ParseAddr(p)
		if err != nil {
			return err
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(l)
}

// redirect has the packet filter of a host hand TCP connections from inside to
// some ports over to port 1234.
func (s *scene) redirect(h *testnet.Host, ports string) {
	s.t.Helper()
	s.filter(h, fmt.Sprintf(`table inet nat {
  chain prerouting {
    type nat hook prerouting priority dstnat
    iifname "inside" tcp dport { %s } redirect to :1234
  }
}
`, ports))
}

// filter adds rules to the packet filter of a host.
func (s *scene) filter(h *testnet.Host, rules string) {
	s.t.Helper()
	var complaint bytes.Buffer
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(rules), &complaint
	s.must(h.Start(cmd))
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("nft: %v: %s", err, complaint.String())
	}
}

// reverse is the reverse records of a host, which lead to a name.
func reverse(h *testnet.Host, name string) string {
	var z strings.Builder
	for _, a := range h.Addrs() {
		arpa, _ := dns.ReverseAddr(a.String()) // it is an address
		fmt.Fprintf(&z, "%s 60 IN PTR %s.\n", arpa, name)
	}
	return z.String()
}

// startNear starts a gateway on the laptop beside mh-socks, as a host of its
// own with a record for its port.
func (s *scene) startNear(more string) *lab.Proc {
	s.t.Helper()
	uplinks := strings.ReplaceAll(fmt.Sprintf("%q", s.Laptop.Addrs()), " ", ", ")
	file, err := s.Config("near.toml", lab.LaptopName, "[transport]\nudp-port = 9900\nlocal = "+uplinks+"\n"+more)
	s.must(err)
	near, err := s.Start(s.Laptop, "mh-gw", "-c", file)
	s.must(err)
	s.must(near.AwaitReady())
	return near
}

// nearRecord is the capability record of the gateway on the laptop.
const nearRecord = "_mhsctp." + lab.LaptopName + ". 60 IN SVCB 1 " + lab.LaptopName + ". port=9900 key65280=\"\\001\\001\"\n"

// handOver has the packet filter of a host hand TCP connections from inside to
// some ports over to port 1234 as they are, and the host take packets to
// addresses that are not its own (tproxy.rst of Linux).
func (s *scene) handOver(h *testnet.Host, ports string) {
	s.t.Helper()
	s.filter(h, fmt.Sprintf(`table inet mangle {
  chain prerouting {
    type filter hook prerouting priority mangle
    iifname "inside" tcp dport { %s } tproxy to :1234 meta mark set 1 accept
  }
}
`, ports))
	s.must(h.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for family, everywhere := range map[int]string{netlink.FAMILY_V4: "0.0.0.0/0", netlink.FAMILY_V6: "::/0"} {
			rule := netlink.NewRule()
			rule.Family, rule.Mark, rule.Table = family, 1, 100
			_, all, _ := net.ParseCIDR(everywhere) // it is a prefix
			route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: all, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Table: 100}
			if err := errors.Join(netlink.RuleAdd(rule), netlink.RouteAdd(route)); err != nil {
				return err
			}
		}
		return nil
	}))
}

// A legacy client that has never heard of names connects to an address; the
// packet filter of its gateway hands the connection over, and it survives a
// provider. What does not speak mh is reached as before.
func TestIntercept(t *testing.T) {
	for mode, handOver := range map[string]func(s *scene, h *testnet.Host, ports string){"redirect": (*scene).redirect, "tproxy": (*scene).handOver} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			testIntercept(t, mode, handOver)
		})
	}
}

func testIntercept(t *testing.T, mode string, handOver func(s *scene, h *testnet.Host, ports string)) {
	needs(t, "nft")
	s := newScene(t, nil)
	legacy := s.Site.Addrs()[2] // its reverse record leads nowhere
	records := strings.ReplaceAll(reverse(s.Site, lab.GatewayName), "2.2.2.10.in-addr.arpa.", "unused.")
	s.must(s.SetZone(s.Zone() + records + nearRecord))
	s.echoAt(net.JoinHostPort(legacy.String(), "7"))
	pc, err := behind(s.Lab, s.Laptop, "pc")
	s.must(err)
	s.must(s.Laptop.Do(func() error { return address("lo", onLoopback+"/32") }))
	near := s.startNear(fmt.Sprintf("[[intercept]]\nlisten = \"[::]:1234\"\nmode = %q", mode))
	handOver(s, s.Laptop, "7, 80")
	want := ""
	reach := func(addr netip.Addr, port string, mh bool, use func(*net.TCPConn)) {
		t.Helper()
		to := net.JoinHostPort(addr.String(), port)
		c, err := pc.Dial("tcp", to)
		s.must(err)
		use(c.(*net.TCPConn))
		want += fmt.Sprintf("%s mh: %v <nil>\n", to, mh)
	}
	reach(legacy, "7", false, s.wantEcho)
	reach(s.Site.Addrs()[1], "80", true, func(c *net.TCPConn) { s.must(exchange(c, 1000, 1000, new(meter))) })
	var progress meter
	cut := when(t, &progress, 2<<20, func() {
		if err := s.ISP[0].Cut(); err != nil {
			t.Error(err)
		}
	})
	reach(s.Site.Addrs()[0], "80", true, func(c *net.TCPConn) { s.must(exchange(c, 4<<20, 8<<20, &progress)) })
	<-cut

	// Who comes to the door by itself is not taken on to itself without end,
	// whichever of the gateway's addresses it uses.
	for _, own := range []string{insideRouter + ":1234", onLoopback + ":1234", onLoopback + ":80"} {
		c, err := pc.Dial("tcp", own)
		if err == nil {
			c.SetDeadline(time.Now().Add(10 * time.Second))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection to %s of the gateway's own: %v, want a reset", own, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s.must(near.Await(ctx, "connection failed", 3))
	for _, l := range near.Lines("connection failed") {
		client, _, _ := net.SplitHostPort(fmt.Sprint(l["client"]))
		if why := fmt.Sprint(l["error"]); client != inside || !strings.Contains(why, "is an address of this gateway") {
			t.Errorf("%s was refused, %s: want %s, because of the address", client, why, inside)
		}
	}
	s.must(near.Await(ctx, "stream finished", 3))
	got := ""
	for _, l := range near.Lines("stream finished") {
		got += fmt.Sprintf("%s mh: %v %v\n", l["target"], l["transport"] == "mh", l["error"])
	}
	if got != want {
		t.Errorf("near logged\n%swant\n%s", got, want)
	}
}
