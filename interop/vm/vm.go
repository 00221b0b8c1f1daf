package vm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sctpmh/mh/interop/vm/talk"
)

// Config is what a guest is. The zero value is one without a network.
type Config struct {
	Modules []string          // by name, besides those for the guest's own devices; what they need comes along
	Files   map[string]string // paths in the guest, and where their contents are here
	NICs    []NIC
	Sysctls []Sysctl // set after the modules are loaded, in this order
	CPUs    int      // 0: 1
	Memory  int      // in MiB; 0: 256
}

// A Sysctl is a setting of the kernel, such as net.sctp.encap_port.
type Sysctl = talk.Sysctl

func (c *Config) cpus() int   { return cmp.Or(c.CPUs, 1) }
func (c *Config) memory() int { return cmp.Or(c.Memory, 256) }

// ownModules are those of the guest's own devices: the serial port and NICs.
var ownModules = []string{"virtio_pci", "virtio_console", "virtio_net"}

// A VM is a guest that runs. Its methods may be called from any goroutine.
type VM struct {
	cmd    *exec.Cmd
	port   net.Conn
	frames []*Frames
	log    *tail

	ended chan struct{} // closed when the emulator has ended

	listening sync.WaitGroup

	talking sync.Mutex // held while a message is written
	out     *json.Encoder

	mu        sync.Mutex // guards what follows, and is not held while anything waits
	processes map[int]*Process
	started   int
	gone      error // why no program can be started any more
}

// guests counts the guests of this process.
var guests atomic.Int64

// Start boots a guest and returns when it is ready to run programs. ctx bounds
// the boot.
func Start(ctx context.Context, c Config) (*VM, error) {
	emulator, err := findEmulator()
	if err != nil {
		return nil, err
	}
	kernel, err := findKernel(ctx)
	if err != nil {
		return nil, err
	}
	guest := int(guests.Add(1)) + os.Getpid()<<8 // of several processes on one network
	initramfs, err := c.initramfs(kernel, guest)
	if err != nil {
		return nil, fmt.Errorf("files of the guest: %w", err)
	}
	defer os.Remove(initramfs) // it is in the guest's memory then

	v := &VM{
		log: new(tail), ended: make(chan struct{}), processes: make(map[int]*Process),
	}
	v.cmd = c.command(emulator, kernel, initramfs, guest)
	if err := v.connect(c.NICs); err != nil {
		v.disconnect()
		return nil, err
	}
	if err := v.launch(); err != nil {
		v.disconnect()
		return nil, err
	}
	ready := make(chan struct{})
	v.listening.Go(func() { v.listen(ready) }) // ends with the emulator
	select {
	case <-ready:
		return v, nil
	case <-v.ended:
		v.kill()
		return nil, fmt.Errorf("the guest did not boot: its last words: %s", v.log)
	case <-ctx.Done():
		v.kill()
		return nil, fmt.Errorf("the guest did not boot: %w; its last words: %s", ctx.Err(), v.log)
	}
}

// connect makes the sockets and hands their other ends to the command.
func (v *VM) connect(nics []NIC) error {
	port, theirs, err := socketPair("the guest's serial port")
	if err != nil {
		return err
	}
	v.port, v.out = port, json.NewEncoder(port)
	v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, theirs)
	v.frames = make([]*Frames, len(nics))
	for i, nic := range nics {
		theirs := nic.Tap
		if theirs == nil {
			var ours net.Conn
			if ours, theirs, err = socketPair(fmt.Sprint("eth", i)); err != nil {
				return err
			}
			v.frames[i] = newFrames(ours)
		}
		v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, theirs)
	}
	return nil
}

