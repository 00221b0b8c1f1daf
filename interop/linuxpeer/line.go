package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"sync"
)

// run carries out commands until the input ends or says exit.
func run(in io.Reader, out io.Writer) error {
	p := &peer{say: &speaker{out: out}}
	defer p.close()
	p.say.line("ready")
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		c := parse(lines.Text())
		if c.verb == "exit" {
			break
		}
		if c.verb == "" {
			continue
		}
		if err := p.obey(c); err != nil {
			p.say.line("error %s %v", c.verb, err)
		}
	}
	return lines.Err()
}

// A speaker writes lines, one at a time.
type speaker struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *speaker) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "@ "+format+"\n", args...)
}

// A command is a line of input.
type command struct {
	verb   string
	word   string // the first word without a "="
	values map[string]string
}

func parse(line string) command {
	c := command{values: make(map[string]string)}
	for i, word := range strings.Fields(line) {
		key, value, pair := strings.Cut(word, "=")
		switch {
		case i == 0:
			c.verb = word
		case pair:
			c.values[key] = value
		case c.word == "":
			c.word = word
		}
	}
	return c
}

// number returns a value of at most so many bits, 0 when it is not there.
func (c command) number(key string, bits int) (uint64, error) {
	text, ok := c.values[key]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%s=%s is not a number of %d bits", key, text, bits)
	}
	return n, nil
}

// addrs returns a list of addresses.
func (c command) addrs(key string) (list []netip.Addr, err error) {
	for text := range strings.SplitSeq(c.values[key], ",") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		list = append(list, a.Unmap())
	}
	return list, nil
}
