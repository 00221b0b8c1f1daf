package dnsreal

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// startTime is how long a server may take until it answers. It takes tenths of
// a second, on a machine that has nothing else to do.
const startTime = 60 * time.Second

// Options say what a server serves.
type Options struct {
	Dir  string         // for its files, empty at first
	Addr netip.AddrPort // UDP and TCP

	// Zones are the texts of zones by their names, without the final dot.
	Zones map[string]string

	// Keys are secrets in base64 by the name of a key, all for hmac-sha256. Those
	// of Updaters may change all zones; the others only sign.
	Keys     map[string]string
	Updaters []string

	// Start starts the process where it should run. Nil: here.
	Start func(*exec.Cmd) error
}

// A Server is a process that answers.
type Server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and all is read
	more chan struct{} // has an item when the log may be longer

	mu  sync.Mutex // leaf
	log bytes.Buffer
}

// used counts the addresses that Loopback has given out.
var used atomic.Uint32

// Loopback returns an address for a server: on a port below those that the
// kernel gives out by itself, and another one in each process. One that was
// merely free a moment ago may be somebody's when the server binds it. BIND
// listens on no other address of the loopback network.
func Loopback() netip.AddrPort {
	const first, count, each = 10000, 20000, 16
	n := (uint32(os.Getpid())*each + used.Add(1)) % count
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(first+n))
}

// Installed says why a program cannot be run, and what to do.
func Installed(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%w: make tools installs it", err)
	}
	return nil
}

// Start starts a server by some way, nil for the usual one, and returns when its
// log has had all of ready.
func Start(cmd *exec.Cmd, start func(*exec.Cmd) error, ready ...string) (*Server, error) {
	s := &Server{cmd: cmd, done: make(chan struct{}), more: make(chan struct{}, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if start == nil {
		start = (*exec.Cmd).Start
	}
	err = start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	go s.read(r) // ends when the process does
	if err := s.Await(ready...); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// Await returns when the log has all the texts. One goroutine may wait at a
// time.
func (s *Server) Await(texts ...string) error {
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	for ended := false; ; {
		missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(s.Log(), text) })
		switch {
		case len(missing) == 0:
			return nil
		case ended:
			return fmt.Errorf("%s has ended:\n%s", s.cmd.Path, s.Log())
		}
		select {
		case <-s.more:
		case <-s.done:
			ended = true // after its last words
		case <-timeout.C:
			return fmt.Errorf("%s does not say %q within %v:\n%s", s.cmd.Path, missing, startTime, s.Log())
		}
	}
}

// read gathers what the process says, and waits for its end.
func (s *Server) read(r io.ReadCloser) {
	defer close(s.done)
	defer func() { _ = s.cmd.Wait() }() // it was killed
	defer r.Close()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		s.mu.Lock()
		fmt.Fprintln(&s.log, lines.Text())
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default: // who waits has yet to look
		}
	}
}

// Log returns what the server has said.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// Signal sends the server a signal.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Stop ends the server and returns when it is gone.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
}

// write puts a file into the server's directory.
func (o Options) write(name, text string) (path string, err error) {
	path = filepath.Join(o.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// writeZones writes the zones and returns the names of their files.
func (o Options) writeZones() (files map[string]string, err error) {
	files = make(map[string]string)
	for name, text := range o.Zones {
		if files[name], err = o.write(name+".zone", text); err != nil {
			return nil, err
		}
	}
	return files, nil
}