// launch starts the emulator, which is killed when this process ends, however
// that happens.
func (v *VM) launch() error {
	// The kernel sends the signal when the thread that started the command ends.
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v.cmd.Stdout, v.cmd.Stderr = v.log, v.log
	started := make(chan error)
	go func() { // ends with the emulator
		runtime.LockOSThread() // never unlocked, so the thread goes too
		err := v.cmd.Start()
		for i, f := range v.cmd.ExtraFiles {
			if i == 0 || v.frames[i-1] != nil { // TAP devices are the caller's
				f.Close()
			}
		}
		started <- err
		if err == nil {
			_ = v.cmd.Wait() // how it ended is in the log
			close(v.ended)
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", v.cmd.Path, err)
	}
	return nil
}

// disconnect closes our ends.
func (v *VM) disconnect() {
	if v.port != nil {
		v.port.Close()
	}
	for _, f := range v.frames {
		if f != nil {
			f.Close()
		}
	}
}

// Frames returns the other end of the i-th NIC, which has no TAP device.
func (v *VM) Frames(i int) *Frames { return v.frames[i] }

// listen takes what the guest says until it is gone.
func (v *VM) listen(ready chan<- struct{}) {
	in := json.NewDecoder(bufio.NewReader(v.port))
	for {
		var m talk.Message
		if err := in.Decode(&m); err != nil {
			break
		}
		if m.Ready {
			close(ready)
			continue
		}
		v.mu.Lock()
		p := v.processes[m.Program]
		if m.Exit != nil {
			delete(v.processes, m.Program)
		}
		v.mu.Unlock()
		if p != nil {
			p.heard(m)
		}
	}
	<-v.ended
	v.mu.Lock()
	defer v.mu.Unlock()
	v.gone = fmt.Errorf("%w: the guest is gone; its last words: %s", net.ErrClosed, v.log)
	for _, p := range v.processes {
		p.lost(v.gone)
	}
}

// say tells the guest something.
func (v *VM) say(m talk.Message) error {
	v.talking.Lock()
	defer v.talking.Unlock()
	return v.out.Encode(m)
}

// offTime is how long a guest has to switch itself off.
const offTime = 5 * time.Second

// Close switches the guest off and returns when nothing of it is left.
func (v *VM) Close() error {
	_ = v.say(talk.Message{Off: true}) // it is gone: so much the better
	select {
	case <-v.ended:
	case <-time.After(offTime):
	}
	v.kill()
	return nil
}

// kill ends the emulator and all that belongs to it.
func (v *VM) kill() {
	_ = v.cmd.Process.Kill() // it has ended: so much the better
	<-v.ended
	v.disconnect()
	v.listening.Wait()
}

// initramfs writes the guest's files into an archive.
func (c *Config) initramfs(kernel string, guest int) (file string, err error) {
	first, err := initProgram()
	if err != nil {
		return "", err
	}
	index, err := findModules(kernel)
	if err != nil {
		return "", err
	}
	modules, err := index.order(append(slices.Clone(ownModules), c.Modules...))
	if err != nil {
		return "", err
	}
	setup := talk.Setup{Sysctls: c.Sysctls}
	for i, nic := range c.NICs {
		setup.NICs = append(setup.NICs, talk.NIC{MAC: hardwareAddr(guest, i), Addrs: nic.Addrs, Routes: nic.Routes})
	}
	set, err := json.Marshal(setup)
	if err != nil {
		return "", err
	}

	f, err := os.CreateTemp("", "mh-initramfs")
	if err != nil {
		return "", err
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	a := &archive{w: buffered}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "bin", talk.Modules} {
		a.directory(d)
	}
	a.device("dev/console", 5, 1) // without it the first program has no output
	a.file("init", 0o755, first)
	a.symlink("bin/sleep", "/init") // all that our tests call
	a.file(talk.SetupFile, 0o644, set)
	for i, m := range modules {
		a.copy(fmt.Sprintf("%s/%03d-%s", talk.Modules, i, filepath.Base(m)), m)
	}
	c.addFiles(a)
	err = errors.Join(a.close(), buffered.Flush(), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
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
