package addrwatch

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	// settleAfter is how long an address has to be there before it is reported: a
	// host that joins a network has its addresses, routes and carrier one after the
	// other, and a link that flaps is no place to move to.
	settleAfter = time.Second

	// forgetAfter is how long one has to be away: a link that was unplugged, a
	// lease that is renewed and a host that wakes up have the same address again.
	forgetAfter = time.Minute

	// maxFollowed bounds the addresses that are followed beside those that were there
	// at first. Whoever is on the link
	// can announce prefixes without end (RFC 6104); each would be an address of
	// this host, a socket and paths of every association.
	maxFollowed = 16
)

// Follow reports which addresses of this host there are to send from, until
// stop is called: there says whether one has come or gone. have are those that
// the caller knows of. Only one of the addresses in only is reported to have
// come, as soon as it is usable; without any, one that is global and whose
// interface leads out, but for temporary and deprecated ones. An address has
// gone when it has not been assigned for a minute.
//
// As for the order of reports, stop and the network namespace, see [Watch].
func Follow(have, only []netip.Addr, report func(a netip.Addr, there bool)) (stop func(), err error) {
	f := newFollower(have, only)
	_, stop, err = observe(func(s snapshot) time.Duration {
		changes, again := f.next(time.Now(), s)
		for _, c := range changes {
			report(c.addr, c.there)
		}
		return again
	})
	if err != nil {
		return nil, fmt.Errorf("follow local addresses: %w", err)
	}
	return stop, nil
}

// A follower decides which addresses are there to stay.
type follower struct {
	only  []netip.Addr
	known []followed
}

// followed is an address that was reported, or will be if it stays.
type followed struct {
	addr  netip.Addr
	first bool      // it was there from the beginning
	there bool      // as it was reported last
	since time.Time // that it is otherwise; zero: it is not
}

func newFollower(have, only []netip.Addr) *follower {
	f := &follower{only: slices.Clone(only)}
	for _, a := range have {
		f.known = append(f.known, followed{addr: a, first: true, there: true})
	}
	return f
}

// others counts the addresses that have come since.
func (f *follower) others() (n int) {
	for _, x := range f.known {
		if !x.first {
			n++
		}
	}
	return n
}

// next returns what has come and gone, and when to look again, 0 for when
// something changes.
func (f *follower) next(now time.Time, s snapshot) (changes []followed, again time.Duration) {
	candidates := f.candidates(s)
	for _, a := range candidates {
		known := func(x followed) bool { return x.addr == a }
		if !slices.ContainsFunc(f.known, known) && (len(f.only) > 0 || f.others() < maxFollowed) {
			f.known = append(f.known, followed{addr: a})
		}
	}
	look := func(after time.Duration) {
		if again == 0 || after < again {
			again = after
		}
	}
	for i := range f.known {
		x := &f.known[i]
		is, patience := s.why(x.addr, nil) != addressRemoved, forgetAfter
		if !x.there {
			is, patience = slices.Contains(candidates, x.addr), settleAfter
		}
		switch {
		case is == x.there:
			x.since = time.Time{}
			continue
		case x.since.IsZero():
			x.since = now
		}
		if left := x.since.Add(patience).Sub(now); left > 0 {
			look(left)
			continue
		}
		x.there, x.since = is, time.Time{}
		changes = append(changes, *x)
		look(settleAfter) // there may be room for another
	}
	f.known = slices.DeleteFunc(f.known, func(x followed) bool { return !x.there && x.since.IsZero() })
	return changes, again
}

// candidates returns the addresses that may come.
func (f *follower) candidates(s snapshot) (out []netip.Addr) {
	for _, a := range f.only {
		if s.why(a, nil) == usable {
			out = append(out, a)
		}
	}
	if len(f.only) > 0 {
		return out
	}
	for _, u := range s.uplinks() {
		brief := func(x address) bool { return x.brief && x.prefix.Addr() == u.Addr }
		if !slices.ContainsFunc(s.addrs, brief) && !slices.Contains(out, u.Addr) {
			out = append(out, u.Addr)
		}
	}
	return out
}
