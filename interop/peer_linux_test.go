package interop

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sctpmh/mh/interop/vm"
)

// linux is the kernel of Debian in a virtual machine, with interop/linuxpeer.
type linux struct{ program string }

func (*linux) name() string        { return "linux" }
func (*linux) paths() int          { return 2 }
func (*linux) slow() time.Duration { return 4 }
func (*linux) bulk() int           { return *bulkOctets / 16 }

func (*linux) lacks() map[feature]string { return map[feature]string{} }

func (*linux) quirks() []quirk { return nil }

func (l *linux) prepare(ctx context.Context) (version string, err error) {
	if _, err := os.Stat("linuxpeer"); err != nil {
		return "", errors.New("interop/linuxpeer is not there")
	}
	l.program = filepath.Join(outDir, "linuxpeer")
	if err := vm.Build(ctx, "github.com/sctpmh/mh/interop/linuxpeer", l.program); err != nil {
		return "", err
	}
	return "", nil
}

// start boots a guest, with one NIC at each wire.
func (l *linux) start(ctx context.Context, w *world) (far [2]io.ReadWriteCloser, err error) {
	c := vm.Config{
		Modules: []string{"sctp"},
		Files:   map[string]string{"linuxpeer": l.program},
	}
	for _, a := range peerAddrs {
		c.NICs = append(c.NICs, vm.NIC{Addrs: []netip.Prefix{netip.PrefixFrom(a, prefixBits)}})
	}
	guest, err := vm.Start(ctx, c)
	if err != nil {
		return far, err
	}
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
