package nameservers

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sctpmh/mh/internal/dnsreal"
	"github.com/sctpmh/mh/internal/testnet"
)

// Where servers answer, on port 53 of the namespace that the tests are in.
var (
	knotAddr    = netip.MustParseAddr("127.0.0.2")
	bindOutside = netip.MustParseAddr("127.0.0.3")
	bindInside  = netip.MustParseAddr("127.0.0.4")
	unboundAddr = netip.MustParseAddr("127.0.0.5")
)

func TestMain(m *testing.M) {
	if testnet.Inside() {
		if err := loopback(); err != nil {
			fmt.Fprintln(os.Stderr, "interop/nameservers:", err)
			os.Exit(1)
		}
	}
	os.Exit(testnet.Main(m, "interop/nameservers", nil))
}

// loopback brings the namespace's own interface up, with the addresses of all
// servers: BIND listens on what an interface has.
func loopback() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("lo up: %w", err)
	}
	for _, a := range []netip.Addr{knotAddr, bindOutside, bindInside, unboundAddr} {
		addr, err := netlink.ParseAddr(a.String() + "/32")
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(lo, addr); err != nil {
			return fmt.Errorf("address %v: %w", a, err)
		}
	}
	return nil
}

// need skips the test for want of a program, which with CI=true is a failure.
func need(t *testing.T, program string) {
	t.Helper()
	if err := dnsreal.Installed(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// run runs a program in a directory to its end.
func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	need(t, program)
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// start runs a server until the test ends and returns when its log has had all
// the given texts.
func start(t *testing.T, ready []string, program string, args ...string) *dnsreal.Server {
	t.Helper()
	need(t, program)
	s, err := dnsreal.Start(exec.Command(program, args...), startBound, ready...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("%s:\n%s", program, s.Log())
		}
	})
	return s
}

// startBound starts a program that ends with this process at the latest,
// however that ends.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() { // never ends: the kernel sends the signal when the thread does that started the program
		runtime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// files writes files into a directory of the test's, in which DIR stands for
// its path.
func files(t *testing.T, contents map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
