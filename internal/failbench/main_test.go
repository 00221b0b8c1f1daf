// Package failbench measures, over real network namespaces, what the failover
// and throughput benchmarks of sctpmh/internal/engine measure in virtual time,
// and the same of MultiPath TCP and TCP. It is no part of the tests: make
// bench-failover and make bench-throughput run it.
//
//	        +------ wire A ------+
//	client -+                    +- server
//	        +------ wire B ------+
//
// Each provider is one wire, a router of our own whose rate, queue, delay and
// loss can change at any time, which those of internal/testnet cannot.
package failbench

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/testnet"
)

var (
	failoverRuns     = flag.Int("failover.runs", 0, "runs of each case of the failover benchmark; 0: skip it")
	throughputRounds = flag.Int("throughput.rounds", 0, "rounds of each case of the throughput benchmark; 0: skip it")
)

// TestMain goes into a namespace only for a benchmark.
func TestMain(m *testing.M) {
	flag.Parse()
	if *failoverRuns == 0 && *throughputRounds == 0 {
		os.Exit(m.Run())
	}
	os.Exit(testnet.Main(leakless{m}, "internal/failbench", nil))
}

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
