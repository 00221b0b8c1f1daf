package vm

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Tests that boot guests are called TestGuest...; they are part of "make
// interop" and not of every run.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("INTEROP") != "1" {
		fmt.Fprintln(os.Stderr, "interop/vm: no guest is booted without INTEROP=1")
		flag.Set("test.skip", "^TestGuest")
	}
	goleak.VerifyTestMain(m)
}

// boot starts a guest that ends with the test.
func boot(t testing.TB, c Config) *VM {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	start := time.Now()
	v, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("booted in %v", time.Since(start).Round(time.Millisecond))
	t.Cleanup(func() {
		start := time.Now()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
		t.Logf("switched off in %v", time.Since(start).Round(time.Millisecond))
	})
	return v
}

// build compiles a package's tests or, without testing, its program.
func build(t testing.TB, pkg string, tests bool) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "program")
	compile := Build
	if tests {
		compile = BuildTest
	}
	if err := compile(t.Context(), "github.com/sctpmh/mh/"+pkg, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// runTests has a test binary run in a guest.
func runTests(t *testing.T, v *VM, args ...string) {
	t.Helper()
	p, err := v.Start(Program{Args: args, Env: []string{"CI=true"}, Stderr: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil || !strings.Contains(string(said), "PASS") {
		t.Errorf("%v: %s", err, said)
	}
	t.Logf("%s", said)
}

// The network of namespaces that our tests use works in a guest as here.
func TestGuestRunsTestnet(t *testing.T) {
	file := build(t, "internal/testnet", true)
	v := boot(t, Config{
		Modules: TestnetModules,
		Files:   map[string]string{"tests/testnet.test": file},
	})
	runTests(t, v, "/tests/testnet.test", "-test.v")
}
