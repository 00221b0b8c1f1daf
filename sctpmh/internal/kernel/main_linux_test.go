package kernel

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
	"github.com/sctpmh/mh/interop/vm"
	"go.uber.org/goleak"
)

// udpPort is the port for SCTP over UDP in every network of these tests.
const udpPort = 9899

// guestMark is set where these tests run in a virtual machine.
const guestMark = "MH_KERNEL_GUEST"

// here is the host of the tests that need only one.
var here *testnet.Host

// TestMain says what does not run here. Tests that need the kernel's SCTP are
// called TestKernel..., the one that has a virtual machine run them TestGuest.
// They run in namespaces of their own, as root: ordinary users get smaller
// buffers.
func TestMain(m *testing.M) {
	flag.Parse()
	why := Available(0)
	if why == nil && os.Geteuid() != 0 {
		why = errors.New("this user is not root")
	}
	guest, skip := os.Getenv(guestMark) != "", ""
	net := testnet.New()
	switch {
	case guest && why != nil:
		fmt.Fprintln(os.Stderr, "sctpmh/internal/kernel, in the guest:", why)
		os.Exit(1)
	case why != nil && os.Getenv("INTEROP") != "1":
		fmt.Fprintf(os.Stderr, "sctpmh/internal/kernel: NO TEST OF THE KERNEL RAN: %v; INTEROP=1 runs them in a virtual machine\n", why)
		skip = "^Test(Kernel|Guest)"
	case why != nil:
		skip = "^TestKernel"
	default:
		skip = "^TestGuest"
		var err error
		if here, err = newHost(net, "here"); err != nil {
			fmt.Fprintln(os.Stderr, "sctpmh/internal/kernel:", err)
			os.Exit(1)
		}
	}
	if f := flag.Lookup("test.skip"); f.Value.String() != "" {
		skip += "|" + f.Value.String()
	}
	flag.Set("test.skip", skip)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		net.Close()
		os.Exit(code)
	}))
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
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	p, err := v.Start(vm.Program{
		Args: []string{"/tests/kernel.test", "-test.v", "-test.timeout=5m", "-test.run", *inGuest},
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
