package noid

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Change says what has become of a name's addresses.
type Change struct {
	Set       *Set      // all that it has now
	Added     []Locator // since the change before
	Withdrawn []Locator

	// Orphaned says that it has had no address for Config.MaxOrphan: the name
	// means no host any more, and who still talks to one has to end that (RFC
	// 5533 section 4.4 for its own identifiers).
	Orphaned bool
}

// watches are the names that are followed, each by one goroutine for all who
// want to know.
//
// mu is a leaf.
type watches struct {
	mu    sync.Mutex
	names map[watched]*watch
}

func newWatches() watches { return watches{names: make(map[watched]*watch)} }

// watched is a name as it is seen from a path: which of its private addresses
// count depends on that.
type watched struct {
	name  Name
	scope netip.Addr
}

// A watch follows one name.
type watch struct {
	watched
	end context.CancelFunc

	// Guarded by watches.mu.
	readers map[*reader]struct{}
	set     *Set      // the latest, nil before the first
	empty   time.Time // since when it has had no members
	told    bool      // that it is orphaned
}

// A reader is one who wants to know.
type reader struct {
	changes chan Change // holds one: a reader that is slow gets several in one
	before  *Set        // what it knew before that one
	known   *Set        // and knows with it
}

// Watch follows a name while associations with its host live. The first Change
// comes soon and has all addresses added; no further one comes without cause.
// Addresses are asked for again before their time is over, and only an answer
// withdraws one: while nobody answers nothing changes. path is where the host is
// talked to, as for [Resolver.Verify]. The function ends the watch; the channel
// is never closed.
func (r *Resolver) Watch(n Name, path netip.Addr) (<-chan Change, func()) {
	of := watched{n, scopeOf(path.Unmap())}
	rd := &reader{changes: make(chan Change, 1)}
	ws := &r.watches
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.names[of]
	if w == nil {
		if len(ws.names) >= maxWatched || r.ctx.Err() != nil {
			return rd.changes, func() {}
		}
		ctx, end := context.WithCancel(r.ctx)
		w = &watch{watched: of, end: end, readers: make(map[*reader]struct{})}
		ws.names[of] = w
		r.running.Go(func() { r.follow(ctx, w) }) // ends with the last reader, or in Close
	}
	w.readers[rd] = struct{}{}
	if w.set != nil {
		rd.tell(w.set, w.told)
	}
	return rd.changes, sync.OnceFunc(func() {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		if delete(w.readers, rd); len(w.readers) == 0 {
			delete(ws.names, of)
			w.end()
		}
	})
}

// follow asks for a name's addresses again and again.
func (r *Resolver) follow(ctx context.Context, w *watch) {
	defer w.end()
	for renew := false; ; renew = true {
		asked := r.now()
		s := r.members(ctx, w.watched, renew)
		if ctx.Err() != nil {
			return
		}
		r.watches.news(w, s, r.now(), r.cfg.MaxOrphan)
		t := time.NewTimer(r.watches.pause(w, s, asked, r.cfg.MaxOrphan))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// members returns what a name has now.
func (r *Resolver) members(ctx context.Context, of watched, renew bool) *Set {
	if s := r.staticSet(of.name); s != nil {
		return s
	}
	s := r.forward(ctx, of.name, origin{path: of.scope}, renew)
	if r.cfg.ReverseAll {
		r.reverseMembers(ctx, s)
	}
	return s
}

// news tells the readers of a set if it is another one.
func (ws *watches) news(w *watch, s *Set, now time.Time, orphan time.Duration) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w.set != nil && s.partial {
		s = w.set.joined(s)
	} else if s.partial && len(s.Locators) == 0 {
		return // nothing is known yet
	}
	changed := w.set == nil || w.set.Gen != s.Gen
	w.set = s
	switch {
	case len(s.Locators) > 0:
		w.empty, w.told = time.Time{}, false
	case w.empty.IsZero():
		w.empty = now
	case !w.told && !now.Before(w.empty.Add(orphan)):
		w.told, changed = true, true
	}
	if changed {
		for rd := range w.readers {
			rd.tell(s, w.told)
		}
	}
}

// joined returns s with what of a newer set is an answer: without all of the
// answers nothing is withdrawn, and from an old answer nothing is added.
func (s *Set) joined(newer *Set) *Set {
	out := *s
	out.Locators = slices.Clone(s.Locators)
	for _, l := range newer.Locators {
		if !l.Stale && !s.Contains(l.Addr) {
			out.Locators = append(out.Locators, l)
		}
	}
	out.cut()
	out.Expire = newer.Expire
	out.seal()
	return &out
}

// pause is how long until a name is asked for again: when four fifths of its
// time are over, give or take a tenth of that, so that the names which were
// learnt together are not asked for together.
func (ws *watches) pause(w *watch, s *Set, asked time.Time, orphan time.Duration) time.Duration {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	d := refreshMin
	switch {
	case s.Binding == BindingStatic: // looking at a file costs nothing
	case len(s.Locators) == 0 || s.partial:
		d = staleRetry
	default:
		d = time.Duration(float64(s.Expire.Sub(asked)) * 0.8 * (0.9 + 0.2*rand.Float64()))
	}
	d = min(max(d, refreshMin), refreshMax)
	if !w.empty.IsZero() && !w.told {
		d = min(d, max(refreshMin, w.empty.Add(orphan).Sub(asked)))
	}
	return d
}

// tell puts a change before a reader, in one with what it has not read yet.
func (rd *reader) tell(s *Set, orphaned bool) {
	select {
	case <-rd.changes:
	default:
		rd.before = rd.known
	}
	rd.known = s
	rd.changes <- Change{Set: s, Added: without(s, rd.before), Withdrawn: without(rd.before, s), Orphaned: orphaned}
}

// without returns the members of s that o has not.
func without(s, o *Set) (out []Locator) {
	if s == nil {
		return nil
	}
	for _, l := range s.Locators {
		if o == nil || !o.Contains(l.Addr) {
			out = append(out, l)
		}
	}
	return out
}

// As returns a set of the same members as it is seen by an association for
// which the name was established before: by a binding, and, if host, as the
// name of one host.
func (s *Set) As(b Binding, host bool) *Set {
	out := *s
	out.Binding, out.reversed = max(s.Binding, b), nil
	out.hostLevel = s.hostLevel || host
	return &out
}

// IsHost reports whether a name is one host's, as far as its own record says
// so: a name may also be that of several.
func (r *Resolver) IsHost(ctx context.Context, n Name) bool {
	if s := r.staticSet(n); s != nil {
		return true
	}
	return slices.ContainsFunc(r.capabilities(ctx, n).list, func(c Capability) bool { return c.Target == n })
}
