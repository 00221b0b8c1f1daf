package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/sctpmh/mh/internal/testnet"
)

// A world is two hosts that two providers join, each with SCTP over UDP.
type world struct {
	left, right *testnet.Host
	isps        [2]*testnet.ISP
}

func newWorld(t testing.TB) *world {
	t.Helper()
	n := testnet.New()
	t.Cleanup(n.Close)
	w := new(world)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for i, name := range []string{"left", "right"} {
		h, err := n.Host(name)
		must(err)
		must(h.Do(func() error {
			return os.WriteFile("/proc/sys/net/sctp/udp_port", []byte(fmt.Sprint(udpPort)), 0)
		}))
		*[]**testnet.Host{&w.left, &w.right}[i] = h
	}
	for i := range w.isps {
		w.isps[i], err = n.ISP(fmt.Sprint("isp", i+1), i+1, 0)
		must(err)
		for _, h := range []*testnet.Host{w.left, w.right} {
			_, err := w.isps[i].Attach(h)
			must(err)
		}
	}
	return w
}

// ipv4 are a host's addresses, one of each provider.
func ipv4(h *testnet.Host) (out []netip.Addr) {
	for _, a := range h.Addrs() {
		if a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

func (w *world) listen(t testing.TB, local []netip.Addr, cfg *Config) (l *Listener) {
	t.Helper()
	err := w.right.Do(func() (err error) { l, err = Listen(local, cfg); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// join makes an association from left to right.
func (w *world) join(t testing.TB, l *Listener, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	err := w.left.Do(func() (err error) { client, err = Dial(soon(t), local, remote, encap, cfg); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(soon(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// watch calls see for each packet of SCTP that a provider passes on, from
// either host, until the test ends.
func (w *world) watch(t testing.TB, i int, see func()) {
	t.Helper()
	for _, h := range []*testnet.Host{w.left, w.right} {
		stop, err := w.isps[i].Watch(h, func(packet []byte) {
			if packet[0]>>4 == 4 && packet[9] == 132 { // IPv4's version and protocol
				see()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
}
