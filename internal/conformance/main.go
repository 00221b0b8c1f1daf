// Command conformance shows, sentence by sentence, that the association obeys
// the RFCs, and writes docs/conformance.md.
//
// The catalogues beside this file hold every sentence with MUST, MUST NOT,
// SHOULD or SHOULD NOT of an RFC, in our own words, under its section and its
// number there. A test that shows one says so in its doc comment:
//
//	//rfc:9260 5.1.2-3 6.2-1
//
// A sentence that does not apply, or that is deliberately not followed, has the
// reason in the catalogue. The command runs the tests and fails when a sentence
// has neither a test that passed nor a reason. Its last line is "N of N".
//
// Usage, from the root of the module:
//
//	go run ./internal/conformance
package main

import (
	"fmt"
	"os"
)

// packages hold the tests.
var packages = []string{"./sctpmh/..."}

const page = "docs/conformance.md"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run() error {
	var books []*catalogue
	for _, c := range catalogues {
		b, err := readCatalogue(c.file)
		if err != nil {
			return err
		}
		b.number, b.title = c.number, c.title
		books = append(books, b)
	}
	advisories, err := readAdvisories("internal/conformance/advisories.txt")
	if err != nil {
		return err
	}
	marks, err := readMarks(".")
	if err != nil {
		return err
	}
	passed, err := runTests(packages)
	if err != nil {
		return err
	}
	missing := attach(books, marks, passed)
	missing = append(missing, checkAdvisories(advisories, passed)...)
	for _, m := range missing {
		fmt.Fprintln(os.Stderr, m)
	}
	if err := os.WriteFile(page, []byte(render(books, advisories)), 0o644); err != nil {
		return err
	}
	shown, all := 0, 0
	for _, b := range books {
		for _, s := range b.sentences {
			all++
			if s.settled() {
				shown++
			}
		}
	}
	fmt.Printf("%d of %d\n", shown, all)
	if len(missing) > 0 {
		return fmt.Errorf("%d sentences, marks or advisories lack a test that passed or a reason", len(missing))
	}
	return nil
}
