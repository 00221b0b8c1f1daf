// Command pionpeer is pion/sctp behind the line protocol of package interop:
// commands on standard input, what happened on standard output.
//
// An association of pion's is one datagram connection with the SCTP port 5000 at
// both ends, so this peer has one address, knows no paths and speaks no native
// SCTP. It cannot tell whether a message came unordered, and echoes all in order.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pionpeer:", err)
		os.Exit(1)
	}
}

// run obeys commands until the input ends or says exit.
func run(in io.Reader, out io.Writer) error {
	say := &speaker{out: out}
	p := &peer{say: say}
	say.line("ready")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		verb, args, err := parse(lines.Text())
		switch {
		case err != nil:
			say.line("error %s %v", verb, err)
		case verb == "exit":
			return nil
		case verb != "":
			if err := p.obey(verb, args); err != nil {
				say.line("error %s %v", verb, err)
			}
		}
	}
	return lines.Err()
}

// A speaker writes whole lines of the protocol, from any goroutine.
type speaker struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *speaker) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "@ "+format+"\n", args...)
}

// arguments are the key=value words of a command; its bare word has the key "".
type arguments map[string]string

func parse(line string) (verb string, args arguments, err error) {
	args = arguments{}
	for i, word := range strings.Fields(line) {
		key, value, pair := strings.Cut(word, "=")
		switch {
		case i == 0:
			verb = word
		case pair:
			args[key] = value
		case args[""] == "":
			args[""] = word
		default:
			return verb, nil, fmt.Errorf("%q is not key=value", word)
		}
	}
	return verb, args, nil
}

// number reads a decimal argument; one that is missing is 0.
func (a arguments) number(key string) (n uint64, err error) {
	if text, ok := a[key]; ok {
		if _, err := fmt.Sscanf(text, "%d", &n); err != nil {
			return 0, fmt.Errorf("%s=%s is not a number", key, text)
		}
	}
	return n, nil
}
