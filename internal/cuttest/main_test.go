// Package cuttest has programs talk while the paths between them are cut: the
// workloads of internal/workload and the tests of net.Conn of
// golang.org/x/net/nettest, over tcpemu, between two hosts with two providers
// each.
//
//	         +-- ISP A --+
//	laptop --+           +-- site
//	         +-- ISP B --+
//
// A cut is silent: packets vanish, and the devices keep their carrier. One
// provider is dark at a time.
package cuttest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/testnet"
)

func TestMain(m *testing.M) { os.Exit(testnet.Main(leakless{m}, "internal/cuttest", nil)) }

// leakless fails a run that leaves a goroutine behind.
type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
