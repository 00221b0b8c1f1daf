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
	"strings"
	"sync"
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

	mu  sync.Mutex // leaf
	log bytes.Buffer
}

// Installed says why a program cannot be run, and what to do.
func Installed(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%w: make tools installs it", err)
	}
	return nil
}

// start runs a program until its log has had all of ready.
func start(o Options, cmd *exec.Cmd, ready ...string) (*Server, error) {
	s := &Server{cmd: cmd, done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	if o.Start == nil {
		o.Start = (*exec.Cmd).Start
	}
	err = o.Start(cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	isReady := make(chan struct{})
	go s.read(r, isReady, ready) // ends when the process does
	timeout := time.NewTimer(startTime)
	defer timeout.Stop()
	select {
	case <-isReady:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("%s has ended:\n%s", cmd.Path, s.Log())
	case <-timeout.C:
		s.Stop()
		return nil, fmt.Errorf("%s does not say %q within %v:\n%s", cmd.Path, ready, startTime, s.Log())
	}
}

// read gathers what the process says, and waits for its end.
func (s *Server) read(r io.ReadCloser, isReady chan struct{}, ready []string) {
	defer close(s.done)
	defer func() { _ = s.cmd.Wait() }() // it was killed
	defer r.Close()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		s.mu.Lock()
		fmt.Fprintln(&s.log, lines.Text())
		s.mu.Unlock()
		for i, want := range ready {
			if strings.Contains(lines.Text(), want) {
				ready = append(ready[:i:i], ready[i+1:]...)
				if len(ready) == 0 {
					close(isReady)
				}
				break
			}
		}
	}
}

// Log returns what the server has said.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

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
