// Package addrwatch tells at once when a local address stops or starts to be
// usable, so that paths fail over without waiting for a timeout.
//
// An address is usable while
//
//   - it is assigned to an interface; all of 127.0.0.0/8 counts as assigned;
//   - that interface is switched on and has a carrier;
//   - it is no IPv6 address that duplicate address detection holds back;
//   - its interface leads out: a default route or a route by a gateway of the
//     address's family goes over it. An interface that had none since Watch was
//     called is not expected to, its address serves the link.
//
// What it does not see: a router or a line that fails further on, and what
// policy rules or a firewall do with the address. For those there are
// heartbeats.
//
// Only Linux reports (over rtnetlink, which needs no privilege); elsewhere
// Watch and Follow succeed and never report.
package addrwatch

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// An Event says that a local address became usable or unusable.
type Event struct {
	Addr  netip.Addr // as it was given to Watch
	Up    bool
	Cause string // for people, such as "link down" or "address added"
}

func (e Event) String() string {
	if e.Up {
		return fmt.Sprintf("%v is usable: %s", e.Addr, e.Cause)
	}
	return fmt.Sprintf("%v is unusable: %s", e.Addr, e.Cause)
}

// A Watcher reports changes of local addresses.
type Watcher struct {
	tracker *tracker
	poke    func() // has the system looked at again
	stop    func()
}

// Watch reports changes for the addresses until Stop is called. All of them
// count as usable at first: those that are not are reported right away, then
// whatever changes. The reports come in order and one at a time, from a
// goroutine of the Watcher's own; changes that undo one another before they are
// noticed are not reported.
//
// The network namespace is that of the calling thread. A zone is ignored: a
// link-local address counts as usable when it is on any interface.
func Watch(addrs []netip.Addr, report func(Event)) (*Watcher, error) {
	for _, a := range addrs {
		if !a.IsValid() || a.IsUnspecified() {
			return nil, fmt.Errorf("watch local address %v: name a concrete address of this host", a)
		}
	}
	t := newTracker(slices.Clone(addrs))
	poke, stop, err := observe(func(s snapshot) time.Duration {
		for _, e := range t.next(s) {
			report(e)
		}
		return 0
	})
	if err != nil {
		return nil, fmt.Errorf("watch local addresses: %w", err)
	}
	return &Watcher{tracker: t, poke: poke, stop: stop}, nil
}

// Add watches one address more, which counts as usable at first too.
func (w *Watcher) Add(a netip.Addr) {
	w.tracker.add(a)
	w.poke()
}

// Remove watches an address no longer. A report of it may be on its way.
func (w *Watcher) Remove(a netip.Addr) { w.tracker.remove(a) }

// Stop returns when no report runs and none will come, so report must neither
// call it nor wait for who does. It may be called more than once.
func (w *Watcher) Stop() { w.stop() }
