package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A process is a foreign stack that obeys the line protocol.
type process struct {
	name string
	in   io.Writer

	mu    sync.Mutex
	said  []line        // not yet asked for
	last  []string      // lines of any kind, for error messages
	more  chan struct{} // closed with the next line
	ended bool          // no more lines come
}

// lastLines is how many lines an error message shows.
const lastLines = 20

// newProcess reads what a process says in a goroutine that ends with out.
func newProcess(name string, in io.Writer, out io.Reader) *process {
	p := &process{name: name, in: in, more: make(chan struct{})}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			p.hear(strings.TrimSuffix(lines.Text(), "\r"))
		}
		p.mu.Lock()
		p.ended = true
		close(p.more)
		p.mu.Unlock()
	}()
	return p
}

func (p *process) hear(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = append(p.last, text)
	p.last = p.last[max(0, len(p.last)-lastLines):]
	// A console may have left the echo of a command on the same line.
	if i := strings.Index(text, "@ "); i >= 0 {
		p.said = append(p.said, parseLine(text[i+2:]))
		close(p.more)
		p.more = make(chan struct{})
	}
}

// A line is what a process says: bare words, then key=value.
type line struct {
	words  string // the bare words, joined by spaces
	values map[string]string
}

func parseLine(text string) line {
	l := line{values: make(map[string]string)}
	var words []string
	for word := range strings.FieldsSeq(text) {
		if key, value, ok := strings.Cut(word, "="); ok {
			l.values[key] = value
		} else {
			words = append(words, word)
		}
	}
	l.words = strings.Join(words, " ")
	return l
}

// number reads a value; base 10, or 16 for hashes.
func (l line) number(key string, base int) (uint64, error) {
	n, err := strconv.ParseUint(l.values[key], base, 64)
	if err != nil {
		return 0, fmt.Errorf("%s has no number %s: %q", l.words, key, l.values[key])
	}
	return n, nil
}

// is reports whether the line begins with these words.
func (l line) is(words string) bool {
	return l.words == words || strings.HasPrefix(l.words, words+" ")
}

// errRefused is in the error of a command that the process answered with one.
var errRefused = errors.New("refused")

// tell gives a command.
func (p *process) tell(command string) error {
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return p.fail("%q cannot be said: %v", command, err)
	}
	return nil
}

// ask gives a command and waits for its answer; detail is the lines of another
// kind that belong to it, for example "sum".
func (p *process) ask(ctx context.Context, command, detail string) (details []line, err error) {
	if err := p.tell(command); err != nil {
		return nil, err
	}
	verb, _, _ := strings.Cut(command, " ")
	for {
		l, err := p.next(ctx, func(l line) bool { return l.is("ok "+verb) || detail != "" && l.is(detail) }, verb)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", command, err)
		}
		if l.is("ok") {
			return details, nil
		}
		details = append(details, l)
	}
}

// wait waits for a line, or for one that says that a command failed.
func (p *process) wait(ctx context.Context, words, verb string) (line, error) {
	return p.next(ctx, func(l line) bool { return l.is(words) }, verb)
}

// forgetEvents drops what was said and not asked for.
func (p *process) forgetEvents() {
	p.mu.Lock()
	p.said = nil
	p.mu.Unlock()
}

// next takes the first line that is wanted. An error that answers verb ends the
// wait.
func (p *process) next(ctx context.Context, wanted func(line) bool, verb string) (line, error) {
	for {
		p.mu.Lock()
		for i, l := range p.said {
			refused := verb != "" && l.is("error "+verb)
			if !refused && !wanted(l) {
				continue
			}
			p.said = append(p.said[:i:i], p.said[i+1:]...)
			p.mu.Unlock()
			if refused {
				return line{}, p.fail("%w: %s", errRefused, l.words)
			}
			return l, nil
		}
		more, ended := p.more, p.ended
		p.mu.Unlock()
		if ended {
			return line{}, p.fail("it has ended")
		}
		select {
		case <-more:
		case <-ctx.Done():
			return line{}, p.fail("no answer: %v", context.Cause(ctx))
		}
	}
}

// fail makes an error that shows what the process said last.
func (p *process) fail(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := fmt.Errorf(format, args...)
	return fmt.Errorf("%s: %w; it said last:\n\t%s", p.name, err, strings.Join(p.last, "\n\t"))
}

func TestProcess(t *testing.T) {
	ours, theirs := io.Pipe()
	commands, in := io.Pipe()
	p := newProcess("stub", in, ours)
	go func() { // ends with the test's commands
		asked := bufio.NewScanner(commands)
		fmt.Fprint(theirs, "booting\n@ ready\n")
		for asked.Scan() {
			fmt.Fprintf(theirs, "%s\r\n", asked.Text()) // a console echoes
			switch asked.Text() {
			case "sums":
				fmt.Fprint(theirs, "@ sum stream=3 messages=1 octets=2 chain=00000000000000ff set=1\r\n@ up out=1 in=1\n@ ok sums\n")
			case "primary addr=x":
				fmt.Fprint(theirs, "@ error primary no such path\n")
			}
		}
		theirs.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := p.wait(ctx, "ready", ""); err != nil {
		t.Fatal(err)
	}
	sums, err := p.ask(ctx, "sums", "sum")
	if err != nil || len(sums) != 1 || sums[0].values["stream"] != "3" {
		t.Fatal(sums, err)
	}
	if n, err := sums[0].number("chain", 16); n != 255 || err != nil {
		t.Error(n, err)
	}
	if l, err := p.wait(ctx, "up", ""); err != nil || l.values["out"] != "1" {
		t.Error("the event between is lost:", l, err)
	}
	if _, err := p.ask(ctx, "primary addr=x", ""); !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "no such path") {
		t.Error("an error is not told:", err)
	}
	in.Close()
	if _, err := p.wait(ctx, "down", ""); err == nil || !strings.Contains(err.Error(), "booting") {
		t.Error("the end is not told with what was said:", err)
	}
}
