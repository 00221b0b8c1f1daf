package noid

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// A Candidate is one thing that a dial can try.
type Candidate struct {
	// Set has locators. Without capability it is where plain TCP would go. A
	// later Set of the same name and kind replaces it.
	Set *Set

	// Early says that the locators are the hints of a record (RFC 9460 section
	// 7.3), good for no more than to begin with: nobody has said yet that they
	// are the host's.
	Early bool

	// Err is why there is no Set.
	Err error

	pending bool // the capability record has not come
	half    bool // nor has one of the families
	service bool // Err is about the capability
	named   bool // Err is about a host that the record names
}

// maxCandidates is how many a name can have: hints, a family and another for
// each target, two for plain TCP, and two errors.
const maxCandidates = 3*maxTargets + 4

// Stream is Resolve for who does not want to wait for all of an answer: what
// can be tried comes as soon as it may be. Addresses without capability are
// held for resolutionDelay, because the record that makes mh of them may be on
// its way. The channel is closed when all is said, or ctx ends; nobody has to
// read it.
func (r *Resolver) Stream(ctx context.Context, name string, port uint16) <-chan Candidate {
	return r.open(ctx, name, port, true).out
}

// A feed is what makes a stream.
type feed struct {
	out    chan Candidate
	served chan struct{} // closed when out has all that is said of hosts that speak mh
}

// open begins a stream. eager has IPv6 not wait for IPv4.
func (r *Resolver) open(ctx context.Context, name string, port uint16, eager bool) feed {
	f := feed{out: make(chan Candidate, maxCandidates), served: make(chan struct{})}
	n, err := ParseName(name)
	if err != nil || r.staticSet(n) != nil {
		r.running.Go(func() { r.feedKnown(ctx, name, port, f) }) // ends with ctx at the latest
	} else {
		r.running.Go(func() { r.feedNames(ctx, n, port, f, eager) }) // ends with ctx, or when all is said
	}
	return f
}

// feedKnown feeds what is no name for the DNS.
func (r *Resolver) feedKnown(ctx context.Context, name string, port uint16, f feed) {
	defer close(f.out)
	defer close(f.served)
	res, err := r.Resolve(ctx, name, port)
	if err != nil {
		f.out <- Candidate{Err: err}
		return
	}
	for _, s := range append(slices.Clone(res.MH), res.Legacy) {
		f.out <- Candidate{Set: s}
	}
}

// feedNames asks for the capability and the addresses at once.
func (r *Resolver) feedNames(ctx context.Context, n Name, port uint16, f feed, eager bool) {
	defer close(f.out)
	known := make(chan struct{})
	var hurry <-chan struct{}
	if eager {
		hurry = known
	}
	var service sync.WaitGroup
	service.Go(func() { // ends with ctx at the latest
		c := r.service(ctx, n, port)
		close(known)
		r.feedHosts(ctx, n, c, f.out)
		close(f.served)
	})
	r.families(ctx, n, n, hurry, func(s *Set, how arrangement) {
		if len(s.Locators) == 0 {
			f.out <- Candidate{Err: cmp.Or(s.failure(n), errNoRecords), half: how.half}
			return
		}
		f.out <- Candidate{Set: s, pending: !arrives(known, how.waited), half: how.half}
	})
	service.Wait()
}

var errNoRecords = errors.New("no records")

// arrives reports whether known is closed, or will be within resolutionDelay
// unless that has passed.
func arrives(known <-chan struct{}, waited bool) bool {
	patience := resolutionDelay
	if waited {
		patience = 0
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-known:
		return true
	case <-t.C:
	}
	select {
	case <-known:
		return true
	default:
		return false
	}
}

// feedHosts feeds the hosts that speak mh.
func (r *Resolver) feedHosts(ctx context.Context, asked Name, c capabilities, out chan<- Candidate) {
	list, err := r.usable(asked, c)
	if err != nil {
		out <- Candidate{Err: err, service: true}
	}
	var all sync.WaitGroup
	for i := range list {
		all.Go(func() { // ends with ctx at the latest
			target := list[i].Target
			if s := r.hinted(asked, &list[i], c); len(s.Locators) > 0 {
				s.rank = i
				out <- Candidate{Set: s, Early: true}
			}
			r.families(ctx, target, asked, nil, func(s *Set, _ arrangement) {
				s = r.host(ctx, asked, &list[i], c, s)
				s.rank = i
				if len(s.Locators) == 0 {
					out <- Candidate{Err: s.failure(target), service: true, named: true}
					return
				}
				out <- Candidate{Set: s}
			})
		})
	}
	all.Wait()
}

// hinted makes a set of the hints of a record. They are tried as they are, but
// nothing is built on them.
func (r *Resolver) hinted(asked Name, c *Capability, found capabilities) *Set {
	s := r.newSet(c.Target, asked)
	s.Cap, s.Binding, s.Channel, s.hostLevel = c, BindingHint, found.channel, true
	for _, a := range c.Hints {
		s.filters.take(s, Locator{Addr: a, From: FromHint}, origin{names: []Name{asked, c.Target}})
	}
	s.filters.dropOwn(s)
	s.cut()
	s.seal()
	return s
}
