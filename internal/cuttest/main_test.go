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
// provider is dark at a time. More of it, and other cuts:
//
//	go test ./internal/cuttest -run Apps -v -seed 7 -cuts 50
package cuttest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/testnet"
)

// TestMain fails a run that leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := testnet.Main(m, "internal/cuttest", nil)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
