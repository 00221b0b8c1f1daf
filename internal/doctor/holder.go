package doctor

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A program is a process that holds a port. The zero value is one that this
// user may not see.
type program struct {
	name string
	pid  int
}

func (p program) String() string {
	if p.name == "" {
		return "another program"
	}
	return fmt.Sprintf("%s (process %d)", p.name, p.pid)
}

// ours reports whether it is one of our daemons.
func (p program) ours() bool { return p.name == "mh-gw" || p.name == "mh-socks" }

// holder finds out who has bound a UDP port.
func holder(at netip.AddrPort) program {
	// An IPv6 socket without an address may hold the port for IPv4 as well.
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		sockets, err := netlink.SocketDiagUDP(family)
		if err != nil {
			continue // the kernel does not tell
		}
		for _, s := range sockets {
			source, _ := netip.AddrFromSlice(s.ID.Source)
			source = source.Unmap()
			if s.ID.SourcePort == at.Port() && (source == at.Addr() || source.IsUnspecified()) {
				return owner(s.INode)
			}
		}
	}
	return program{}
}

// owner finds the process that has a socket open.
func owner(inode uint32) program {
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is a good one
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || to != fmt.Sprintf("socket:[%d]", inode) {
			continue
		}
		dir := filepath.Dir(filepath.Dir(fd))
		pid, _ := strconv.Atoi(filepath.Base(dir)) // the pattern wants digits first
		if b, err := os.ReadFile(filepath.Join(dir, "comm")); err == nil {
			return program{strings.TrimSpace(string(b)), pid}
		}
	}
	return program{}
}
