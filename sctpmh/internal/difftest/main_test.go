package difftest

import (
	"fmt"
	"os"
	"testing"

	"github.com/sctpmh/mh/interop/usrsctp"
)

var program string // usrsctp without a network

// TestMain runs nothing unless it is asked to: the program needs a C compiler
// and a library.
func TestMain(m *testing.M) {
	if os.Getenv("INTEROP") != "1" {
		fmt.Fprintln(os.Stderr, "sctpmh/internal/difftest: no test runs without INTEROP=1")
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mh-difftest-")
	if err == nil {
		defer os.RemoveAll(dir)
		program, err = usrsctp.BuildCodec(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sctpmh/internal/difftest:", err)
		return 1
	}
	return m.Run()
}
