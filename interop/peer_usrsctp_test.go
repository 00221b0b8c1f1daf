package interop

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/sctpmh/mh/interop/usrsctp"
)

// usrsctpStack is the userland stack of the authors of SCTP in FreeBSD.
type usrsctpStack struct{ program string }

func (*usrsctpStack) name() string        { return "usrsctp" }
func (*usrsctpStack) paths() int          { return 2 }
func (*usrsctpStack) slow() time.Duration { return 1 }
func (*usrsctpStack) bulk() int           { return *bulkOctets }

func (*usrsctpStack) lacks() map[feature]string { return map[feature]string{} }

func (*usrsctpStack) quirks() []quirk { return nil }

func (u *usrsctpStack) prepare(context.Context) (version string, err error) {
	if u.program, err = usrsctp.Build(outDir); err != nil {
		return "", err
	}
	return debianVersion("libusrsctp-dev")
}

func (u *usrsctpStack) start(_ context.Context, w *world) ([2]io.ReadWriteCloser, error) {
	return w.run(exec.Command(u.program, "-rto-min", "300", "-heartbeat", "1000", "-path-retrans", "2", "-streams", "2048"))
}

// debianVersion returns the version of an installed package.
func debianVersion(name string) (string, error) {
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Package} ${Version}", name).Output()
	if err != nil {
		return "", fmt.Errorf("the version of %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
