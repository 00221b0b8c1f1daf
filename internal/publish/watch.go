package publish

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/noid"
)

// When a change of addresses is published.
const (
	// hold is how long an address must have been usable. A line that comes and
	// goes is no second path, and each of its turns would be an update.
	hold = 30 * time.Second

	// settle is how long nothing must have changed for the TTL to rise again.
	settle = 10 * time.Minute

	// pause is the least time between two updates, whatever happens here: the
	// server is somebody's, and each update makes it write and notify.
	pause = 10 * time.Second

	// maxBackoff is what failures lengthen that to, doubling.
	maxBackoff = 5 * time.Minute

	// recheck is how often the records are compared without cause: a zone may
	// be loaded from an old file.
	recheck = time.Hour

	// farewell is how long the withdrawal at the end may take.
	farewell = 10 * time.Second
)

// A Watcher keeps the records of a host current while its addresses change: an
// address that is gone is withdrawn at once, one that is new is published after
// hold, and TTLs are low from a change until settle later.
type Watcher struct {
	// Want is what to publish, but for addresses and TTL.
	Want Want

	// Current returns the addresses that could be published now.
	Current func() ([]netip.Addr, error)

	// Publish is Primary.Publish, of a server that is looked for every time:
	// it may have moved.
	Publish func(context.Context, *Want) (*Plan, error)

	// Changed has an item when the addresses may have changed. Without it they
	// are looked at every pause.
	Changed <-chan struct{}

	// TTL is that of a host that stays where it is. Default SettledTTL.
	TTL uint32

	// Withdraw takes everything back at the end.
	Withdraw bool

	Log *slog.Logger
}

// history is what a watcher remembers.
type history struct {
	since    map[netip.Addr]time.Time // when each was first seen, of those that are there
	moved    time.Time                // when one came or went; zero: never
	failures int                      // in a row
	ready    time.Time                // nothing is sent before
	checked  time.Time                // when the records were last compared
	done     []netip.Addr             // what was published then
	notes    []string                 // what was said of other hosts last
	ttl      uint32
}

// Run publishes until ctx ends. It fails only when it is no use to go on.
func (w *Watcher) Run(ctx context.Context) error {
	h := &history{since: make(map[netip.Addr]time.Time)}
	for {
		wait := w.turn(ctx, h, time.Now())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return w.end(ctx)
		case <-w.Changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn looks at the addresses, publishes if it is time, and returns after how
// long to look again.
func (w *Watcher) turn(ctx context.Context, h *history, now time.Time) time.Duration {
	current, err := w.Current()
	if err != nil {
		w.Log.Warn("addresses of this host are not known", "error", err)
		return pause
	}
	h.see(current, now)
	addrs, ttl := h.wanted(now), cmp.Or(w.TTL, SettledTTL)
	if h.moving(now) {
		ttl = min(ttl, MovingTTL)
	}
	changed := !slices.Equal(addrs, h.done) || ttl != h.ttl
	due := changed || now.Sub(h.checked) >= recheck
	if due && len(addrs) > 0 && !now.Before(h.ready) {
		want := w.Want
		want.Addrs, want.TTL = addrs, ttl
		plan, err := w.Publish(ctx, &want)
		w.report(plan, err)
		if err == nil {
			h.remark(w, plan)
		}
		if err == nil && !changed && !plan.Empty() {
			w.Log.Warn("somebody else has changed the records of this host, and they are set right: if another host has the same id, as one from the same disk image has, start it with --host-id", "name", w.Want.Name.String(), "host", w.Want.Host)
		}
		h.note(addrs, ttl, err, now)
	}
	wait := h.next(now)
	if w.Changed == nil {
		wait = min(wait, pause)
	}
	return wait
}

// remark logs what is to be said of other hosts at the name, when it is new.
func (h *history) remark(w *Watcher, plan *Plan) {
	for _, note := range plan.Notes {
		if !slices.Contains(h.notes, note) {
			w.Log.Warn(note, "name", w.Want.Name.String())
		}
	}
	h.notes = plan.Notes
}

func (w *Watcher) report(plan *Plan, err error) {
	switch {
	case err != nil:
		w.Log.Error("not published", "name", w.Want.Name.String(), "error", err)
	case plan.Empty():
		w.Log.Debug("records are as they should be", "name", w.Want.Name.String())
	default:
		for _, c := range plan.Changes {
			if c.Fate != Keep {
				w.Log.Info(map[Fate]string{Add: "published", Remove: "withdrawn"}[c.Fate], "record", line(c.RR), "why", cmp.Or(c.Why, "new"))
			}
		}
	}
}

// end takes everything back, if that is wanted.
func (w *Watcher) end(ctx context.Context) error {
	if !w.Withdraw {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	plan, err := w.Publish(ctx, Withdrawal(w.Want.Name, w.Want.Host))
	w.report(plan, err)
	return err
}

// see notes which addresses are there. Those of the first time are not new:
// the host may have had them for a year.
func (h *history) see(current []netip.Addr, now time.Time) {
	first := h.checked.IsZero() && len(h.since) == 0
	for a := range h.since {
		if !slices.Contains(current, a) {
			delete(h.since, a)
			h.moved = now
		}
	}
	for _, a := range current {
		if _, known := h.since[a]; known {
			continue
		}
		h.since[a] = now
		if first {
			h.since[a] = now.Add(-hold)
		} else {
			h.moved = now
		}
	}
}

// wanted are the addresses that have been there long enough. When there is no
// other, one need not wait: whatever is published instead is gone.
func (h *history) wanted(now time.Time) (out []netip.Addr) {
	for a, since := range h.since {
		if now.Sub(since) >= hold {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		for a := range h.since {
			out = append(out, a)
		}
	}
	return sorted(out)
}

// moving reports whether an address has come or gone not long ago.
func (h *history) moving(now time.Time) bool {
	return !h.moved.IsZero() && now.Sub(h.moved) < settle
}

// note remembers how an attempt went.
func (h *history) note(addrs []netip.Addr, ttl uint32, err error, now time.Time) {
	if err != nil {
		h.ready = now.Add(min(pause<<min(h.failures, 8), maxBackoff))
		h.failures++
		return
	}
	h.failures, h.ready = 0, now.Add(pause)
	h.done, h.ttl, h.checked = addrs, ttl, now
}

// next is how long nothing has to be done unless the addresses change.
func (h *history) next(now time.Time) time.Duration {
	at := now.Add(recheck)
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(at) {
			at = t
		}
	}
	sooner(h.ready)
	sooner(h.checked.Add(recheck))
	sooner(h.moved.Add(settle))
	for _, since := range h.since {
		sooner(since.Add(hold))
	}
	return at.Sub(now)
}

// ErrNoAddress says that there is nothing to publish.
var ErrNoAddress = errors.New("no address of this host can be published")

// Capability is the record of a host that speaks mh at a UDP port.
func Capability(n noid.Name, udpPort uint16) *noid.Capability {
	return &noid.Capability{Target: n, UDPPort: udpPort, SCTPPort: sctpPort, Version: 1, Flags: noid.FlagEmul, Prio: 1}
}

// sctpPort is the SCTP port of associations that carry TCP.
const sctpPort = 5000
