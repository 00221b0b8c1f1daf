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
func (*usrsctpStack) native() bool        { return false }
func (*usrsctpStack) paths() int          { return 2 }
func (*usrsctpStack) slow() time.Duration { return 1 }
func (*usrsctpStack) bulk() int           { return *bulkOctets }

func (*usrsctpStack) lacks() map[feature]string {
	return map[feature]string{
		blackHoles: "usrsctp learns the path MTU from ICMP alone (RFC 8899 is not built), and gives the association up",
		acceptsECN: "usrsctp agrees to ECN, and its sockets for UDP do not tell it of marks",
		sendsECN:   "usrsctp agrees to ECN, and its sockets for UDP send packets that cannot be marked",
	}
}

func (*usrsctpStack) quirks() []quirk {
	return []quirk{
		{"settings", "", "runs with RTO.Min 300 ms, HB.interval 1 s and Path.Max.Retrans 2"},
		{"ecn", "", "answers the ECN parameter with its own, but over UDP sees no marks: who marks its packets instead of dropping them slows nobody down"},
		{"window", "shutdown by the peer, data in flight", "its congestion window grows by one packet for each SACK, however much that acknowledges (RFC 9260 section 7.2.1), and we acknowledge a burst that was read at once with one SACK: with a round trip of 40 ms its slow start is nearly linear"},
	}
}

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
