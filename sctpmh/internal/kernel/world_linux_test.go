package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/sctpmh/mh/internal/testnet"
)

// A world is two hosts that two providers join, each with SCTP over UDP.
type world struct {
	left, right *testnet.Host
	isps        [2]*testnet.ISP
}

// newHost adds a host with SCTP over UDP.
func newHost(n *testnet.Net, name string) (*testnet.Host, error) {
	h, err := n.Host(name)
	if err != nil {
		return nil, err
	}
	return h, h.Do(func() error { return sysctlWrite("udp_port", udpPort) })
}

func sysctlWrite(name string, value int) error {
	return os.WriteFile("/proc/sys/net/sctp/"+name, []byte(strconv.Itoa(value)), 0)
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
		h, err := newHost(n, name)
		must(err)
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

func (w *world) listen(t testing.TB, local []netip.Addr, cfg *Config) *Listener {
	t.Helper()
	return listenAt(t, w.right, local, cfg)
}

// join makes an association from left to right.
func (w *world) join(t testing.TB, l *Listener, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	return joinFrom(t, w.left, l, local, remote, encap, cfg)
}

// watch calls see for each packet of native SCTP over IPv4 that a provider
// passes on, from either host, until the test ends, with its first chunk's type.
func (w *world) watch(t testing.TB, i int, see func(chunk byte)) {
	t.Helper()
	for _, h := range []*testnet.Host{w.left, w.right} {
		stop, err := w.isps[i].Watch(h, func(packet []byte) {
			const ip, common, protocol = 20, 12, 132
			if packet[0]>>4 == 4 && packet[9] == protocol && len(packet) > ip+common {
				see(packet[ip+common])
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
	}
}
