package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/sctpmh/mh/interop/vm/talk"
)

// programs are those that run.
type programs struct {
	mu  sync.Mutex // held while a message is written
	out *json.Encoder

	running map[int]*program // touched by serve alone
}

// A program runs.
type program struct {
	cmd   *exec.Cmd
	input chan<- []byte // nil ends it
}

// maxInput bounds what waits for a program's standard input, in messages. A
// program that reads none for longer holds up the others.
const maxInput = 1024

func newPrograms(w io.Writer) *programs {
	return &programs{out: json.NewEncoder(w), running: make(map[int]*program)}
}

// serve does what the host says, until it is to switch off or the host is
// gone.
func (ps *programs) serve(r io.Reader) error {
	// This write waits for the host's end to be there; a read would not.
	if err := ps.say(talk.Message{Ready: true}); err != nil {
		return err
	}
	for in := json.NewDecoder(bufio.NewReader(r)); ; {
		var m talk.Message
		if err := in.Decode(&m); err != nil {
			return fmt.Errorf("the host: %w", err)
		}
		p := ps.running[m.Program]
		switch {
		case m.Off:
			return nil
		case m.Run != nil:
			ps.start(m.Program, m.Run)
		case p == nil: // it was never started
		case m.Kill:
			_ = p.cmd.Process.Kill() // it has ended: so much the better
		case m.End:
			p.input <- nil
		default:
			p.input <- m.Input
		}
	}
}

func (ps *programs) say(m talk.Message) error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.out.Encode(m)
}

// start starts a program, or says why it cannot be.
func (ps *programs) start(number int, r *talk.Run) {
	cmd := exec.Command(r.Args[0], r.Args[1:]...)
	cmd.Env = append(os.Environ(), r.Env...)
	cmd.Dir = "/tmp"
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	stderr, err3 := cmd.StderrPipe()
	if err := errors.Join(err1, err2, err3, cmd.Start()); err != nil {
		_ = ps.say(talk.Message{Program: number, Exit: &talk.Exit{Code: -1, Error: err.Error()}}) // the host is gone: serve notices
		return
	}
	input := make(chan []byte, maxInput)
	ps.running[number] = &program{cmd: cmd, input: input}
	go feed(stdin, input) // never ends: its memory is the least of a machine that goes off soon
	var outputs sync.WaitGroup
	outputs.Go(func() { // ends when nobody can write to it any more
		ps.pass(stdout, func(b []byte) talk.Message { return talk.Message{Program: number, Output: b} })
	})
	outputs.Go(func() { // the same
		ps.pass(stderr, func(b []byte) talk.Message { return talk.Message{Program: number, Errors: b} })
	})
	go func() { // ends with the program
		outputs.Wait()
		var exit talk.Exit
		if err := cmd.Wait(); err != nil {
			exit = talk.Exit{Code: cmd.ProcessState.ExitCode(), Error: err.Error()}
		}
		_ = ps.say(talk.Message{Program: number, Exit: &exit}) // the host is gone: serve notices
	}()
}

// feed writes to a program's standard input. What it does not want any more is
// dropped.
func feed(w io.WriteCloser, input <-chan []byte) {
	for b := range input {
		if b == nil {
			w.Close()
			continue
		}
		_, _ = w.Write(b) // it has closed its end, or ended
	}
}

// pass says what comes out of a program.
func (ps *programs) pass(r io.Reader, message func([]byte) talk.Message) {
	for buf := make([]byte, 32<<10); ; {
		n, err := r.Read(buf)
		if n > 0 && ps.say(message(buf[:n])) != nil {
			return
		}
		if err != nil {
			return
		}
	}
}
