package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// moves is a host whose addresses change, watched in a bubble, and what it
// publishes.
type moves struct {
	*testing.T
	watcher Watcher
	changed chan struct{}
	start   time.Time
	log     bytes.Buffer

	mu    sync.Mutex
	addrs []netip.Addr
	blind error // why the addresses are not known
	asked int   // how often they were looked at
	fail  error
	plan  *Plan
	sent  []string
	atEnd []string // what is to be sent when the watcher ends
}

// watch plays a host in a bubble; play returns while the watcher runs.
func watch(t *testing.T, withdraw bool, play func(*moves)) {
	watchAs(t, func(w *Watcher) { w.Withdraw = withdraw }, play)
}

// watchAs does so with a watcher that configure has changed.
func watchAs(t *testing.T, configure func(*Watcher), play func(*moves)) {
	synctest.Test(t, func(t *testing.T) {
		m := &moves{T: t, changed: make(chan struct{}, 1), start: time.Now(), plan: &Plan{}}
		m.watcher = Watcher{
			Want: Want{Name: host, Host: self, Cap: Capability(host, 9899)}, Current: m.current, Publish: m.publish,
			Changed: m.changed, Log: slog.New(slog.NewTextHandler(&m.log, nil)),
		}
		configure(&m.watcher)
		m.addrs = []netip.Addr{netip.MustParseAddr("9.0.0.1")}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.watcher.Run(ctx) }()
		play(m)
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		m.want("at the end", m.atEnd...)
	})
}

func (m *moves) current() ([]netip.Addr, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.addrs, m.blind
}

func (m *moves) publish(ctx context.Context, w *Want) (*Plan, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	what := fmt.Sprintf("%v ttl %d at %v", w.Addrs, w.TTL, time.Since(m.start))
	if w.Cap == nil {
		deadline, limited := ctx.Deadline()
		what = fmt.Sprintf("withdrawn by %s, in time: %v", w.Host, ctx.Err() == nil && limited && time.Until(deadline) == farewell)
	}
	m.sent = append(m.sent, what)
	return m.plan, m.fail
}

// have changes the addresses, and has the watcher see it.
func (m *moves) have(addrs ...string) {
	m.mu.Lock()
	m.addrs = nil
	for _, a := range addrs {
		m.addrs = append(m.addrs, netip.MustParseAddr(a))
	}
	m.mu.Unlock()
	m.changed <- struct{}{}
}

// pass lets time pass.
func (m *moves) pass(d time.Duration) {
	time.Sleep(d) // the bubble's
	synctest.Wait()
}

// want demands what was published since the last time.
func (m *moves) want(why string, sent ...string) {
	m.Helper()
	synctest.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if fmt.Sprint(m.sent) != fmt.Sprint(sent) {
		m.Errorf("%s:\n got %q\nwant %q", why, m.sent, sent)
	}
	m.sent = nil
}

func TestWatch(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.want("what is there at first is not new", "[9.0.0.1] ttl 300 at 0s")
		m.pass(time.Minute)
		m.have("9.0.0.1", "9.0.0.2")
		m.want("the other one stays, with a low TTL", "[9.0.0.1] ttl 30 at 1m0s")
		m.pass(hold - time.Second)
		m.want("the new one has to last")
		m.pass(time.Second)
		m.want("it has", "[9.0.0.1 9.0.0.2] ttl 30 at 1m30s")
		m.pass(time.Minute)
		m.have("9.0.0.2")
		m.want("one that is gone is withdrawn at once", "[9.0.0.2] ttl 30 at 2m30s")
		m.pass(settle)
		m.want("it has settled", "[9.0.0.2] ttl 300 at 12m30s")
		m.pass(recheck - time.Second)
		m.want("nothing happens")
		m.pass(time.Second)
		m.want("the records are looked at", "[9.0.0.2] ttl 300 at 1h12m30s")
	})
}

