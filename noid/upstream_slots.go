package noid

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// slots bound the questions that are under way at once. Whoever can have names
// looked up, a page with links or a peer with claims, can have names looked up
// whose servers say nothing, as many as he likes, and each of them takes a slot
// for as long as it is waited for. So
//
//   - a zone has a share of the slots only: its silence is its own;
//   - who has waited for slotPatience gives way when another has no room.
//     An answer that takes longer is rare, and one that never comes is not.
//
// mu is a leaf.
type slots struct {
	mu      sync.Mutex
	held    []*slot        // eldest first, len <= maxQueries
	zones   map[string]int // how many of those each zone has, <= maxZoneQueries
	waiting []*slot        // eldest first, len <= maxWaiting, of one zone <= maxZoneWaiting
}

// A slot is one question that waits for its turn, then has it.
type slot struct {
	zone    string
	granted chan struct{}           // closed when it is its turn
	give    context.CancelCauseFunc // ends the question: it has to give way
	slow    bool                    // it has waited for slotPatience
}

var errGaveWay = errors.New("it gave way to other questions")

// take waits for a turn. The question ends with the context that it returns,
// and with release.
func (s *slots) take(ctx context.Context, name string) (_ context.Context, release func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	me := &slot{zone: shareOf(name), granted: make(chan struct{}), give: cancel}
	s.mu.Lock()
	if !s.queue(me) {
		s.mu.Unlock()
		cancel(nil)
		return nil, nil, errors.New("too many questions wait for their turn")
	}
	s.grant()
	s.mu.Unlock()
	leave := func() {
		cancel(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.free(me)
		s.waiting = slices.DeleteFunc(s.waiting, func(w *slot) bool { return w == me })
		s.grant()
	}
	select {
	case <-me.granted:
	case <-ctx.Done():
		leave()
		return nil, nil, errors.New("too many questions are under way")
	}
	patience := time.AfterFunc(slotPatience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		me.slow = true
		s.grant()
	})
	return ctx, func() { patience.Stop(); leave() }, nil
}

// queue has a question wait, unless too many do. The caller has mu.
func (s *slots) queue(x *slot) bool {
	alike := 0
	for _, w := range s.waiting {
		if w.zone == x.zone {
			alike++
		}
	}
	if len(s.waiting) >= maxWaiting || alike >= maxZoneWaiting {
		return false
	}
	s.waiting = append(s.waiting, x)
	return true
}

// grant gives everybody his turn for whom there is room or can be made.
// Those of a zone that has its share do not hold up those behind them. The
// caller has mu.
func (s *slots) grant() {
	s.waiting = slices.DeleteFunc(s.waiting, func(w *slot) bool {
		if !s.room(w) {
			return false
		}
		s.held = append(s.held, w)
		s.zones[w.zone]++
		close(w.granted)
		return true
	})
}

// room reports whether there is room for one more, after one who is slow and
// stands in its way was told to go. The caller has mu.
func (s *slots) room(w *slot) bool {
	crowded := s.zones[w.zone] >= maxZoneQueries
	if !crowded && len(s.held) < maxQueries {
		return true
	}
	for _, h := range s.held {
		if h.slow && (!crowded || h.zone == w.zone) {
			h.give(errGaveWay)
			s.free(h)
			return true
		}
	}
	return false
}

// free takes a slot back. The caller has mu.
func (s *slots) free(x *slot) {
	if i := slices.Index(s.held, x); i >= 0 {
		s.held = slices.Delete(s.held, i, i+1)
		if s.zones[x.zone]--; s.zones[x.zone] == 0 {
			delete(s.zones, x.zone)
		}
	}
}

// shareOf is the zone whose share a question takes: the last two labels of
// the name, since below those somebody can make as many zones as he likes. All
// reverse zones are one: who scans addresses asks in many.
func shareOf(name string) string {
	name = strings.ToLower(name)
	labels := dns.Split(name)
	switch {
	case strings.HasSuffix(name, ".arpa."):
		return "arpa."
	case len(labels) > 2:
		return name[labels[len(labels)-2]:]
	}
	return name
}
