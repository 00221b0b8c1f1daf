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
