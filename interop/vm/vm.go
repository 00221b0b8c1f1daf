package vm

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
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

// A VM is a guest that runs. Its methods may be called from any goroutine.
type VM struct {
	cmd    *exec.Cmd
	port   net.Conn
	frames []*Frames  // nil where a TAP device is
	theirs []*os.File // ends that are the command's alone once it has started
	log    *tail

	ended     chan struct{}  // closed when the emulator has ended
	listening sync.WaitGroup // what has to end before the guest is gone

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
	v := &VM{
		cmd: c.command(emulator, kernel, guest), log: new(tail),
		ended: make(chan struct{}), processes: make(map[int]*Process),
	}
	err = v.connect(&c, kernel, guest)
	if err == nil {
		err = v.launch()
	}
	for _, f := range v.theirs {
		f.Close()
	}
	if err != nil {
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

// connect makes the files that the command inherits.
func (v *VM) connect(c *Config, kernel string, guest int) error {
	initramfs, err := c.initramfs(kernel, guest)
	if err != nil {
		return fmt.Errorf("files of the guest: %w", err)
	}
	v.hand(initramfs)
	port, err := v.socket("the guest's serial port")
	if err != nil {
		return err
	}
	v.port, v.out = port, json.NewEncoder(port)
	v.frames = make([]*Frames, len(c.NICs))
	for i, nic := range c.NICs {
		if nic.Tap != nil { // it stays the caller's
			v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, nic.Tap)
			continue
		}
		conn, err := v.socket(fmt.Sprint("eth", i))
		if err != nil {
			return err
		}
		v.frames[i] = newFrames(conn)
	}
	return nil
}

// hand hands a file to the command.
func (v *VM) hand(f *os.File) {
	v.theirs = append(v.theirs, f)
	v.cmd.ExtraFiles = append(v.cmd.ExtraFiles, f)
}

// socket hands one end of a new socket to the command and returns the other.
func (v *VM) socket(name string) (net.Conn, error) {
	ours, theirs, err := socketPair(name)
	if err != nil {
		return nil, err
	}
	v.hand(theirs)
	return ours, nil
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

// Console returns the end of what the guest's kernel has said, and the emulator.
func (v *VM) Console() string { return v.log.String() }

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
	_ = v.port.SetWriteDeadline(time.Now().Add(offTime)) // it may not listen any more
	_ = v.say(talk.Message{Off: true})                   // it is gone: so much the better
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
