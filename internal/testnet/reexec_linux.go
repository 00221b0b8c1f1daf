package testnet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
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
	if errors.Is(err, ErrForbidden) && os.Getenv("CI") != "true" {
		fmt.Fprintf(os.Stderr, "%s: NO TEST RAN: %v: run them as root\n", pkg, err)
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", pkg, err)
	}
	return code
}

// Reexec starts this program again with the same arguments in a network
// namespace of its own, and for an ordinary user in a user namespace in which
// it is root. It returns its exit code. extra is added to the environment.
func Reexec(extra ...string) (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), reexecMark+"=1"), extra...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	// The child gets the terminal's signals itself and cleans up.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	case err != nil:
		return 1, fmt.Errorf("%w: %w", ErrForbidden, err)
	}
	return 0, nil
}
