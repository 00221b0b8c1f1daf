package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a file for a test.
func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A sentence without test and reason is reported, as is a claim about none, or
// by a test that did not pass.
func TestAttach(t *testing.T) {
	book, err := readCatalogue(write(t, "rfc", "# comment\n1-1 MUST be shown\n1-2 MUST_NOT be forgotten\n1-3 SHOULD not apply\n\tna because\n1-4 MUST fail\n"))
	if err != nil {
		t.Fatal(err)
	}
	book.number = "1"
	marks := []mark{{"TestA", "1", "1-1"}, {"TestA", "1", "7-7"}, {"TestB", "1", "1-4"}}
	missing := attach([]*catalogue{book}, marks, map[string]bool{"TestA": true})
	for _, want := range []string{"7-7", "TestB claims", "sentence 1-2 (MUST NOT be forgotten)", "sentence 1-4 (MUST fail)"} {
		if !slices.ContainsFunc(missing, func(m string) bool { return strings.Contains(m, want) }) {
			t.Errorf("%s is not reported: %q", want, missing)
		}
	}
	if len(missing) != 4 {
		t.Errorf("reported: %q", missing)
	}
	page := render([]*catalogue{book}, []advisory{{id: "X", fault: "a|b", tests: []string{"TestA"}}})
	for _, want := range []string{"| 1-1 | MUST | be shown | TestA |", "Does not apply: because", "| 1-2 | MUST NOT | be forgotten | **open** |", `| X | a\|b | TestA |`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestCatalogueErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"1-1 MUST x\n\tperhaps y\n": "rfc:2:", "\tna y\n": "rfc:1:", "1 MUST x\n": "rfc:1:", "1-1 MUST x\n1-1 MUST y\n": "stands twice",
	} {
		if _, err := readCatalogue(write(t, "rfc", text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestMarksAreRead(t *testing.T) {
	file := write(t, "x_test.go", "package x\n\n// Shows it.\n//\n//rfc:9260 5.1-1 5.2\n//rfc:7829 3-2\nfunc TestX(t *testing.T) {}\n")
	marks, err := readMarks(filepath.Dir(file))
	want := []mark{{"TestX", "9260", "5.1-1"}, {"TestX", "7829", "3-2"}}
	if err != nil || !slices.Equal(marks, want) {
		t.Errorf("read %v, %v", marks, err)
	}
}

// Skipped tests show nothing.
func TestResultsAreRead(t *testing.T) {
	passed, failed, err := readResults(strings.NewReader(`{"Action":"pass","Test":"TestA"}
{"Action":"skip","Test":"TestB"}
{"Action":"fail","Test":"TestC"}
{"Action":"pass","Test":"TestD/sub"}
{"Action":"pass"}
`))
	if err != nil || len(passed) != 1 || !passed["TestA"] || !slices.Equal(failed, []string{"TestC"}) {
		t.Errorf("passed %v, failed %v, %v", passed, failed, err)
	}
}
