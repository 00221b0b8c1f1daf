package vm

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sctpmh/mh/interop/vm/talk"
	"golang.org/x/sys/unix"
)

// ownModules are those of the guest's own devices: the serial port and NICs.
var ownModules = []string{"virtio_pci", "virtio_console", "virtio_net"}

// initramfs writes the guest's files into an archive, which is in memory: it
// goes with whoever has it open.
func (c *Config) initramfs(kernel string, guest int) (*os.File, error) {
	fd, err := unix.MemfdCreate("initramfs", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "initramfs")
	buffered := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(c.writeFiles(buffered, kernel, guest), buffered.Flush()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (c *Config) writeFiles(w io.Writer, kernel string, guest int) error {
	first, err := initProgram()
	if err != nil {
		return err
	}
	index, err := findModules(kernel)
	if err != nil {
		return err
	}
	modules, err := index.order(slices.Concat(ownModules, c.Modules))
	if err != nil {
		return err
	}
	setup, err := c.setup(guest)
	if err != nil {
		return err
	}
	a := &archive{w: w}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "bin", talk.Modules} {
		a.directory(d)
	}
	a.device("dev/console", 5, 1) // without it the first program has no output
	a.file("init", 0o755, first)
	a.symlink("bin/sleep", "/init") // all that our tests call
	a.file(talk.SetupFile, 0o644, setup)
	for i, m := range modules {
		a.copy(fmt.Sprintf("%s/%03d-%s", talk.Modules, i, filepath.Base(m)), m)
	}
	c.addFiles(a)
	return a.close()
}

// setup is the file by which the guest knows what it is to be.
func (c *Config) setup(guest int) ([]byte, error) {
	s := talk.Setup{Sysctls: c.Sysctls}
	for i, nic := range c.NICs {
		s.NICs = append(s.NICs, talk.NIC{MAC: hardwareAddr(guest, i), Addrs: nic.Addrs, Routes: nic.Routes})
	}
	return json.Marshal(s)
}

// addFiles adds the caller's files and the folders in which they are.
func (c *Config) addFiles(a *archive) {
	made := map[string]bool{".": true, "bin": true, "tmp": true}
	for name, from := range c.Files {
		name = strings.TrimPrefix(path.Clean("/"+name), "/")
		var missing []string
		for dir := path.Dir(name); !made[dir]; dir = path.Dir(dir) {
			made[dir] = true
			missing = append(missing, dir)
		}
		for _, dir := range slices.Backward(missing) {
			a.directory(dir)
		}
		a.copy(name, from)
	}
}
