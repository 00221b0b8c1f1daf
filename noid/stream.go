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
	return r.open(ctx, name, port).out
}

// A feed is what makes a stream.
type feed struct {
	out    chan Candidate
	served chan struct{} // closed when out has all that is said of hosts that speak mh
}

func (r *Resolver) open(ctx context.Context, name string, port uint16) feed {
	f := feed{out: make(chan Candidate, maxCandidates), served: make(chan struct{})}
	n, err := ParseName(name)
	if err != nil || r.staticSet(n) != nil {
		r.running.Go(func() { r.feedKnown(ctx, name, port, f) }) // ends with ctx at the latest
	} else {
		r.running.Go(func() { r.feedNames(ctx, n, port, f) }) // ends with ctx, or when all is said
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
func (r *Resolver) feedNames(ctx context.Context, n Name, port uint16, f feed) {
	defer close(f.out)
	known := make(chan struct{})
	var service sync.WaitGroup
	service.Go(func() { // ends with ctx at the latest
		c := r.service(ctx, n, port)
		close(known)
		r.feedHosts(ctx, n, c, f.out)
		close(f.served)
	})
	r.families(ctx, n, n, func(s *Set, waited bool) {
		if len(s.Locators) == 0 {
			f.out <- Candidate{Err: cmp.Or(s.failure(n), errNoRecords)}
			return
		}
		f.out <- Candidate{Set: s, pending: !arrives(known, waited)}
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
			r.families(ctx, target, asked, func(s *Set, _ bool) {
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

// gather makes a Result of a stream. It waits no longer for hosts that speak mh
// than is worth while once there are addresses for plain TCP, unless the trust
// mode demands an answer.
func (r *Resolver) gather(ctx context.Context, n Name, port uint16) (*Result, error) {
	f := r.open(ctx, string(n), port)
	var g gathering
	served, patience := f.served, (<-chan time.Time)(nil)
	wait := func(d time.Duration) {
		if patience == nil {
			patience = time.After(d)
		}
	}
	for !g.enough(r.trust.demanding()) {
		select {
		case c, more := <-f.out:
			g.closed, g.served = !more, g.served || !more
			g.add(c)
		case <-served:
			served = nil
			g.drain(f.out)
		case <-patience:
			g.late = true
		}
		switch {
		case g.legacy != nil && !r.trust.demanding():
			wait(targetDelay)
		case g.served && len(g.mh) > 0:
			wait(resolutionDelay)
		}
	}
	res := &Result{MH: g.mh, Legacy: g.legacy, Partial: g.service, named: g.named}
	if !g.served {
		res.Late = func(ctx context.Context) ([]*Set, error) { return rest(ctx, f) }
		if len(g.mh) == 0 {
			res.Partial = cmp.Or(g.service, error(&Error{Step: "SVCB " + capabilityName(n), Kind: ErrTimeout, Detail: "the addresses came long before it"}))
		}
	}
	r.judge(n, res)
	if len(res.MH) == 0 && res.Legacy == nil {
		return nil, errors.Join(g.err, notAbsent(res.Partial))
	}
	return res, nil
}

// judge says what a result is worth where a part of it is missing.
func (r *Resolver) judge(n Name, res *Result) {
	res.NoFallback = r.trust.noFallback(res)
	if len(res.MH) > 0 || notAbsent(res.Partial) == nil {
		return
	}
	if res.Capable = r.seen.has(n, r.now()); res.Capable && res.Late == nil {
		r.log.Warn("a name that spoke mh not long ago does not say so now: somebody may be keeping its record away", "name", n.String(), "error", res.Partial)
	}
}

// rest waits for the hosts that a stream still has.
func rest(ctx context.Context, f feed) ([]*Set, error) {
	var g gathering
	for !g.served {
		select {
		case c := <-f.out:
			g.add(c)
		case <-f.served:
			g.drain(f.out)
		case <-ctx.Done():
			return g.mh, cmp.Or(g.service, ctx.Err())
		}
	}
	return g.mh, g.service
}

// gathering is what has been read of a stream.
type gathering struct {
	mh      []*Set
	legacy  *Set
	service error // why hosts are missing
	err     error // why addresses are

	pending bool // the addresses came, and the record that makes more of them did not
	served  bool // no more is said of hosts that speak mh
	named   bool // the record names one
	late    bool // what is missing is not worth the time
	closed  bool // nothing more is said at all
}

// enough reports whether a dial can begin. Who demands an answer waits for it.
func (g *gathering) enough(demanding bool) bool {
	switch {
	case g.closed, g.late, g.served && g.legacy != nil:
		return true
	}
	return g.pending && !demanding
}

// drain reads what is there when all has been said of hosts that speak mh.
func (g *gathering) drain(out <-chan Candidate) {
	g.served = true
	for {
		select {
		case c, more := <-out:
			if !more {
				g.closed = true
				return
			}
			g.add(c)
		default:
			return
		}
	}
}

func (g *gathering) add(c Candidate) {
	switch {
	case c.Early: // whoever waits for all has no use for hints
	case c.Err != nil && c.service:
		g.service, g.named = errors.Join(g.service, c.Err), g.named || c.named
	case c.Err != nil:
		g.err = c.Err
	case c.Set == nil: // the end
	case c.Set.Cap == nil:
		g.legacy, g.pending = c.Set, c.pending
	default:
		g.mh = slices.DeleteFunc(g.mh, func(s *Set) bool { return s.rank == c.Set.rank })
		g.mh = append(g.mh, c.Set)
		slices.SortFunc(g.mh, func(a, b *Set) int { return cmp.Compare(a.rank, b.rank) })
	}
}
