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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// Options are what the command line says.
type Options struct {
	Size    int64  // octets of the file
	JSON    bool   // print one object at the end and nothing else
	Compare bool   // run the same cuts over TCP and MPTCP too
	Backend string // what carries associations: one for both ends, or the laptop's and the site's
	OneISP  bool   // leave only the first provider up: then a cut must stop the download
	Out     io.Writer
}

const (
	// rate is that of each provider's links, in octets a second: 50 Mbit/s.
	rate = 50_000_000 / 8

	// stallLimit is the longest pause that a user may see.
	stallLimit = time.Second

	// MinSize is the smallest file in octets whose download leaves time for
	// two failovers, MaxSize the largest that somebody may want to wait for.
	MinSize = 20_000_000
	MaxSize = 10_000_000_000
)

// cuts are when the providers go silent, as shares of the download.
var cuts = [2]float64{0.2, 0.6}

// ideal is how long the download takes over one link at its full rate.
func (o Options) ideal() time.Duration {
	return time.Duration(float64(o.Size) / rate * float64(time.Second))
}

// darkness is how long a provider stays silent: a fifth of the download, so
// that the first is back well before the second goes, but not for longer than
// makes the point.
func (o Options) darkness() time.Duration { return min(o.ideal()/5, 4*time.Second) }

// patience bounds a download that does not go on.
func (o Options) patience() time.Duration { return 2*o.ideal() + 30*time.Second }

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

// survived reports whether every octet came, with no pause that annoys.
func (v Verdict) survived(size int64) bool {
	return v.Error == "" && v.HashEqual && v.Bytes == size && v.LongestStallMS <= stallLimit.Milliseconds()
}

var errInterrupted = errors.New("interrupted")

// Run is the whole demo. It returns the exit code.
func Run(o Options) int {
	code, err := 1, error(nil)
	if testnet.Inside() {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		code, err = o.inside(ctx)
	} else {
		code, err = testnet.Reexec()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mh demo:", err)
		code = 1
	}
	if errors.Is(err, testnet.ErrForbidden) {
		fmt.Fprint(os.Stderr, advice(os.Geteuid(), os.Args))
	}
	return code
}

// advice says what to do where network namespaces are forbidden.
func advice(uid int, args []string) string {
	const need = "The demo makes network namespaces of its own, and this system does not let "
	if uid == 0 {
		return need + "this process make any, although it is root:\nin a container, start that with --privileged.\n"
	}
	return need + "ordinary users make any. Run it as root instead:\n\n\tsudo " + strings.Join(args, " ") + "\n\n"
}

// inside runs the demo where namespaces can be made.
func (o Options) inside(ctx context.Context) (code int, err error) {
	if err := testnet.Allowed(); err != nil {
		return 1, err
	}
	v, err := o.run(ctx)
	if ctx.Err() != nil {
		return 1, errInterrupted
	}
	if err != nil {
		return 1, err
	}
	if o.JSON {
		b, err := json.Marshal(v)
		if err != nil {
			return 1, err
		}
		fmt.Fprintln(o.Out, string(b))
	}
	if !v.OK {
		return 1, nil
	}
	return 0, nil
}

// run sets the scene and plays it.
func (o Options) run(ctx context.Context) (Verdict, error) {
	self, err := os.Executable()
	if err != nil {
		return Verdict{}, err
	}
	l, err := lab.NewWith(filepath.Dir(self), rate, lab.ParseBackends(o.Backend))
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
	gw, socks, err := startDaemons(l)
	if err != nil {
		return Verdict{}, err
	}
	if o.OneISP {
		if err := l.ISP[1].Cut(); err != nil {
			return Verdict{}, err
		}
	}
	v := play(ctx, l, o, s, proxied(l))
	v.Moves = gw.Failovers()
	v.Failovers = len(v.Moves)
	v.OK = v.survived(o.Size) && v.Failovers >= 2
	s.verdict(v)
	if !v.OK {
		for _, p := range []*lab.Proc{gw, socks} {
			fmt.Fprintf(os.Stderr, "%s logged:\n%s\n", p.Name, p.Log())
		}
	}
	if o.Compare {
		for _, rival := range rivals(l) {
			if ctx.Err() != nil {
				break
			}
			if err := l.ISP[0].Restore(); err != nil {
				return v, err
			}
			if err := l.ISP[1].Restore(); err != nil {
				return v, err
			}
			r := play(ctx, l, o, s, rival)
			r.OK = r.survived(o.Size)
			s.verdict(r)
			v.Compared = append(v.Compared, r)
		}
	}
	return v, nil
}

// startDaemons starts both programs and returns the gateway, which knows of
// the failovers: it sends the data.
func startDaemons(l *lab.Lab) (gw, socks *lab.Proc, err error) {
	if gw, err = l.StartGateway(serverAddr, ""); err != nil {
		return nil, nil, err
	}
	if err := gw.AwaitReady(); err != nil {
		return nil, nil, err
	}
	if socks, err = l.StartSocks(""); err != nil {
		return nil, nil, err
	}
	return gw, socks, socks.AwaitReady()
}

// play downloads once while the providers go dark in turn.
func play(ctx context.Context, l *lab.Lab, o Options, s *screen, d download) Verdict {
	ctx, cancel := context.WithTimeout(ctx, o.patience())
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
		case <-time.After(o.darkness()):
		}
		s.say("--- ISP %s is back\n", name)
		if err := l.ISP[i].Restore(); err != nil {
			return err
		}
	}
	return nil
}
