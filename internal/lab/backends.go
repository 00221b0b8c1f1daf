package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/sctpmh/mh/internal/testnet"
)

// Backends are what carries associations at either end: values of the key
// transport.backend, "" for what is usual.
type Backends struct{ Laptop, Site string }

// ParseBackends reads one backend for both ends, or the laptop's and the
// site's with a comma between.
func ParseBackends(s string) Backends {
	laptop, site, two := strings.Cut(s, ",")
	if !two {
		site = laptop
	}
	return Backends{laptop, site}
}

// kernel is the backend whose use of UDP is a setting of the network.
const kernel = "kernel"

func usual(backend string) bool { return backend == "" || backend == "udp" }

// inUDP reports whether associations are carried in UDP: the kernel does so
// only for a peer that needs it.
func (b Backends) inUDP() bool { return usual(b.Laptop) || usual(b.Site) }

// transport is the table of a daemon's configuration.
func (b Backends) transport(own string) string {
	if usual(b.Laptop) && usual(b.Site) {
		return ""
	}
	port := 0
	if b.inUDP() {
		port = 9899
	}
	return fmt.Sprintf("[transport]\nbackend = %q\nudp-port = %d\ndisclose = \"all\"\n", own, port)
}

// prepare opens the kernel's UDP port for SCTP where it is needed, and has
// devices carry packets as cables do: trains of them stay in one piece between
// namespaces otherwise. Linux 6.1 dies of one that reaches its SCTP in UDP, and
// loses those that its SCTP sends in UDP itself.
func (b Backends) prepare(l *Lab) error {
	for _, end := range []struct {
		host    *testnet.Host
		backend string
	}{{l.Laptop, b.Laptop}, {l.Site, b.Site}} {
		if end.backend != kernel || !b.inUDP() {
			continue
		}
		err := end.host.Do(func() error { return os.WriteFile("/proc/sys/net/sctp/udp_port", []byte("9899"), 0) })
		if err != nil {
			return fmt.Errorf("kernel SCTP in UDP: %w: load the module sctp", err)
		}
		if err := errors.Join(l.Laptop.Do(segmentEarly), l.Site.Do(segmentEarly)); err != nil {
			return fmt.Errorf("offloads of the lab's devices: %w", err)
		}
	}
	return nil
}

func segmentEarly() error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	for _, l := range links {
		err := errors.Join(netlink.LinkSetGSOMaxSegs(l, 1), netlink.LinkSetGSOMaxSize(l, l.Attrs().MTU))
		if err != nil {
			return err
		}
	}
	return nil
}
