package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// behind adds a host that reaches everything through another one, over a
// network of the two.
func (s *scene) behind(router *testnet.Host, name string) *testnet.Host {
	s.t.Helper()
	h, err := s.Net.Host(name)
	s.must(err)
	var ns netns.NsHandle
	s.must(h.Do(func() error { ns, err = netns.Get(); return err }))
	defer ns.Close()
	s.must(router.Do(func() error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "inside"}, PeerName: "outside", PeerNamespace: netlink.NsFd(int(ns))}
		if err := netlink.LinkAdd(veth); err != nil {
			return err
		}
		return address("inside", "192.168.7.1/24")
	}))
	s.must(h.Do(func() error {
		if err := address("outside", "192.168.7.2/24"); err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Gw: net.IPv4(192, 168, 7, 1)})
	}))
	return h
}

// address brings a device of this host up with an address.
func address(device, prefix string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(l, a); err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// filter loads rules into a host's packet filter.
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

// A legacy client that has never heard of names connects to an address; the
// packet filter of its gateway hands the connection over, and it survives a
// provider. What does not speak mh is reached as before.
func TestIntercept(t *testing.T) {
	t.Parallel()
	needs(t, "nft")
	s := newScene(t, nil)
	legacy := s.Site.Addrs()[2] // its reverse record leads nowhere
	s.must(s.SetZone(strings.ReplaceAll(s.Zone()+reverse(s.Site, lab.GatewayName), "2.2.2.10.in-addr.arpa.", "unused.") +
		"_mhsctp." + lab.LaptopName + ". 60 IN SVCB 1 " + lab.LaptopName + ". port=9900 key65280=\"\\001\\001\"\n"))
	s.echoAt(net.JoinHostPort(legacy.String(), "7"))
	pc := s.behind(s.Laptop, "pc")
	uplinks := strings.ReplaceAll(fmt.Sprintf("%q", s.Laptop.Addrs()), " ", ", ")
	file, err := s.Config("near.toml", lab.LaptopName, "[transport]\nudp-port = 9900\nlocal = "+uplinks+"\n[[intercept]]\nlisten = \"0.0.0.0:1234\"\nmode = \"redirect\"")
	s.must(err)
	near, err := s.Start(s.Laptop, "mh-gw", "-c", file)
	s.must(err)
	s.must(near.AwaitReady())
	s.filter(s.Laptop, "table ip nat {\n chain prerouting {\n type nat hook prerouting priority dstnat\n iifname inside tcp dport { 7, 80 } redirect to :1234\n }\n}\n")

	c, err := pc.Dial("tcp", net.JoinHostPort(legacy.String(), "7"))
	s.must(err)
	s.wantEcho(c.(*net.TCPConn))

	var progress meter
	cut := when(t, &progress, 2<<20, func() {
		if err := s.ISP[0].Cut(); err != nil {
			t.Error(err)
		}
	})
	c, err = pc.Dial("tcp", net.JoinHostPort(s.Site.Addrs()[0].String(), "80"))
	s.must(err)
	s.must(exchange(c.(*net.TCPConn), 4<<20, 8<<20, &progress))
	<-cut

	// Who comes to the door by itself is not taken on to itself without end.
	if c, err = pc.Dial("tcp", "192.168.7.1:1234"); err == nil {
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil {
		t.Error("a connection that nobody redirected is taken")
	}
	s.must(near.Await(t.Context(), "stream finished", 2))
	got := ""
	for _, l := range near.Lines("stream finished") {
		got += fmt.Sprintln(l["target"], l["transport"], l["error"])
	}
	if want := fmt.Sprintf("%v:7 tcp <nil>\n%v:80 mh <nil>\n", legacy, s.Site.Addrs()[0]); got != want {
		t.Errorf("near logged\n%swant\n%s", got, want)
	}
}
