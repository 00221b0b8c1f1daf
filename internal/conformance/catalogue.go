package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
)

// catalogues are the RFCs and where their sentences are.
var catalogues = []struct{ number, title, file string }{
	{"9260", "Stream Control Transmission Protocol", "internal/conformance/rfc9260.txt"},
	{"6951", "UDP Encapsulation of SCTP Packets", "internal/conformance/rfc6951.txt"},
	{"7829", "SCTP-PF: A Quick Failover Algorithm", "internal/conformance/rfc7829.txt"},
}

// A catalogue is the normative sentences of one RFC, in their order.
type catalogue struct {
	number, title string
	sentences     []*sentence
}

// A sentence is one normative sentence. Its id is its section and its number
// among the normative sentences there.
type sentence struct {
	id, level, text string
	kind, reason    string // "na" or "differs", and why; "" when a test shows it
	tests           []string
}

// settled reports whether the sentence has a test or a reason.
func (s *sentence) settled() bool { return len(s.tests) > 0 || s.reason != "" }

// section is the part of the id before the number.
func (s *sentence) section() string {
	at := strings.LastIndexByte(s.id, '-')
	return s.id[:at]
}

// readCatalogue reads lines of the form
//
//	5.1.2-3 MUST what the sentence asks for
//		na why it does not apply
//
// where the second line is optional, begins with a tab, and may say "differs"
// instead.
func readCatalogue(file string) (*catalogue, error) {
	c := &catalogue{}
	return c, eachLine(file, func(line string) error {
		if rest, ok := strings.CutPrefix(line, "\t"); ok {
			kind, reason, _ := strings.Cut(rest, " ")
			if len(c.sentences) == 0 || kind != "na" && kind != "differs" || reason == "" {
				return fmt.Errorf("%q: want na REASON or differs REASON under a sentence", line)
			}
			last := c.sentences[len(c.sentences)-1]
			last.kind, last.reason = kind, reason
			return nil
		}
		id, rest, _ := strings.Cut(line, " ")
		level, text, ok := strings.Cut(rest, " ")
		if !ok || !strings.Contains(id, "-") {
			return fmt.Errorf("%q: want SECTION-NUMBER LEVEL TEXT", line)
		}
		if slices.ContainsFunc(c.sentences, func(s *sentence) bool { return s.id == id }) {
			return fmt.Errorf("sentence %s stands twice", id)
		}
		c.sentences = append(c.sentences, &sentence{id: id, level: strings.ReplaceAll(level, "_", " "), text: text})
		return nil
	})
}

// An advisory is a fault of another stack and the tests that this one has no
// such.
type advisory struct {
	id, fault string
	tests     []string
	reason    string // instead of tests
}

// readAdvisories reads lines of the form
//
//	ID | fault | test TestA, TestB
//	ID | fault | na why
func readAdvisories(file string) (list []advisory, err error) {
	return list, eachLine(file, func(line string) error {
		f := strings.SplitN(line, "|", 3)
		if len(f) != 3 {
			return fmt.Errorf("%q: want ID | FAULT | test NAMES or na REASON", line)
		}
		a := advisory{id: strings.TrimSpace(f[0]), fault: strings.TrimSpace(f[1])}
		kind, rest, _ := strings.Cut(strings.TrimSpace(f[2]), " ")
		switch {
		case kind == "test":
			for _, t := range strings.Split(rest, ",") {
				a.tests = append(a.tests, strings.TrimSpace(t))
			}
		case kind == "na" && rest != "":
			a.reason = rest
		default:
			return fmt.Errorf("%q: want test NAMES or na REASON", line)
		}
		list = append(list, a)
		return nil
	})
}

// eachLine calls f for the lines of a file that are neither empty nor
// comments. Errors name the place.
func eachLine(file string, f func(line string) error) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), " ")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return lines.Err()
}
