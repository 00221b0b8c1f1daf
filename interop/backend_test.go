package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/interop/vm"
)

// A backend is the kernel's SCTP below our own programs and tests, in a guest:
// at both ends, and at either against our own engine.
type backend struct {
	notes map[string]map[string]string // by row and pair
}

// pairs are the columns: what carries associations at either end, the dialler's
// first.
var pairs = []string{"kernel,kernel", "kernel,udp", "udp,kernel"}

// backendRows are what runs.
var backendRows = []struct {
	name            string
	programs, tests []string
	run             func(t *testing.T, v *vm.VM, pair string) string
}{
	{"the tests of tcpemu that backends have a part in, nettest.TestConn among them", nil, []string{"tcpemu"}, runEmulation},
	{"the download of mh demo, two failovers in it", []string{"cmd/mh", "cmd/mh-gw", "cmd/mh-socks"}, nil, runDemo},
}

// fill runs all.
func (b *backend) fill(t *testing.T, missing error) {
	b.notes = make(map[string]map[string]string)
	for _, row := range backendRows {
		b.notes[row.name] = make(map[string]string)
		if missing != nil {
			for _, pair := range pairs {
				b.notes[row.name][pair] = "not run: " + missing.Error()
			}
			continue
		}
		v := boot(t, row.programs, row.tests)
		for _, pair := range pairs {
			b.notes[row.name][pair] = "**failed**"
			t.Run(row.name+"/"+pair, func(t *testing.T) { b.notes[row.name][pair] = row.run(t, v, pair) })
		}
	}
}

// render writes the table.
func (b *backend) render(w io.Writer) {
	fmt.Fprint(w, "\n## The kernel's SCTP as our backend\n\nIn a virtual machine: what carries associations at the dialler and at the listener.\n\n| |")
	for _, pair := range pairs {
		fmt.Fprintf(w, " %s |", pair)
	}
	fmt.Fprint(w, "\n|", strings.Repeat(" --- |", len(pairs)+1), "\n")
	for _, row := range backendRows {
		fmt.Fprintf(w, "| %s |", row.name)
		for _, pair := range pairs {
			note := b.notes[row.name][pair]
			if note == "" {
				note = "not run: the run ended before"
			}
			fmt.Fprintf(w, " %s |", note)
		}
		fmt.Fprintln(w)
	}
}

// boot starts a guest in which our programs and tests can run. Its emulated
// processors are slow.
func boot(t *testing.T, programs, tests []string) *vm.VM {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), prepareTime)
	defer cancel()
	c := vm.Config{
		Modules: append([]string{"sctp"}, vm.TestnetModules...),
		Files:   make(map[string]string),
		Sysctls: []vm.Sysctl{{Name: "net.sctp.udp_port", Value: "9899"}},
		Memory:  1024,
		CPUs:    2,
	}
	dir := t.TempDir()
	add := func(pkg, suffix string, build func(context.Context, string, string) error) {
		name := filepath.Base(pkg) + suffix
		c.Files[name] = filepath.Join(dir, name)
		if err := build(ctx, "github.com/sctpmh/mh/"+pkg, c.Files[name]); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range programs {
		add(p, "", vm.Build)
	}
	for _, p := range tests {
		add(p, ".test", vm.BuildTest)
	}
	v, err := vm.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// run runs a program in a guest and returns what it printed.
func run(t *testing.T, v *vm.VM, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var complaints bytes.Buffer
	p, err := v.Start(vm.Program{Args: args, Stderr: &complaints, Env: []string{"CI=true"}})
	if err != nil {
		return "", "", err
	}
	limit := time.AfterFunc(programTime, func() { _ = p.Kill() })
	defer limit.Stop()
	out, readErr := io.ReadAll(p)
	err = errors.Join(readErr, p.Wait()) // nothing more is written to complaints
	return string(out), complaints.String(), err
}

// programTime bounds a program in a guest: tcpemu's tests take 10 s here, and
// ten times that there.
const programTime = 4 * time.Minute

func runEmulation(t *testing.T, v *vm.VM, pair string) string {
	start := time.Now()
	out, complaints, err := run(t, v, "/tcpemu.test", "-test.v", "-backends", pair)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, complaints)
	}
	return fmt.Sprintf("%d passed in %s", strings.Count(out, "\n--- PASS"), seconds(time.Since(start)))
}

// longestStall is how long the kernel's failover may stop a download.
const longestStall = 300

func runDemo(t *testing.T, v *vm.VM, pair string) string {
	out, complaints, err := run(t, v, "/mh", "demo", "--json", "--size", "20", "--backend", pair)
	var verdict struct {
		OK             bool `json:"ok"`
		HashEqual      bool `json:"hash_equal"`
		LongestStallMS int  `json:"longest_stall_ms"`
		Failovers      int  `json:"failovers"`
	}
	last := out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]
	if jerr := json.Unmarshal([]byte(last), &verdict); err != nil || jerr != nil {
		t.Fatalf("%v, %v\n%s%s", err, jerr, out, complaints)
	}
	if !verdict.OK || !verdict.HashEqual || verdict.LongestStallMS > longestStall {
		t.Errorf("%+v, stalls may last %d ms\n%s%s", verdict, longestStall, out, complaints)
	}
	return fmt.Sprintf("hash equal, %d failovers, longest stall %d ms", verdict.Failovers, verdict.LongestStallMS)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }

// guests says what is missing for guests to run.
func guests(ctx context.Context) error {
	_, err := new(linux).prepare(ctx)
	return err
}
