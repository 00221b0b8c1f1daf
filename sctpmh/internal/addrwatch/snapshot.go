package addrwatch

import (
	"net/netip"
	"slices"
	"sync"
)

// A snapshot is what a system says of its links, addresses and routes.
type snapshot struct {
	links map[int]link // by index
	addrs []address
	exits map[uplink]bool // those that a route leads out by
}

type link struct{ up, carrier, loopback bool }

// An address is one of an interface's.
type address struct {
	prefix netip.Prefix // with the host's own bits
	link   int
	held   bool // duplicate address detection goes on, or has found a duplicate
	brief  bool // temporary (RFC 8981) or deprecated (RFC 4862 section 5.5.4): it will be gone soon
}

// An uplink is an interface as one family uses it.
type uplink struct {
	link int
	is6  bool
}

// Why an address is unusable.
const (
	usable         = ""
	addressRemoved = "address removed"
	addressHeld    = "address held by duplicate address detection"
	linkDown       = "link down"
	noCarrier      = "no carrier"
	noRoute        = "no route"
)

// ended is what has happened when such a cause is no more.
var ended = map[string]string{
	addressRemoved: "address added",
	addressHeld:    "address ready",
	linkDown:       "link up",
	noCarrier:      "carrier back",
	noRoute:        "route added",
}

// why returns why an address is unusable. had are the uplinks that a route led
// out by at some time: by those one has to now.
func (s snapshot) why(a netip.Addr, had map[uplink]bool) (cause string) {
	cause = addressRemoved
	for _, x := range s.addrs {
		if !s.has(x, a) {
			continue
		}
		if cause = s.whyNot(x, had); cause == usable {
			return usable // however it is on other interfaces
		}
	}
	return cause
}

// has reports whether an interface's address stands for a. On loopback an IPv4
// address stands for its whole subnet.
func (s snapshot) has(x address, a netip.Addr) bool {
	return x.prefix.Addr() == a || a.Is4() && s.links[x.link].loopback && x.prefix.Contains(a)
}

func (s snapshot) whyNot(x address, had map[uplink]bool) string {
	l, up := s.links[x.link], uplink{x.link, x.prefix.Addr().Is6()}
	switch {
	case !l.up:
		return linkDown
	case !l.carrier:
		return noCarrier
	case x.held:
		return addressHeld
	case had[up] && !s.exits[up]:
		return noRoute
	}
	return usable
}

// A tracker makes events of successive snapshots.
type tracker struct {
	had map[uplink]bool // that a route led out by, in any snapshot

	mu     sync.Mutex   // leaf; guards what follows
	addrs  []netip.Addr // as they were given
	causes []string     // why each was unusable in the last snapshot
}

func newTracker(addrs []netip.Addr) *tracker {
	return &tracker{addrs: addrs, causes: make([]string, len(addrs)), had: map[uplink]bool{}}
}

// add and remove change what is tracked.
func (t *tracker) add(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Contains(t.addrs, a) {
		t.addrs, t.causes = append(t.addrs, a), append(t.causes, usable)
	}
}

func (t *tracker) remove(a netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.addrs, a); i >= 0 {
		t.addrs, t.causes = slices.Delete(t.addrs, i, i+1), slices.Delete(t.causes, i, i+1)
	}
}

// next returns what differs from the last snapshot.
func (t *tracker) next(s snapshot) (events []Event) {
	for up := range s.exits {
		t.had[up] = true
	}
	for up := range t.had {
		if _, ok := s.links[up.link]; !ok {
			delete(t.had, up) // the system may give its number to another
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, a := range t.addrs {
		was, is := t.causes[i], s.why(a.Unmap().WithZone(""), t.had)
		t.causes[i] = is
		switch {
		case was == usable && is != usable:
			events = append(events, Event{Addr: a, Cause: is})
		case was != usable && is == usable:
			events = append(events, Event{Addr: a, Up: true, Cause: ended[was]})
		}
	}
	return events
}
