package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A mark is the claim of a test, in its doc comment, that it shows a sentence.
type mark struct{ test, rfc, id string }

const directive = "//rfc:"

// readMarks finds the claims of all tests under a folder. A claim of a whole
// section, without a number, is for readers and is left out.
func readMarks(root string) (marks []mark, err error) {
	set := token.NewFileSet()
	return marks, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Doc != nil {
				marks = append(marks, marksOf(fn)...)
			}
		}
		return nil
	})
}

func marksOf(fn *ast.FuncDecl) (marks []mark) {
	for _, c := range fn.Doc.List {
		rest, ok := strings.CutPrefix(c.Text, directive)
		if !ok {
			continue
		}
		words := strings.Fields(rest)
		for _, id := range words[min(1, len(words)):] {
			if strings.Contains(id, "-") {
				marks = append(marks, mark{fn.Name.Name, words[0], id})
			}
		}
	}
	return marks
}

// runTests runs the tests of packages and returns the names of those that
// passed and were not skipped.
func runTests(packages []string) (passed map[string]bool, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	passed, failed, readErr := readResults(out)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("tests failed: %s: run go test %s", strings.Join(failed, ", "), strings.Join(packages, " "))
	}
	return passed, readErr
}

// readResults reads what go test -json prints.
func readResults(r io.Reader) (passed map[string]bool, failed []string, err error) {
	passed = make(map[string]bool)
	dec := json.NewDecoder(bufio.NewReader(r))
	for {
		var e struct{ Action, Test string }
		if err := dec.Decode(&e); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return passed, failed, err
		}
		switch {
		case e.Test == "" || strings.Contains(e.Test, "/"):
		case e.Action == "pass":
			passed[e.Test] = true
		case e.Action == "fail":
			failed = append(failed, e.Test)
		}
	}
}

// attach gives every sentence the tests that show it, and returns what is
// wrong: sentences without test or reason, and claims about none.
func attach(books []*catalogue, marks []mark, passed map[string]bool) (missing []string) {
	find := make(map[[2]string]*sentence)
	for _, b := range books {
		for _, s := range b.sentences {
			find[[2]string{b.number, s.id}] = s
		}
	}
	for _, m := range marks {
		s := find[[2]string{m.rfc, m.id}]
		switch {
		case s == nil:
			missing = append(missing, fmt.Sprintf("%s claims RFC %s sentence %s, which is in no catalogue", m.test, m.rfc, m.id))
		case !passed[m.test]:
			missing = append(missing, fmt.Sprintf("%s claims RFC %s sentence %s and did not pass", m.test, m.rfc, m.id))
		default:
			s.tests = append(s.tests, m.test)
		}
	}
	for _, b := range books {
		for _, s := range b.sentences {
			if !s.settled() {
				missing = append(missing, fmt.Sprintf("RFC %s sentence %s (%s %s) has neither test nor reason", b.number, s.id, s.level, s.text))
			}
		}
	}
	return missing
}

func checkAdvisories(list []advisory, passed map[string]bool) (missing []string) {
	for _, a := range list {
		for _, t := range a.tests {
			if !passed[t] {
				missing = append(missing, fmt.Sprintf("advisory %s names %s, which did not pass", a.id, t))
			}
		}
	}
	return missing
}
