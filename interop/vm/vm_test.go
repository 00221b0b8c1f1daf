package vm

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// echoMark has this program be one that runs in a guest: it says what it hears.
const echoMark = "MH_VM_ECHO"

// patience is for a machine that is busy and emulates another one.
const patience = 3 * time.Minute

// Tests that boot guests are called TestGuest...; they are part of "make
// interop" and not of every run.
func TestMain(m *testing.M) {
	if os.Getenv(echoMark) != "" {
		fmt.Fprintln(os.Stderr, "listening")
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			os.Exit(1)
		}
		os.Exit(7)
	}
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
	if _, err := initProgram(); err != nil { // is not compiled in the boot's time
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
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

// buildTest compiles the tests of a package.
func buildTest(t testing.TB, pkg string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "tests")
	if err := BuildTest(t.Context(), "github.com/sctpmh/mh/"+pkg, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// start starts a program.
func start(t testing.TB, v *VM, p Program) *Process {
	t.Helper()
	process, err := v.Start(p)
	if err != nil {
		t.Fatal(err)
	}
	return process
}

// wantExit waits for a program's end.
func wantExit(t testing.TB, p *Process, code int) {
	t.Helper()
	err := p.Wait()
	var exit *ExitError
	if got := errors.As(err, &exit); got != (code != 0) || got && exit.Code != code {
		t.Errorf("%s ended with %v, want exit code %d", p.name, err, code)
	}
}

// Programs run one after another and at once, with what they read and write.
func TestGuestRunsPrograms(t *testing.T) {
	before := descriptors(t)
	v := boot(t, Config{Files: map[string]string{"a/deep/folder/echo": buildTest(t, "interop/vm")}})
	echo := func(stderr io.Writer) *Process {
		return start(t, v, Program{Args: []string{"/a/deep/folder/echo"}, Env: []string{echoMark + "=1"}, Stderr: stderr})
	}
	var stderr strings.Builder
	first, second := echo(&stderr), echo(nil)
	long := strings.Repeat("0123456789abcdef", 1<<14) // more than any pipe holds
	for _, p := range []*Process{second, first} {
		if _, err := io.WriteString(p, long); err != nil {
			t.Fatal(err)
		}
		if err := p.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*Process{first, second} {
		if got, err := io.ReadAll(p); string(got) != long || err != nil {
			t.Errorf("%d octets came back, want %d: %v", len(got), len(long), err)
		}
		wantExit(t, p, 7)
	}
	if stderr.String() != "listening\n" {
		t.Errorf("its standard error is %q", stderr.String())
	}

	wantExit(t, start(t, v, Program{Args: []string{"/bin/sleep", "0"}}), 0)
	wantExit(t, start(t, v, Program{Args: []string{"/bin/sleep", "long"}}), 1)
	wantExit(t, start(t, v, Program{Args: []string{"/missing"}}), -1)
	asleep := start(t, v, Program{Args: []string{"/bin/sleep", "1000"}})
	if err := asleep.Kill(); err != nil {
		t.Error(err)
	}
	wantExit(t, asleep, -1)

	asleep = start(t, v, Program{Args: []string{"/bin/sleep", "1000"}})
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if _, err := asleep.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("after its guest's end a program's output ends with %v", err)
	}
	if err := asleep.Wait(); err == nil {
		t.Error("after its guest's end a program has succeeded")
	}
	if _, err := v.Start(Program{Args: []string{"/bin/sleep"}}); err == nil {
		t.Error("a program starts in a guest that is gone")
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
}

// descriptors counts those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// What the guest cannot do at its start is in the error.
func TestGuestSaysWhyItDoesNotBoot(t *testing.T) {
	_, err := Start(t.Context(), Config{Sysctls: []Sysctl{{Name: "net.sctp.nonsense", Value: "1"}}})
	if err == nil || !strings.Contains(err.Error(), "sysctl net.sctp.nonsense=1") {
		t.Error(err)
	}
	if _, err := Start(t.Context(), Config{Modules: []string{"nonsense"}}); err == nil || !strings.Contains(err.Error(), "no module nonsense") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, Config{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// A process that is killed takes its guest with it.
func TestGuestDiesWithItsParent(t *testing.T) {
	const mark = "MH_VM_VICTIM"
	if os.Getenv(mark) != "" {
		v := boot(t, Config{})
		fmt.Println("pid", v.cmd.Process.Pid)
		select {}
	}
	victim := exec.Command(os.Args[0], "-test.run=^TestGuestDiesWithItsParent$")
	victim.Env = append(os.Environ(), mark+"=1")
	out, err := victim.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	said := bufio.NewReader(out)
	if _, err := fmt.Fscanf(said, "pid %d\n", &pid); err != nil {
		rest, _ := io.ReadAll(said)
		t.Fatalf("the victim said %q: %v", rest, err)
	}
	guest, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(guest)
	victim.Process.Kill()
	victim.Wait()
	ended := []unix.PollFd{{Fd: int32(guest), Events: unix.POLLIN}}
	if n, err := unix.Poll(ended, 10_000); n != 1 || err != nil {
		t.Errorf("the guest lives on: %d, %v", n, err)
	}
}

// The network of namespaces that our tests use works in a guest as here.
func TestGuestRunsTestnet(t *testing.T) {
	v := boot(t, Config{Modules: TestnetModules, Files: map[string]string{"testnet.test": buildTest(t, "internal/testnet")}})
	p := start(t, v, Program{Args: []string{"/testnet.test", "-test.v"}, Env: []string{"CI=true"}, Stderr: os.Stderr})
	said, err := io.ReadAll(p)
	if err != nil {
		t.Error(err)
	}
	if wantExit(t, p, 0); t.Failed() {
		t.Logf("%s", said)
	}
}