// A line that comes and goes is never published.
func TestWatchFlapping(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.pass(time.Minute)
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		for range 20 {
			m.have("9.0.0.1", "9.0.0.2")
			m.pass(hold / 2)
			m.have("9.0.0.1")
			m.pass(hold / 2)
		}
		m.want("the TTL only", "[9.0.0.1] ttl 30 at 1m0s")
	})
}

// The only address is published without waiting, and while there is none,
// nothing is.
func TestWatchMove(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.pass(time.Minute)
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.have()
		m.pass(time.Hour)
		m.want("nowhere")
		m.have("9.0.0.7")
		m.want("elsewhere", "[9.0.0.7] ttl 30 at 1h1m0s")
	})
}

// However fast things change, the server is left in peace for pause.
func TestWatchRate(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.have("9.0.0.1", "9.0.0.2", "9.0.0.3", "9.0.0.4")
		m.pass(time.Minute)
		m.want("all", "[9.0.0.1] ttl 30 at 10s", "[9.0.0.1 9.0.0.2 9.0.0.3 9.0.0.4] ttl 30 at 30s")
		m.have("9.0.0.1", "9.0.0.2", "9.0.0.3")
		m.pass(time.Second)
		m.have("9.0.0.1", "9.0.0.2")
		m.pass(time.Second)
		m.have("9.0.0.1")
		m.pass(time.Minute)
		m.want("two updates for three changes", "[9.0.0.1 9.0.0.2 9.0.0.3] ttl 30 at 1m0s", "[9.0.0.1] ttl 30 at 1m10s")
	})
}

// Failures are tried again, ever less often.
func TestWatchFailures(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.mu.Lock()
		m.fail = errors.New("REFUSED")
		m.mu.Unlock()
		m.pass(time.Minute)
		m.have("9.0.0.2")
		m.pass(20 * time.Minute)
		m.want("doubling, up to a limit",
			"[9.0.0.2] ttl 30 at 1m0s", "[9.0.0.2] ttl 30 at 1m10s", "[9.0.0.2] ttl 30 at 1m30s", "[9.0.0.2] ttl 30 at 2m10s",
			"[9.0.0.2] ttl 30 at 3m30s", "[9.0.0.2] ttl 30 at 6m10s", "[9.0.0.2] ttl 300 at 11m10s", "[9.0.0.2] ttl 300 at 16m10s")
		m.mu.Lock()
		m.fail = nil
		m.mu.Unlock()
		m.pass(time.Hour)
		m.want("at last", "[9.0.0.2] ttl 300 at 21m10s")
	})
}

// Who finds the records changed without cause says so.
func TestWatchRival(t *testing.T) {
	watch(t, false, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.mu.Lock()
		m.plan = &Plan{Changes: []Change{{Fate: Add, RR: (&Want{Name: host, Addrs: m.addrs}).addresses(1)[0]}}}
		m.mu.Unlock()
		m.pass(recheck)
		m.want("looked at", "[9.0.0.1] ttl 300 at 1h0m0s")
		if !strings.Contains(m.log.String(), "start it with --host-id") {
			m.Errorf("log:\n%s", m.log.String())
		}
	})
}

// The TTL is the operator's, also where it is lower than that of hosts that
// move.
func TestWatchTTL(t *testing.T) {
	watchAs(t, func(w *Watcher) { w.TTL = 10 }, func(m *moves) {
		m.pass(time.Minute)
		m.have("9.0.0.2")
		m.want("both", "[9.0.0.1] ttl 10 at 0s", "[9.0.0.2] ttl 10 at 1m0s")
	})
	watchAs(t, func(w *Watcher) { w.TTL = 3600 }, func(m *moves) {
		m.pass(time.Minute)
		m.have("9.0.0.2")
		m.pass(settle)
		m.want("all", "[9.0.0.1] ttl 3600 at 0s", "[9.0.0.2] ttl 30 at 1m0s", "[9.0.0.2] ttl 3600 at 11m0s")
	})
}

