package noid

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// files keep what the operator's files say current. Who looks at it sees all
// of one reading or all of the next.
type files struct {
	hosts  string // the static file; "": none
	system string // the hosts file of the system; "": none
	zones  []Zone // from the configuration
	lab    bool
	own    func() []netip.AddrPort
	log    *slog.Logger

	latest atomic.Pointer[local]

	mu     sync.Mutex // leaf; guards what follows
	until  time.Time  // when to look again
	stamps [2]stamp   // of the files as they were read
}

// local is what is known without the DNS.
type local struct {
	static  *static
	filters filters
}

// A stamp tells two versions of a file apart.
type stamp struct {
	changed time.Time
	size    int64
}

func stampOf(file string) (s stamp) {
	if file == "" {
		return s
	}
	if info, err := os.Stat(file); err == nil {
		s = stamp{info.ModTime(), info.Size()}
	}
	return s
}

// reload reads the files. If one cannot be read, what was known stays, and the
// error names the file and the line. That the system has no hosts file is no
// error.
func (f *files) reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read()
}

// read is reload for who holds mu.
func (f *files) read() error {
	f.stamps = [2]stamp{stampOf(f.hosts), stampOf(f.system)}
	s := newStatic()
	if f.hosts != "" {
		r, err := os.Open(f.hosts)
		if err != nil {
			return err
		}
		defer r.Close()
		if err := s.parse(r, f.hosts); err != nil {
			return err
		}
	}
	if f.system != "" {
		r, err := os.Open(f.system)
		switch {
		case err == nil:
			defer r.Close()
			s.parseSystem(r)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("the system's hosts file: %w", err)
		}
	}
	f.use(s)
	return nil
}

func (f *files) use(s *static) {
	f.latest.Store(&local{static: s, filters: filters{lab: f.lab, zones: append(slices.Clone(f.zones), s.zones...), deny: s.deny, own: f.own}})
}

// current returns what the files say. It looks at most once in networkPoll
// whether one has changed.
func (f *files) current(now time.Time) *local {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !now.Before(f.until) {
		f.until = now.Add(networkPoll)
		if f.stamps != [2]stamp{stampOf(f.hosts), stampOf(f.system)} {
			if err := f.read(); err != nil {
				f.log.Warn("the hosts file is not taken; what it said before holds", "error", err)
			}
		}
	}
	return f.latest.Load()
}
