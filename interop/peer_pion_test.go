package interop

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// pion is github.com/pion/sctp, in interop/pionpeer.
type pion struct{ program string }

func (*pion) name() string        { return "pion" }
func (*pion) native() bool        { return false }
func (*pion) paths() int          { return 1 }
func (*pion) slow() time.Duration { return 1 }
func (*pion) bulk() int           { return *bulkOctets }

func (*pion) lacks() map[feature]string {
	return map[feature]string{
		multihomed: "an association of pion's is one connection with one address",
		acceptsECN: "pion has no ECN",
		sendsECN:   "pion has no ECN",
		blackHoles: "pion has no path MTU discovery: it sends packets of 1,191 octets at most",
	}
}

func (*pion) quirks() []quirk {
	return []quirk{
		{"pad", "restart of us", "a packet with a chunk of a type that pion does not know is dropped whole, although the type says to skip the chunk (RFC 9260 section 3.2). So our probes for the path MTU, HEARTBEAT with PAD (RFC 8899, RFC 4820), are never answered, and packets to pion stay at 1,200 octets"},
		{"loss", "", "a second loss of the same chunk costs a retransmission timeout of a second and more, doubled each time: under 10 % loss it waits for most of the time"},
		{"end", "", "its user is not told that a restart happened, nor how an association ended; interop/pionpeer sees it from the packets"},
	}
}

func (p *pion) prepare(ctx context.Context) (version string, err error) {
	if p.program, err = goBuild(ctx, "pionpeer"); err != nil {
		return "", err
	}
	return moduleVersion("github.com/pion/sctp")
}

func (p *pion) start(_ context.Context, w *world) ([2]io.ReadWriteCloser, error) {
	return w.run(exec.Command(p.program))
}

// goBuild compiles one of the programs below this package.
func goBuild(ctx context.Context, name string) (file string, err error) {
	file = filepath.Join(outDir, name)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", file, "./"+name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build %s: %w\n%s", name, err, out)
	}
	return file, nil
}

// moduleVersion returns the version of a module that go.mod requires.
func moduleVersion(module string) (string, error) {
	b, err := os.ReadFile("../go.mod")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == module {
			return fmt.Sprintf("%s %s", module, f[1]), nil
		}
	}
	return "", fmt.Errorf("go.mod does not require %s", module)
}
