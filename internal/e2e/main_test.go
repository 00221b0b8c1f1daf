// Package e2e tests the real programs over network namespaces.
package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

var bin string // the folder of the programs under test

func TestMain(m *testing.M) {
	bin = os.Getenv("MH_E2E_BIN")
	os.Exit(testnet.Main(m, "internal/e2e", build))
}

// build builds the programs, outside of the namespaces.
func build() (env []string, cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "mh-e2e-")
	if err != nil {
		return nil, nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	cmd := exec.Command("go", "build", "-o", dir+"/", "../../cmd/mh", "../../cmd/mh-socks", "../../cmd/mh-gw")
	if out, err := cmd.CombinedOutput(); err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return []string{"MH_E2E_BIN=" + dir}, cleanup, nil
}

// watchSources looks at every source file once. The programs are built by a
// command of which the test cache knows nothing; what a test looked at has it
// run again when it changes.
var watchSources = sync.OnceValue(func() error {
	return filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && (filepath.Ext(path) == ".go" || d.Name() == "go.sum") {
			_, err = os.Stat(path)
		}
		return err
	})
})

// scene is a lab with both daemons and a server.
type scene struct {
	*lab.Lab
	t         *testing.T
	gw, socks *lab.Proc
}

// options are what a test adds to the daemons' configuration.
type options struct{ gateway, socks string }

// newScene starts everything.
func newScene(t *testing.T, prepare func(*lab.Lab)) *scene {
	t.Helper()
	return newSceneWith(t, func(l *lab.Lab) options {
		if prepare != nil {
			prepare(l)
		}
		return options{}
	})
}

// newSceneWith starts everything with the options that prepare returns.
func newSceneWith(t *testing.T, prepare func(*lab.Lab) options) *scene {
	t.Helper()
	if err := watchSources(); err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(bin, 12_500_000)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{Lab: l, t: t}
	t.Cleanup(func() {
		l.Close()
		if t.Failed() {
			for _, p := range []*lab.Proc{s.gw, s.socks} {
				if p != nil {
					t.Logf("%s:\n%s", p.Name, p.Log())
				}
			}
		}
	})
	o := prepare(l)
	s.serve()
	s.gw, err = l.StartGateway("127.0.0.1:8080", o.gateway)
	s.must(err)
	s.must(s.gw.AwaitReady())
	s.socks, err = l.StartSocks(o.socks)
	s.must(err)
	s.must(s.socks.AwaitReady())
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
