package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sctpmh/mh/interop/vm/talk"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func mount() error {
	for _, m := range []struct{ kind, at string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for name, value := range map[string]string{"PATH": "/bin", "HOME": "/tmp", "TMPDIR": "/tmp"} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// setUp makes the machine what the host wants it to be.
func setUp() error {
	b, err := os.ReadFile("/" + talk.SetupFile)
	if err != nil {
		return err
	}
	var s talk.Setup
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%s: %w", talk.SetupFile, err)
	}
	if err := loadModules(); err != nil {
		return err
	}
	// Duplicate address detection would hold addresses back for a second.
	own := []talk.Sysctl{{Name: "net.ipv6.conf.all.accept_dad", Value: "0"}, {Name: "net.ipv6.conf.default.accept_dad", Value: "0"}}
	for _, set := range slices.Concat(own, s.Sysctls) {
		file := "/proc/sys/" + strings.ReplaceAll(set.Name, ".", "/")
		if err := os.WriteFile(file, []byte(set.Value), 0); err != nil {
			return fmt.Errorf("sysctl %s=%s: %w", set.Name, set.Value, err)
		}
	}
	return connect(s.NICs)
}

// loadModules loads them in the order of their names, in which each comes
// after those that it needs.
func loadModules() error {
	files, err := filepath.Glob("/" + talk.Modules + "/*")
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("load %s: %w", filepath.Base(name), err)
		}
	}
	return nil
}

// connect gives network devices their addresses and routes and brings them up.
func connect(nics []talk.NIC) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("network devices: %w", err)
	}
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback != 0 {
			if err := bringUpLoopback(l); err != nil {
				return fmt.Errorf("lo: %w", err)
			}
		}
	}
	for _, nic := range nics {
		i := slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().HardwareAddr.String() == nic.MAC })
		if i < 0 {
			return fmt.Errorf("there is no network device %s", nic.MAC)
		}
		if err := plugIn(links[i], nic); err != nil {
			return fmt.Errorf("%s: %w", links[i].Attrs().Name, err)
		}
	}
	return nil
}

// bringUpLoopback makes lo as a cable is. Of packets as long as lo takes
// otherwise, SCTP's window of 106,496 octets has room for one, whose
// acknowledgement is delayed for 200 ms. Of packets that lo is to segment, those
// of SCTP over UDP are lost.
func bringUpLoopback(lo netlink.Link) error {
	const mtu = 1500
	return errors.Join(netlink.LinkSetMTU(lo, mtu), netlink.LinkSetGSOMaxSize(lo, mtu), netlink.LinkSetUp(lo))
}

func plugIn(l netlink.Link, nic talk.NIC) error {
	for _, p := range nic.Addrs {
		a := &netlink.Addr{IPNet: network(p), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrReplace(l, a); err != nil {
			return fmt.Errorf("address %v: %w", p, err)
		}
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return err
	}
	for _, r := range nic.Routes {
		route := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: network(r.To.Masked()), Gw: r.Via.AsSlice()}
		if err := netlink.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %v: %w", r.To, err)
		}
	}
	return nil
}

func network(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
