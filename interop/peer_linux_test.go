package interop

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sctpmh/mh/interop/vm"
)

// linux is the kernel of Debian in a virtual machine, with interop/linuxpeer.
type linux struct{ program string }

func (*linux) name() string        { return "linux" }
func (*linux) native() bool        { return false }
func (*linux) paths() int          { return 2 }
func (*linux) slow() time.Duration { return 4 }
func (*linux) bulk() int           { return *bulkOctets / 16 }

func (*linux) lacks() map[feature]string { return map[feature]string{} }

func (*linux) quirks() []quirk {
	return []quirk{
		{"settings", "", "runs with rto_min 300, rto_initial 500, hb_interval 1000, path_max_retrans 2 and plpmtud_probe_interval 5000, all in ms; without the last it finds no black hole of the path MTU, with it its data waits for half a minute"},
		{"window", "", "announces a window of 106,496 octets unless its user sets a larger buffer; we send it no message larger than half of that"},
		{"ecne", "", "repeats ECNE with each acknowledgement until CWR arrives, as RFC 4960 appendix A has it"},
	}
}

func (l *linux) prepare(ctx context.Context) (version string, err error) {
	if err := vm.Fetch(ctx); err != nil {
		return "", err
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		return "", fmt.Errorf("%w: apt-get install qemu-system-x86", err)
	}
	l.program = filepath.Join(outDir, "linuxpeer")
	if err := vm.Build(ctx, "github.com/sctpmh/mh/interop/linuxpeer", l.program); err != nil {
		return "", err
	}
	return kernelVersion()
}

// kernelVersion is the name of the package that vm.Fetch has fetched.
func kernelVersion() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(cache, "mh-interop", "linux-*"))
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("no kernel in %s: %v", cache, err)
	}
	return filepath.Base(found[len(found)-1]) + ", in qemu without KVM", nil
}

// linuxNative is the same without UDP: SCTP as protocol 132 of IP.
type linuxNative struct{ linux }

func (*linuxNative) name() string    { return "linux-native" }
func (*linuxNative) native() bool    { return true }
func (*linuxNative) bulk() int       { return *bulkOctets / 64 }
func (*linuxNative) quirks() []quirk { return nil } // those of linux

// settings have the kernel find a dead path in seconds and the MTU of one at
// all.
var settings = []vm.Sysctl{
	{Name: "net.sctp.rto_min", Value: "300"},
	{Name: "net.sctp.rto_initial", Value: "500"},
	{Name: "net.sctp.hb_interval", Value: "1000"},
	{Name: "net.sctp.path_max_retrans", Value: "2"},
	{Name: "net.sctp.plpmtud_probe_interval", Value: "5000"},
}

// start boots a guest, with one NIC at each wire.
func (l *linux) start(ctx context.Context, w *world) (far [2]io.ReadWriteCloser, err error) {
	c := vm.Config{
		Modules: []string{"sctp"},
		Files:   map[string]string{"linuxpeer": l.program},
		Sysctls: settings,
	}
	for _, a := range peerAddrs {
		c.NICs = append(c.NICs, vm.NIC{Addrs: []netip.Prefix{netip.PrefixFrom(a, prefixBits)}})
	}
	guest, err := vm.Start(ctx, c)
	if err != nil {
		return far, err
	}
	w.console = guest.Console
	w.closers = append(w.closers, func() { guest.Close() })
	for i := range far {
		far[i] = guest.Frames(i)
	}
	p, err := guest.Start(vm.Program{Args: []string{"/linuxpeer"}, Stderr: os.Stderr})
	if err != nil {
		return far, err
	}
	w.peer = newProcess(l.name(), p, p)
	return far, nil
}
