// Package demo is "mh demo": a real download through the real mh-socks and
// mh-gw goes on, byte for byte, while one provider and then the other goes
// dark.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// Options are what the command line says.
type Options struct {
	Size    int64 // octets of the file
	JSON    bool  // print one object at the end and nothing else
	Compare bool  // run the same cuts over TCP and MPTCP too
	OneISP  bool  // leave only the first provider up: then a cut must stop the download
	Out     io.Writer
}

const (
	// rate is that of each provider's links, in octets a second: 50 Mbit/s.
	rate = 50_000_000 / 8

	// darkness is how long a provider stays silent.
	darkness = 4 * time.Second

	// stallLimit is the longest pause that a user may see.
	stallLimit = time.Second

	// Patience bounds a download that does not go on.
	patience = 75 * time.Second
)

// cuts are when the providers go silent, as shares of the download.
var cuts = [2]float64{0.2, 0.6}

// A Verdict is how a download went.
type Verdict struct {
	Transport      string         `json:"transport"`
	Client         string         `json:"client"`
	Bytes          int64          `json:"bytes"`
	HashEqual      bool           `json:"hash_equal"`
	LongestStallMS int64          `json:"longest_stall_ms"`
	Failovers      int            `json:"failovers"`
	DurationMS     int64          `json:"duration_ms"`
	Moves          []lab.Failover `json:"moves,omitempty"`
	Error          string         `json:"error,omitempty"`
	OK             bool           `json:"ok"`
	Compared       []Verdict      `json:"compared,omitempty"`
}

// Run is the whole demo. It returns the exit code.
func Run(o Options) int {
	if !testnet.Inside() {
		code, err := testnet.Reexec()
		if errors.Is(err, testnet.ErrForbidden) {
			fmt.Fprintf(os.Stderr, "mh demo: %v\nThe demo needs two network namespaces, and this system lets ordinary users make none. Run it as root instead:\n\n\tsudo %s\n\n", err, commandLine())
			return 1
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "mh demo:", err)
		}
		return code
	}
	v, err := o.run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mh demo:", err)
		return 1
	}
	if o.JSON {
		b, err := json.Marshal(v)
		if err != nil {
			fmt.Fprintln(os.Stderr, "mh demo:", err)
			return 1
		}
		fmt.Fprintln(o.Out, string(b))
	}
	if !v.OK {
		return 1
	}
	return 0
}

func commandLine() string {
	line := ""
	for _, a := range os.Args {
		line += " " + a
	}
	return line[1:]
}

// run sets the scene and plays it.
func (o Options) run() (Verdict, error) {
	self, err := os.Executable()
	if err != nil {
		return Verdict{}, err
	}
	l, err := lab.New(filepath.Dir(self), rate)
	if err != nil {
		return Verdict{}, err
	}
	defer l.Close()
	s := newScreen(o)
	s.say("laptop ==(ISP A, 50 Mbit/s)== site        mh-socks on the laptop, mh-gw at the site\n       ==(ISP B, 50 Mbit/s)==             a download of %d MB through both\n", o.Size/1_000_000)
	server, err := serveFile(l, o.Size)
	if err != nil {
		return Verdict{}, err
	}
	defer server.Close()
	gw, err := startDaemons(l)
	if err != nil {
		return Verdict{}, err
	}
	if o.OneISP {
		if err := l.ISP[1].Cut(); err != nil {
			return Verdict{}, err
		}
	}
	v := play(l, o, s, proxied(l))
	v.Moves = gw.Failovers()
	v.Failovers = len(v.Moves)
	v.OK = v.Error == "" && v.HashEqual && v.Bytes == o.Size && v.LongestStallMS <= stallLimit.Milliseconds() && v.Failovers >= 2
	s.verdict(v)
	if o.Compare {
		for _, rival := range rivals(l) {
			if err := l.ISP[0].Restore(); err != nil {
				return v, err
			}
			if err := l.ISP[1].Restore(); err != nil {
				return v, err
			}
			r := play(l, o, s, rival)
			r.OK = r.Error == "" && r.HashEqual && r.LongestStallMS <= stallLimit.Milliseconds()
			s.verdict(r)
			v.Compared = append(v.Compared, r)
		}
	}
	return v, nil
}

// startDaemons starts both programs and returns the gateway, which knows of
// the failovers: it sends the data.
func startDaemons(l *lab.Lab) (gw *lab.Proc, err error) {
	if gw, err = l.StartGateway(serverAddr, ""); err != nil {
		return nil, err
	}
	if err := gw.AwaitReady(); err != nil {
		return nil, err
	}
	socks, err := l.StartSocks("")
	if err != nil {
		return nil, err
	}
	return gw, socks.AwaitReady()
}

// play downloads once while the providers go dark in turn.
func play(l *lab.Lab, o Options, s *screen, d download) Verdict {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	v := Verdict{Transport: d.transport, Client: d.client}
	m := newMeter(o.Size)
	show := s.follow(ctx, l, m)
	dark := make(chan error, 1)
	go func() { dark <- darken(ctx, l, o, s, m) }() // ends with ctx
	err := d.run(ctx, m)
	cancel()
	if derr := <-dark; err == nil {
		err = derr
	}
	<-show
	v.Bytes, v.HashEqual, v.LongestStallMS, v.DurationMS = m.result()
	if err != nil {
		v.Error = err.Error()
	}
	return v
}

// darken cuts one provider and then the other, each at its share of the
// download.
func darken(ctx context.Context, l *lab.Lab, o Options, s *screen, m *meter) error {
	for i, share := range cuts {
		if o.OneISP && i == 1 {
			return nil
		}
		if !m.await(ctx, int64(share*float64(o.Size))) {
			return nil
		}
		name := string("AB"[i])
		s.say("--- ISP %s goes silent: its router stops forwarding, the carrier stays up\n", name)
		if err := l.ISP[i].Cut(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(darkness):
		}
		s.say("--- ISP %s is back\n", name)
		if err := l.ISP[i].Restore(); err != nil {
			return err
		}
	}
	return nil
}