// Where nobody tells of changes, or the addresses are not known, they are
// looked at every pause, and no more often.
func TestWatchPolls(t *testing.T) {
	polls := func(m *moves, why string) {
		m.mu.Lock()
		m.asked = 0
		m.mu.Unlock()
		m.pass(10 * pause)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.asked != 10 {
			m.Errorf("%s: looked at %d times in %v, want 10", why, m.asked, 10*pause)
		}
	}
	watchAs(t, func(w *Watcher) { w.Changed = nil }, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		polls(m, "nobody tells")
		m.want("nothing has changed")
	})
	watch(t, false, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.mu.Lock()
		m.blind = errors.New("no netlink")
		m.mu.Unlock()
		m.have("9.0.0.1")
		m.want("the change has been looked at")
		polls(m, "not known")
		m.want("what is not known is not withdrawn")
	})
}

// What is to be said of other hosts is said once, and again when it has been
// otherwise meanwhile.
func TestWatchNotes(t *testing.T) {
	watch(t, false, func(m *moves) {
		says := func(notes ...string) {
			m.mu.Lock()
			m.plan = &Plan{Notes: notes}
			m.mu.Unlock()
			m.pass(recheck)
		}
		says("host b")
		says("host b")
		says()
		says("host b")
		if n := strings.Count(m.log.String(), "level=WARN msg=\"host b\""); n != 2 {
			m.Errorf("it is said %d times, want 2:\n%s", n, m.log.String())
		}
		m.sent = nil
	})
}

// At the end everything is taken back, where that is wanted.
func TestWatchWithdraws(t *testing.T) {
	watch(t, true, func(m *moves) {
		m.want("first", "[9.0.0.1] ttl 300 at 0s")
		m.atEnd = []string{"withdrawn by here, in time: true"}
	})
}

// What is published, and why the rest is not.
func TestChoose(t *testing.T) {
	list := func(s string) (out []netip.Addr) {
		for _, a := range strings.Fields(s) {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	reject := func(a netip.Addr) string {
		if a.IsPrivate() {
			return "private"
		}
		return ""
	}
	for _, test := range []struct{ what, candidates, named, passing, want, left string }{
		{"all", "9.0.0.2 9.0.0.1 9.0.0.2", "", "", "[9.0.0.1 9.0.0.2]", "[]"},
		{"private", "9.0.0.1 10.0.0.1", "", "", "[9.0.0.1]", "[{10.0.0.1 private}]"},
		{"temporary", "2a00::1 2a00::2", "", "2a00::1", "[2a00::2]", "[{2a00::1 temporary or deprecated (RFC 8981, RFC 4862): it will be gone soon}]"},
		{"named", "9.0.0.1 9.0.0.2", "9.0.0.2 9.0.0.3", "", "[9.0.0.2]", "[{9.0.0.3 named in transport.local, but it does not lead out now} {9.0.0.1 not among those of transport.local}]"},
		{"many", "9.0.0.1 9.0.0.2 9.0.0.3 9.0.0.4 9.0.0.5 9.0.0.6 9.0.0.7 9.0.0.8 9.0.0.9", "", "",
			"[9.0.0.1 9.0.0.2 9.0.0.3 9.0.0.4 9.0.0.5 9.0.0.6 9.0.0.7 9.0.0.8]", "[{9.0.0.9 one too many: peers use eight}]"},
	} {
		c := Choose(list(test.candidates), list(test.named), list(test.passing), reject)
		if fmt.Sprint(c.Addrs) != test.want || fmt.Sprint(c.Left) != test.left {
			t.Errorf("%s: %v %v\nwant %s %s", test.what, c.Addrs, c.Left, test.want, test.left)
		}
	}
}

// A capability is read back as it was published.
func TestCapability(t *testing.T) {
	w := Want{Name: host, Cap: Capability(host, 9900), TXT: true}
	if got := line(w.service()[0]); got != `_mhsctp.gw.example.net. 0 IN SVCB 1 gw.example.net. mandatory="key65280" port="9900" key65280="\001\001" key65281="\019\136"` {
		t.Error(got)
	}
	if got := line(w.text()[0]); got != `_mhsctp.gw.example.net. 0 IN TXT "v=mh1 udp=9900 sctp=5000 f=1"` {
		t.Error(got)
	}
}
