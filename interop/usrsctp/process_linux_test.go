package usrsctp

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
)

// patience is how long a process may take for what it was told, beyond sending
// what -bulk says.
const patience = 60 * time.Second

// A process is a peer in a host. It is told what to do and asked what
// happened; what it said and nobody asked for is kept for the log.
type process struct {
	t     *testing.T
	name  string
	stdin io.Writer
	lines chan string
	said  []string
	pid   int
}

// start starts a peer in a host.
func start(t *testing.T, h *testnet.Host, options ...string) *process {
	t.Helper()
	cmd := exec.Command(program, options...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: h.Name, stdin: stdin, lines: make(chan string, 1<<16), pid: cmd.Process.Pid}
	go func() { // ends with the process
		defer close(p.lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close() // it exits
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
		for line := range p.lines {
			p.said = append(p.said, line)
		}
		if t.Failed() {
			t.Logf("%s said\n\t%s", p.name, strings.Join(p.said, "\n\t"))
		}
	})
	p.want("ready")
	return p
}

func (p *process) tell(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.stdin, format+"\n", args...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// want waits for a line of the protocol that begins with a pattern and returns
// its words. An error that it says instead is fatal.
func (p *process) want(pattern string) string {
	p.t.Helper()
	begins := regexp.MustCompile("^@ " + pattern)
	late := time.After(patience + time.Duration(*bulk)*time.Second/4)
	for {
		select {
		case line, ok := <-p.lines:
			p.said = append(p.said, line)
			switch {
			case !ok:
				p.t.Fatalf("%s has ended, and did not say %q", p.name, pattern)
			case begins.MatchString(line):
				return strings.TrimPrefix(line, "@ ")
			case strings.HasPrefix(line, "@ error"):
				p.t.Fatalf("%s said %q instead of %q", p.name, line, pattern)
			}
		case <-late:
			p.t.Fatalf("%s did not say %q within %v", p.name, pattern, patience)
		}
	}
}

// do tells and waits for the answer.
func (p *process) do(command string, args ...any) {
	p.t.Helper()
	p.tell(command, args...)
	p.want("ok " + strings.Fields(command)[0])
}

// answers asks something that is answered by lines of a kind and an "ok".
func (p *process) answers(question, kind string) (lines []string) {
	p.t.Helper()
	p.tell(question)
	for {
		line := p.want("(" + kind + " |ok " + question + ")")
		if strings.HasPrefix(line, "ok") {
			return lines
		}
		lines = append(lines, strings.TrimPrefix(line, kind+" "))
	}
}

// wantSums asks for the sums until they are as given.
func (p *process) wantSums(want []string) {
	p.t.Helper()
	late := time.After(patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		got := p.answers("sums", "sum")
		if strings.Join(got, "\n") == strings.Join(want, "\n") {
			return
		}
		select {
		case <-late:
			p.t.Fatalf("%s: sums are\n\t%s\nwant\n\t%s", p.name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		case <-again.C:
		}
	}
}

// peak is the most memory that the process has had, in KiB.
func (p *process) peak() (kib int) {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		p.t.Fatalf("%s: memory: %v", p.name, err)
	}
	return kib
}
