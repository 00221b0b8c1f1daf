package interop

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sctpmh/mh/internal/testnet"
)

var (
	bulkOctets  = flag.Int("interop.bulk", 1<<30, "octets of the bulk scenarios; slow peers get a part")
	resultsFile = flag.String("interop.results", "", "where to write the page; empty: nowhere")
	captureDir  = flag.String("interop.captures", "../bin/interop", "where captures go")
	keepQuirks  = flag.Bool("interop.quirks", false, "keep the captures that show quirks under testdata")
	onlyPeers   = flag.String("interop.peers", "", "names of peers to run, joined by commas; empty: all")
)

// outDir is where programs and captures go.
var outDir string

// TestMain runs the scenarios only when they are asked for: they need root,
// packages of Debian's and minutes.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv("INTEROP") != "1" {
		fmt.Println("interop: TestInterop is not run: it takes minutes, foreign stacks and guests; make interop runs it")
		flag.Set("test.skip", "^TestInterop$")
	} else if err := testnet.Allowed(); err != nil {
		fmt.Fprintf(os.Stderr, "interop: %v: run the scenarios as root\n", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// TestInterop plays every scenario with every peer.
func TestInterop(t *testing.T) {
	var err error
	if outDir, err = filepath.Abs(*captureDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = exec.LookPath("tshark")
	if err == nil {
		t.Run("dissector", testDissector)
	} else {
		err = fmt.Errorf("captures cannot be dissected: %w: apt-get install tshark", err)
	}
	r := results{facts: facts()}
	for _, s := range stacks() {
		if *onlyPeers != "" && !slices.Contains(strings.Split(*onlyPeers, ","), s.name()) {
			continue
		}
		c := &column{name: s.name(), cells: make(map[string]string)}
		r.columns = append(r.columns, c)
		t.Run(s.name(), func(t *testing.T) {
			if err := c.prepare(t.Context(), s, err); err == nil {
				c.fill(t, s)
			} else if t.Log(err); os.Getenv("CI") == "true" {
				t.Fail()
			}
		})
	}
	t.Run("backend", func(t *testing.T) {
		missing := guests(t.Context())
		if r.backend.fill(t, missing); missing != nil && os.Getenv("CI") == "true" {
			t.Error(missing)
		}
	})
	var rows []string
	for _, sc := range scenarios() {
		rows = append(rows, sc.name)
	}
	page := r.render(rows)
	t.Logf("\n%s", page)
	if *resultsFile != "" {
		if err := os.WriteFile(*resultsFile, page, 0o644); err != nil {
			t.Error(err)
		}
	}
}

const (
	prepareTime = 5 * time.Minute // for a peer that is compiled, or fetched
	startTime   = 2 * time.Minute // for a world, with a peer that boots on a machine that is busy
)

// prepare has a peer prepared, unless something that all need is missing. One
// that is not there has a column all the same.
func (c *column) prepare(ctx context.Context, s stack, missing error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()
	if err = missing; err == nil {
		c.version, err = s.prepare(ctx)
	}
	if err != nil {
		c.version = fmt.Sprintf("not run: %v", err)
		for _, sc := range scenarios() {
			c.cells[sc.name] = "not run: see above"
		}
	}
	return err
}

// fill plays the scenarios with a peer.
func (c *column) fill(t *testing.T, s stack) {
	var err error
	c.quirks = s.quirks()
	var w *world
	defer func() {
		if w != nil {
			w.close()
		}
	}()
	for _, sc := range scenarios() {
		if why := unable(s, sc); why != "" {
			c.cells[sc.name] = why
			continue
		}
		if w == nil {
			if w, err = start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		scene, figures := w.play(t, sc)
		switch {
		case scene.T == nil: // not among those of -run
		case scene.failure != "" || figures == "":
			c.cells[sc.name] = "**failed**: " + scene.failure
			w.close() // whatever state the peer is in
			w = nil
		default:
			c.cells[sc.name] = figures
			c.keep(t, sc)
		}
	}
}

// keep copies the captures that show quirks to where they stay.
func (c *column) keep(t *testing.T, sc scenario) {
	for _, q := range c.quirks {
		if !*keepQuirks || q.scenario != sc.name {
			continue
		}
		b, err := os.ReadFile(captureFile(c.name, sc))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(quirkFile(c.name, q.id)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(quirkFile(c.name, q.id), firstFrames(b, quirkFrames), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// unable returns why a peer cannot play a scenario, empty if it can.
func unable(s stack, sc scenario) string {
	for _, f := range sc.needs {
		if f == notBuilt {
			return "not built yet"
		}
		if why := s.lacks()[f]; why != "" {
			return "not possible: " + why
		}
	}
	return ""
}

// start makes a world in time.
func start(ctx context.Context, s stack) (*world, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	return newWorld(ctx, s)
}
