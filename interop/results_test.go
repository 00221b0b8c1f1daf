package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A column is a peer's.
type column struct {
	name    string
	version string            // or why no scenario ran
	cells   map[string]string // by scenario
	quirks  []quirk
}

// A quirk is something of a peer's that is worth a note, because it is what
// the peer does and no failure of either end.
type quirk struct {
	id       string // of the capture that shows it
	scenario string // from which that comes; empty: there is none
	text     string
}

// A results is the page.
type results struct {
	facts   []string // the date and what it ran on
	columns []*column
	backend backend
}

// render writes the page; the same results give the same page.
func (r *results) render(rows []string) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "# Interoperability, as measured\n\nWritten by `make interop`. What the scenarios are stands in scenarios_*_test.go; the figures of two runs differ.\n\n")
	for _, f := range r.facts {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	for _, c := range r.columns {
		fmt.Fprintf(&b, "- %s: %s\n", c.name, c.version)
	}
	fmt.Fprint(&b, "\n| scenario |")
	for _, c := range r.columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	fmt.Fprint(&b, "\n|", strings.Repeat(" --- |", len(r.columns)+1), "\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "| %s |", row)
		for _, c := range r.columns {
			cell := c.cells[row]
			if cell == "" {
				cell = "not run: the run ended before"
			}
			fmt.Fprintf(&b, " %s |", strings.ReplaceAll(cell, "|", "\\|"))
		}
		fmt.Fprintln(&b)
	}
	r.backend.render(&b)
	fmt.Fprint(&b, "\n## Notes\n\n")
	notes := 0
	for _, c := range r.columns {
		for _, q := range c.quirks {
			fmt.Fprintf(&b, "- %s: %s", c.name, q.text)
			if file := quirkFile(c.name, q.id); exists(file) {
				fmt.Fprintf(&b, " ([%s](%s))", filepath.Base(file), filepath.ToSlash(file))
			}
			fmt.Fprintln(&b)
			notes++
		}
	}
	if notes == 0 {
		fmt.Fprintln(&b, "None.")
	}
	return b.Bytes()
}

// quirkFrames is how many frames of a capture are kept to show a quirk.
const quirkFrames = 120

// quirkFile is where the capture that shows a quirk is kept.
func quirkFile(peer, id string) string {
	return filepath.Join("testdata", "quirks", peer+"-"+id+".pcap")
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// facts are those of this machine.
func facts() []string {
	all := []string{time.Now().UTC().Format("2006-01-02"), fmt.Sprintf("%s, %d processors", runtime.Version(), runtime.NumCPU())}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		all = append(all, "the host's kernel: Linux "+unix.ByteSliceToString(u.Release[:]))
	}
	if out, err := exec.Command("tshark", "--version").Output(); err == nil {
		first, _, _ := strings.Cut(string(out), "\n")
		first, _, _ = strings.Cut(first, ".Running") // said to root
		all = append(all, "captures dissected by "+strings.TrimSuffix(first, "."))
	}
	return append(all, fmt.Sprintf("our RTO.Min %v, HB.interval %v; of a scenario the first %d frames are kept and dissected", rtoMin, heartbeat, captureLimit))
}

func TestRender(t *testing.T) {
	r := results{
		facts: []string{"today"},
		columns: []*column{
			{name: "a", version: "1.0", cells: map[string]string{"x": "2 ms", "y": "lacks | that"}},
			{name: "b", version: "not run: it is missing", cells: nil, quirks: []quirk{{"odd", "x", "does odd things"}}},
		},
	}
	got := string(r.render([]string{"x", "y"}))
	for _, want := range []string{
		"| scenario | a | b |\n| --- | --- | --- |\n",
		"| x | 2 ms | not run: the run ended before |\n",
		`| y | lacks \| that |`,
		"- b: does odd things\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if got != string(r.render([]string{"x", "y"})) {
		t.Error("the page is not the same twice")
	}
}
