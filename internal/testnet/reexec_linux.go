package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

const reexecMark = "MH_TESTNET_INSIDE"

// ErrForbidden says that this user may not make network namespaces here.
var ErrForbidden = errors.New("network namespaces are forbidden here for this user")

// Inside reports whether this process may make network namespaces: it is root,
// or Reexec has started it.
func Inside() bool { return os.Getenv(reexecMark) != "" }

// A Runner is *testing.M.
type Runner interface{ Run() int }

// Main is TestMain's body for packages that need namespaces: it runs the tests
// inside. prepare, which may be nil, is called outside first and returns what
// is to be added to the environment. Where namespaces are forbidden it says
// which package did not run; with CI=true that is a failure.
func Main(m Runner, pkg string, prepare func() (env []string, cleanup func(), err error)) int {
	if Inside() {
		if err := Allowed(); err != nil {
			return notRun(pkg, err)
		}
		return m.Run()
	}
	var env []string
	if prepare != nil {
		e, cleanup, err := prepare()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", pkg, err)
			return 1
		}
		defer cleanup()
		env = e
	}
	code, err := Reexec(env...)
	if err != nil {
		return notRun(pkg, err)
	}
	return code
}

// notRun says why no test of a package ran and returns the exit code.
func notRun(pkg string, err error) int {
	if !errors.Is(err, ErrForbidden) || os.Getenv("CI") == "true" {
		fmt.Fprintf(os.Stderr, "%s: %v\n", pkg, err)
		return 1
	}
	fmt.Fprintf(os.Stderr, "%s: NO TEST RAN: %v: run them as root\n", pkg, err)
	return 0
}

// Allowed reports whether this process may make network namespaces, by making
// one. The error is ErrForbidden and says why, where that can be found out.
func Allowed() error {
	ns, err := newNamespace()
	if err != nil {
		return explain(err)
	}
	return ns.Close()
}

// Reexec starts this program again with the same arguments in a network
// namespace of its own and, when it may not do just that, in a user namespace
// in which it is root. It returns its exit code. extra is added to the
// environment. SIGINT and SIGTERM are passed on: the child cleans up and ends.
func Reexec(extra ...string) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	cmd, err := startInside(self, extra)
	if err != nil {
		return 1, explain(fmt.Errorf("%w: %w", ErrForbidden, err))
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the child
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it has ended: then ended says so
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return max(exit.ExitCode(), 1), nil // a signal's is -1
			}
			return 0, err
		}
	}
}

// startInside starts the child, as root without a user namespace where that
// works: in containers root often lacks the capability.
func startInside(self string, extra []string) (cmd *exec.Cmd, err error) {
	for _, flags := range []uintptr{syscall.CLONE_NEWNET, syscall.CLONE_NEWNET | syscall.CLONE_NEWUSER} {
		cmd = exec.Command(self, os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(append(os.Environ(), reexecMark+"=1"), extra...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
		if flags&syscall.CLONE_NEWUSER != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
		}
		if err = cmd.Start(); err == nil {
			return cmd, nil
		}
	}
	return nil, err
}

// switches are settings of the kernel that keep ordinary users from making
// namespaces, and the value with which they do.
var switches = []struct{ name, forbids string }{
	{"user.max_user_namespaces", "0"},
	{"user.max_net_namespaces", "0"},
	{"kernel.unprivileged_userns_clone", "0"},
	{"kernel.apparmor_restrict_unprivileged_userns", "1"},
}

// explain adds the setting that forbids namespaces to the error.
func explain(err error) error {
	for _, s := range switches {
		b, rerr := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.name, ".", "/"))
		if rerr == nil && strings.TrimSpace(string(b)) == s.forbids {
			return fmt.Errorf("%w (%s = %s)", err, s.name, s.forbids)
		}
	}
	return err
}
