package nameservers

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

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

// startTime is how long a server may take to be ready on a machine that is
// busy.
const startTime = time.Minute

// find finds a program. It skips the test for want of it, which with CI=true is
// a failure.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/" + program // not in the path of ordinary users
	}
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: make tools installs it", err)
		}
		t.Skipf("%v: make tools installs it", err)
	}
	return path
}

// run runs a program in a directory to its end.
func run(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), find(t, program), args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// start runs a server until the test ends and returns when its log has had all
// the given texts.
func start(t *testing.T, ready []string, program string, args ...string) *log {
	t.Helper()
	cmd := exec.Command(find(t, program), args...)
	// The kernel kills it when the thread that started it ends, as it does with
	// this process.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	started, ended := make(chan error, 1), make(chan struct{})
	go func() { // ends with the server
		defer close(ended)
		runtime.LockOSThread() // never unlocked, so the thread goes too
		err := cmd.Start()
		started <- err
		if err == nil {
			err = cmd.Wait()
		}
		w.CloseWithError(fmt.Errorf("%s has ended: %v", program, err))
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	l := &log{program: program, lines: make(chan struct{}, 1)}
	read := make(chan struct{})
	go func() { // ends when the server has
		defer close(read)
		l.read(r)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended: Wait says so
		<-ended
		<-read
		if t.Failed() {
			t.Logf("%s:\n%s", program, l.text.String())
		}
	})
	for _, text := range ready {
		l.wait(t, text)
	}
	return l
}

// A log is what a server says.
type log struct {
	program string
	lines   chan struct{} // has an item when there is more

	mu   sync.Mutex
	text strings.Builder
	err  error // why there is no more
}

func (l *log) read(r io.Reader) {
	s := bufio.NewScanner(r)
	for more := true; more; {
		more = s.Scan()
		l.mu.Lock()
		if more {
			fmt.Fprintln(&l.text, s.Text())
		} else {
			l.err = s.Err()
		}
		l.mu.Unlock()
		select {
		case l.lines <- struct{}{}:
		default:
		}
	}
}

// wait returns when the server has said something.
func (l *log) wait(t *testing.T, text string) {
	t.Helper()
	late := time.After(startTime)
	for {
		l.mu.Lock()
		said, err := strings.Contains(l.text.String(), text), l.err
		l.mu.Unlock()
		switch {
		case said:
			return
		case err != nil:
			t.Fatal(err)
		}
		select {
		case <-l.lines:
		case <-late:
			t.Fatalf("%s did not say %q within %v", l.program, text, startTime)
		}
	}
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
