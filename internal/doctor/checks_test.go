package doctor

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/noid"
)

// The verdict answers the question in a line.
func TestVerdict(t *testing.T) {
	find := func(statuses ...Status) (out []Finding) {
		for i, s := range statuses {
			out = append(out, Finding{Check: string('a' + rune(i)), Status: s})
		}
		return out
	}
	for _, c := range []struct {
		r    Report
		want string
	}{
		{Report{Uplinks: 2, Findings: find(OK, Info)}, "2 uplinks lead out."},
		{Report{Uplinks: 3, Findings: append(find(OK, Warn, Fail), find(Info, Fail)...)}, "3 uplinks lead out. Look at: b, c."},
		{Report{Uplinks: 1, Findings: find(Warn)}, "No second path: one uplink leads out. Look at: a."},
		{Report{Findings: find(Fail)}, "No uplink leads out. Look at: a."},
	} {
		if got := c.r.verdict(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// hostWith has a link with carrier for each device that the locals leave by.
func hostWith(locals ...*local) *host {
	h := &host{locals: locals}
	links := map[string]*link{}
	for i, x := range locals {
		l := links[x.own.device]
		if l == nil {
			l = &link{name: x.own.device, index: i, up: true, carrier: true, asks: true}
			links[l.name] = l
			h.links = append(h.links, l)
		}
		x.link = l
	}
	return h
}

// leaves is an address that packets leave from, bound or not.
func leaves(addr, device, gateway, plain string) *local {
	return &local{
		addr: netip.MustParseAddr(addr),
		own:  exit{device: device, gateway: netip.MustParseAddr(gateway)}, plain: exit{device: plain},
	}
}

func TestUplinks(t *testing.T) {
	gone := leaves("192.0.2.3", "wlan0", "192.0.2.1", "wlan0")
	gone.own.err = errNoRoute
	for _, c := range []struct {
		name string
		h    *host
		want int
	}{
		{"none", hostWith(), 0},
		{"no route", hostWith(gone), 0},
		{"both families of a device", hostWith(leaves("192.0.2.2", "eth0", "192.0.2.1", "eth0"), leaves("2001:db8::2", "eth0", "fe80::1", "eth0")), 1},
		{"temporary addresses by several routers", hostWith(leaves("2001:db8::2", "eth0", "fe80::1", "eth0"), leaves("2001:db8::3", "eth0", "fe80::2", "eth0")), 1},
		{"a family each", hostWith(leaves("192.0.2.2", "eth0", "192.0.2.1", "eth0"), leaves("2001:db8::2", "wlan0", "fe80::1", "wlan0")), 2},
		{"two routers behind a device", hostWith(leaves("192.0.2.2", "eth0", "192.0.2.1", "eth0"), leaves("198.51.100.2", "eth0", "198.51.100.1", "eth0")), 2},
	} {
		if got := c.h.uplinks(); got != c.want {
			t.Errorf("%s: %d uplinks, want %d", c.name, got, c.want)
		}
	}
}

// Where sockets cannot be bound to devices, what the kernel prefers is what
// happens.
func TestUnbound(t *testing.T) {
	h := hostWith(leaves("192.0.2.2", "eth0", "192.0.2.1", "eth0"), leaves("198.51.100.2", "wlan0", "198.51.100.1", "eth0"))
	h.unbound = errUnbound
	for _, x := range h.locals {
		x.plain.gateway = h.locals[0].own.gateway
		x.own = x.plain
	}
	out := checkSourceRouting(h)
	if len(out) != 2 || out[0].Status != Warn || !strings.Contains(out[0].Seen, "198.51.100.2: the kernel sends by eth0, not by wlan0") || !strings.Contains(out[0].Advice[1], "Linux 5.7") {
		t.Errorf("%+v", out)
	}
	if n := h.uplinks(); n != 1 {
		t.Errorf("%d uplinks, want 1", n)
	}
}

func TestNamesOfSettings(t *testing.T) {
	for device, want := range map[string]string{
		"eth0":     "net.ipv4.conf.eth0.rp_filter",
		"eth0.100": "net/ipv4/conf/eth0.100/rp_filter",
	} {
		if got := filterName(&link{name: device}); got != want {
			t.Errorf("%s: %s, want %s", device, got, want)
		}
	}
}

func TestBindAdvice(t *testing.T) {
	for err, want := range map[error]string{unix.EADDRINUSE: "end that program", unix.EACCES: "below 1024", unix.EADDRNOTAVAIL: "duplicate"} {
		if got := strings.Join(bindAdvice(err), "\n"); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestHolder(t *testing.T) {
	if !(program{"mh-gw", 1}).ours() || !(program{"mh-socks", 1}).ours() || (program{"dnsmasq", 1}).ours() {
		t.Error("our daemons are not known from others")
	}
	if s := (program{}).String(); s != "another program" {
		t.Errorf("a program that may not be seen is %q", s)
	}
}

func TestPublicAddresses(t *testing.T) {
	if out := checkNAT(hostWith(leaves("203.0.113.2", "eth0", "203.0.113.1", "eth0")), ""); len(out) != 1 || out[0].Status != OK {
		t.Errorf("%+v", out)
	}
}

// What is believed of a server depends on where it is, whether resolv.conf says
// so, and what it answers.
func TestTrust(t *testing.T) {
	off := false
	strict := &config.Common{DNS: config.DNS{Trust: config.Trust{Trust: noid.Strict}, Validate: &off}}
	const secret = "203.0.113.53:853"
	for _, c := range []struct {
		name        string
		server      string
		believed    bool
		ad          bool
		cfg         *config.Common
		wantStatus  Status
		wantChannel string
	}{
		{"a stub", "127.0.0.53:53", false, true, &config.Common{}, OK, "on this host, not validated"},
		{"a stub, strict", "127.0.0.53:53", false, true, strict, Warn, "on this host, not validated"},
		{"a validating stub, strict", "127.0.0.1:53", true, true, strict, OK, "validated"},
		{"a stub that does not validate, strict", "[::1]:53", true, false, strict, Warn, "on this host, not validated"},
		{"far away, believed", "203.0.113.53:53", true, true, strict, Warn, "in clear over the network, where answers can be forged, so trust-ad is not believed"},
		{"far away", "203.0.113.53:53", false, true, &config.Common{}, OK, "in clear"},
		{"far away, over TLS", secret, true, true, strict, OK, "tls://203.0.113.53:853#dns.example answers; validated"},
		{"far away, over TLS, not validated", secret, true, false, strict, Warn, "in secret"},
	} {
		a := answer{server: noid.Upstream{Addr: netip.MustParseAddrPort(c.server), TrustAD: c.believed}, msg: new(dns.Msg)}
		if c.server == secret {
			a.server.Proto, a.server.Name = noid.ProtoTLS, "dns.example."
		}
		a.msg.AuthenticatedData = c.ad
		if f := a.finding(c.cfg, "."); f.Status != c.wantStatus || !strings.Contains(f.Seen, c.wantChannel) {
			t.Errorf("%s: %+v, want %s and %q", c.name, f, c.wantStatus, c.wantChannel)
		}
	}
}
