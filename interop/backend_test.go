package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/interop/vm"
)

const module = "github.com/sctpmh/mh/"

// kernelPairs are the kernel's SCTP at both ends, and at either against our
// own.
var kernelPairs = []string{"kernel,kernel", "kernel,udp", "udp,kernel"}

// guest boots a machine in which our programs and tests run on the kernel's
// SCTP. Its Go programs share one slow processor, emulated.
func guest(t *testing.T, programs, tests []string) *vm.VM {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c := vm.Config{
		Modules: append([]string{"sctp"}, vm.TestnetModules...),
		Files:   make(map[string]string),
		Sysctls: []vm.Sysctl{{Name: "net.sctp.udp_port", Value: "9899"}},
		Memory:  1024,
		CPUs:    2,
	}
	dir := t.TempDir()
	for _, p := range programs {
		file := filepath.Join(dir, filepath.Base(p))
		if err := vm.Build(ctx, module+p, file); err != nil {
			t.Fatal(err)
		}
		c.Files[filepath.Base(p)] = file
	}
	for _, p := range tests {
		file := filepath.Join(dir, filepath.Base(p)+".test")
		if err := vm.BuildTest(ctx, module+p, file); err != nil {
			t.Fatal(err)
		}
		c.Files[filepath.Base(p)+".test"] = file
	}
	v, err := vm.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// run runs a program in a guest and returns what it printed.
func run(t *testing.T, v *vm.VM, args ...string) (string, error) {
	t.Helper()
	var stderr bytes.Buffer
	p, err := v.Start(vm.Program{Args: args, Stderr: &stderr, Env: []string{"CI=true"}})
	if err != nil {
		t.Fatal(err)
	}
	stop := time.AfterFunc(3*time.Minute, func() { _ = p.Kill() })
	defer stop.Stop()
	out, _ := io.ReadAll(p)
	err = p.Wait()
	return string(out) + stderr.String(), err
}

// TestGuestTCPEmulation is the whole of tcpemu's tests, with
// golang.org/x/net/nettest.TestConn among them, over the kernel's SCTP.
func TestGuestTCPEmulation(t *testing.T) {
	v := guest(t, nil, []string{"tcpemu"})
	for _, pair := range kernelPairs {
		t.Run(pair, func(t *testing.T) {
			start := time.Now()
			out, err := run(t, v, "/tcpemu.test", "-test.v", "-backends", pair)
			t.Logf("%d tests passed in %v", strings.Count(out, "--- PASS"), time.Since(start).Round(time.Millisecond))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// TestGuestDemo is the download of "mh demo", whose two failovers may stop it
// for 300 ms each.
func TestGuestDemo(t *testing.T) {
	v := guest(t, []string{"cmd/mh", "cmd/mh-gw", "cmd/mh-socks"}, nil)
	for _, pair := range kernelPairs {
		t.Run(pair, func(t *testing.T) {
			out, err := run(t, v, "/mh", "demo", "--json", "--size", "20", "--backend", pair)
			var verdict struct {
				OK             bool `json:"ok"`
				HashEqual      bool `json:"hash_equal"`
				LongestStallMS int  `json:"longest_stall_ms"`
				Failovers      int  `json:"failovers"`
			}
			line := out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]
			if jerr := json.Unmarshal([]byte(line), &verdict); err != nil || jerr != nil {
				t.Fatalf("%v, %v\n%s", err, jerr, out)
			}
			t.Logf("longest stall %d ms, %d failovers", verdict.LongestStallMS, verdict.Failovers)
			if !verdict.OK || !verdict.HashEqual || verdict.LongestStallMS > 300 {
				t.Errorf("%+v\n%s", verdict, out)
			}
		})
	}
}
