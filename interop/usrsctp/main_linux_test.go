package usrsctp

import (
	"fmt"
	"os"
	"testing"

	"github.com/sctpmh/mh/internal/testnet"
)

var program string // the peer

// TestMain runs nothing unless it is asked to: the programs need a C compiler
// and a library.
func TestMain(m *testing.M) {
	if os.Getenv("INTEROP") != "1" {
		fmt.Fprintln(os.Stderr, "interop/usrsctp: no test runs without INTEROP=1")
		return
	}
	program = os.Getenv("MH_USRSCTP_PEER")
	os.Exit(testnet.Main(m, "interop/usrsctp", build))
}

// build compiles the programs, outside of the namespaces.
func build() (env []string, cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "mh-usrsctp-")
	if err != nil {
		return nil, nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	peer, err := Build(dir)
	if err != nil {
		cleanup()
		return nil, nil, err
	}
	return []string{"MH_USRSCTP_PEER=" + peer}, cleanup, nil
}
