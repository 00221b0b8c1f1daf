package kernel

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

	"github.com/sctpmh/mh/interop/vm"
	"go.uber.org/goleak"
)

// udpPort is the port for SCTP over UDP in every network of these tests.
const udpPort = 9899

// guestMark is set where these tests run in a virtual machine.
const guestMark = "MH_KERNEL_GUEST"

// TestMain says what does not run here. Tests that need the kernel's SCTP are
// called TestKernel..., those that have a virtual machine run them TestGuest...
func TestMain(m *testing.M) {
	flag.Parse()
	why := Available(0)
	guest := os.Getenv(guestMark) != ""
	var skip []string
	if why != nil && !guest {
		skip = append(skip, "^TestKernel")
	}
	if guest || os.Getenv("INTEROP") != "1" {
		skip = append(skip, "^TestGuest")
		if why != nil {
			fmt.Fprintf(os.Stderr, "sctpmh/internal/kernel: NO TEST OF THE KERNEL RAN: %v; INTEROP=1 runs them in a virtual machine\n", why)
		}
	}
	if given := flag.Lookup("test.skip"); len(skip) > 0 && given.Value.String() == "" {
		given.Value.Set(strings.Join(skip, "|"))
	}
	if guest && why != nil {
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// inGuest chooses the tests that run in the virtual machine.
var inGuest = flag.String("guest.run", "^TestKernel", "tests that TestGuest runs in the virtual machine")

// The tests of this package that need the kernel's SCTP pass where it has one.
func TestGuest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kernel.test")
	if err := vm.BuildTest(t.Context(), "github.com/sctpmh/mh/sctpmh/internal/kernel", file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	v, err := vm.Start(ctx, vm.Config{
		Modules: append([]string{"sctp"}, vm.TestnetModules...),
		Files:   map[string]string{"tests/kernel.test": file},
		Sysctls: []vm.Sysctl{{Name: "net.sctp.udp_port", Value: fmt.Sprint(udpPort)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p, err := v.Start(vm.Program{
		Args: []string{"/tests/kernel.test", "-test.v", "-test.timeout=150s", "-test.run", *inGuest},
		Env:  []string{"CI=true", guestMark + "=1"}, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(p)
	t.Logf("%s", said)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil || !strings.Contains(string(said), "\nPASS") {
		t.Errorf("the tests in the guest failed: %v", err)
	}
}
