package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/sctpmh/mh/internal/lab"
)

// A screen shows the demo to a person: bars that move on a terminal, lines
// elsewhere, nothing when JSON is wanted.
type screen struct {
	out  io.Writer
	live bool
	mu   sync.Mutex // keeps lines whole
	bars bool       // the last line is one of bars
}

func newScreen(o Options) *screen {
	s := &screen{out: o.Out}
	if o.JSON {
		s.out = io.Discard
	}
	f, ok := o.Out.(*os.File)
	s.live = !o.JSON && ok && term.IsTerminal(int(f.Fd()))
	return s
}

// say prints lines above the bars.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars {
		fmt.Fprint(s.out, "\r\x1b[K")
		s.bars = false
	}
	fmt.Fprintf(s.out, format, args...)
}

const (
	interval = 200 * time.Millisecond
	barWidth = 20
)

// follow shows both links and the download until ctx ends.
func (s *screen) follow(ctx context.Context, l *lab.Lab, m *meter) <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		var last [2]uint64
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				s.say("")
				return
			case <-tick.C:
			}
			var load [2]float64
			for i, isp := range l.ISP {
				octets, err := isp.Octets(l.Laptop)
				if err == nil && octets >= last[i] {
					load[i] = float64(octets-last[i]) / interval.Seconds() / rate
					last[i] = octets
				}
			}
			if n > 0 && (s.live || n%5 == 0) {
				s.show(load, m)
			}
		}
	}()
	return done
}

// show draws one state.
func (s *screen) show(load [2]float64, m *meter) {
	got, pause := m.progress()
	line := fmt.Sprintf("A [%s]  B [%s]  %3d %%", bar(load[0]), bar(load[1]), 100*got/m.size)
	if pause > interval {
		line += fmt.Sprintf("  stalled for %d ms", pause.Milliseconds())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		fmt.Fprint(s.out, "\r\x1b[K", line)
		s.bars = true
		return
	}
	fmt.Fprintln(s.out, line)
}

func bar(load float64) string {
	n := min(int(load*barWidth+0.5), barWidth)
	return strings.Repeat("#", n) + strings.Repeat(".", barWidth-n)
}

// verdict sums a download up.
func (s *screen) verdict(v Verdict) {
	word := "held"
	if !v.OK {
		word = "FAILED"
	}
	equal := "equal"
	if !v.HashEqual {
		equal = "NOT equal"
	}
	s.say("%s over %s (%s): %d bytes in %.1f s, SHA-256 %s, longest stall %d ms", word, v.Transport, v.Client, v.Bytes, float64(v.DurationMS)/1000, equal, v.LongestStallMS)
	if v.Transport == "mh" {
		s.say(", %d failovers", v.Failovers)
	}
	if v.Error != "" {
		s.say(": %s", v.Error)
	}
	s.say("\n")
	for _, f := range v.Moves {
		s.say("    %s -> %s (%s), %.0f ms without progress\n", f.From, f.To, f.Cause, f.StallMS)
	}
}
