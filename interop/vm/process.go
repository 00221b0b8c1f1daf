package vm

import (
	"fmt"
	"io"
	"sync"

	"github.com/sctpmh/mh/interop/vm/talk"
)

// A Program is what to run in the guest.
type Program struct {
	Args   []string  // the first is its path
	Env    []string  // beyond PATH, HOME and TMPDIR
	Stderr io.Writer // where its standard error goes; nil: nowhere
}

// A Process is a program that runs in the guest. What is written to it is its
// standard input, what is read from it its standard output: one may read and
// another one write at the same time.
type Process struct {
	vm     *VM
	number int
	name   string
	stderr io.Writer

	mu     sync.Mutex
	change sync.Cond // of what follows
	output []byte    // said and not yet read
	ended  bool
	err    error // how it ended
}

// Start starts a program. That there is none of this name is said by Wait.
func (v *VM) Start(p Program) (*Process, error) {
	proc := &Process{vm: v, name: p.Args[0], stderr: p.Stderr}
	proc.change.L = &proc.mu
	err := v.enter(proc)
	if err == nil {
		err = v.say(talk.Message{Program: proc.number, Run: &talk.Run{Args: p.Args, Env: p.Env}})
	}
	if err != nil {
		return nil, fmt.Errorf("start %s in the guest: %w", p.Args[0], err)
	}
	return proc, nil
}

// enter gives a process its number.
func (v *VM) enter(p *Process) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gone != nil {
		return v.gone
	}
	v.started++
	p.number = v.started
	v.processes[p.number] = p
	return nil
}

// Read reads what the program says; io.EOF follows its last word, or why the
// guest is gone.
func (p *Process) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.output) == 0 && !p.ended {
		p.change.Wait()
	}
	if len(p.output) == 0 {
		if _, own := p.err.(*ExitError); p.err == nil || own {
			return 0, io.EOF
		}
		return 0, p.err
	}
	n := copy(b, p.output)
	p.output = p.output[n:]
	return n, nil
}

// Write writes to the program's standard input.
func (p *Process) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if err := p.vm.say(talk.Message{Program: p.number, Input: b}); err != nil {
		return 0, fmt.Errorf("tell %s in the guest: %w", p.name, err)
	}
	return len(b), nil
}

// CloseWrite ends the program's standard input.
func (p *Process) CloseWrite() error {
	return p.vm.say(talk.Message{Program: p.number, End: true})
}

// Kill kills the program.
func (p *Process) Kill() error {
	return p.vm.say(talk.Message{Program: p.number, Kill: true})
}

// Wait waits for the program's end. The error is an ExitError when it failed.
func (p *Process) Wait() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.ended {
		p.change.Wait()
	}
	return p.err
}

// An ExitError is that of a program that failed.
type ExitError struct {
	Program string
	Code    int // -1: it was killed, or never started
	Text    string
}

func (e *ExitError) Error() string { return fmt.Sprintf("%s in the guest: %s", e.Program, e.Text) }

// heard takes what the guest says about the program. What is not read is kept:
// one program that nobody listens to must not hold up the others.
func (p *Process) heard(m talk.Message) {
	if len(m.Errors) > 0 && p.stderr != nil {
		_, _ = p.stderr.Write(m.Errors) // its trouble is not the guest's
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output = append(p.output, m.Output...)
	if m.Exit != nil {
		p.ended = true
		if m.Exit.Error != "" {
			p.err = &ExitError{p.name, m.Exit.Code, m.Exit.Error}
		}
	}
	p.change.Broadcast()
}

// lost says that the guest is gone.
func (p *Process) lost(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended, p.err = true, err
	p.change.Broadcast()
}
