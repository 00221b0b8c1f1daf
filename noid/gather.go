package noid

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// gather makes a Result of a stream. It waits no longer for hosts that speak mh
// than is worth while once there are addresses for plain TCP, unless the trust
// mode demands an answer. begin has it return with less: see Begin.
func (r *Resolver) gather(ctx context.Context, n Name, port uint16, begin bool) (*Result, error) {
	f := r.open(ctx, string(n), port, begin)
	g := gathering{begin: begin, demanding: r.trust.demanding()}
	served, patience := f.served, (<-chan time.Time)(nil)
	wait := func(d time.Duration) {
		if patience == nil {
			patience = time.After(d)
		}
	}
	for !g.enough() {
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
		case g.legacy != nil && !g.demanding:
			wait(targetDelay)
		case g.served && len(g.mh) > 0:
			wait(resolutionDelay)
		}
	}
	res := &Result{MH: g.mh, Legacy: g.legacy, Partial: g.service, named: g.named}
	r.later(f, g, res)
	if begin && len(g.mh) == 0 && res.Late != nil {
		res.Hints = g.hints
	}
	r.judge(n, res)
	if len(res.MH) == 0 && len(res.Hints) == 0 && res.Legacy == nil {
		return nil, errors.Join(g.err, notAbsent(res.Partial))
	}
	return res, nil
}

// Begin is Resolve for a dial, which can begin with less than all: with hints of
// where hosts may be, without plain TCP where there are hosts, and with one
// family of addresses. Late and More of the Result have the rest, until ctx
// ends.
func (r *Resolver) Begin(ctx context.Context, name string, port uint16) (*Result, error) {
	return r.resolve(ctx, name, port, true)
}

// later has a result tell what was not there yet.
func (r *Resolver) later(f feed, g gathering, res *Result) {
	if g.closed {
		return
	}
	l := &lateness{hosts: make(chan struct{}), plain: make(chan *Set, maxPlain)}
	if !g.served {
		res.Late = l.waitHosts
	}
	if g.begin && (g.half || g.legacy == nil) {
		res.More = l.nextPlain
	}
	if res.Late != nil || res.More != nil {
		r.running.Go(func() { l.collect(f) }) // ends with the stream
	}
}

// lateness is what a stream tells after a Result was made of it.
type lateness struct {
	hosts chan struct{} // closed when all is said of hosts that speak mh
	mh    []*Set        // then: the hosts
	err   error         // and why some are missing

	plain chan *Set // where plain TCP would go, closed after the last
}

// maxPlain is how many sets for plain TCP a stream can have.
const maxPlain = 2

func (l *lateness) collect(f feed) {
	defer close(l.plain)
	g, served, told := gathering{}, f.served, (*Set)(nil)
	for !g.closed {
		select {
		case c, more := <-f.out:
			g.closed = !more
			g.add(c)
		case <-served:
			g.drain(f.out)
		}
		if served != nil && (g.served || g.closed) {
			served, l.mh, l.err = nil, g.mh, g.service
			close(l.hosts)
		}
		if g.legacy != told {
			told = g.legacy
			l.plain <- told
		}
	}
}

func (l *lateness) waitHosts(ctx context.Context) ([]*Set, error) {
	select {
	case <-l.hosts:
		return l.mh, l.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *lateness) nextPlain(ctx context.Context) (*Set, error) {
	select {
	case s := <-l.plain:
		return s, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// judge says what a result is worth where a part of it is missing.
func (r *Resolver) judge(n Name, res *Result) {
	if res.Late != nil && len(res.MH) == 0 && len(res.Hints) == 0 {
		res.Partial = cmp.Or(res.Partial, error(&Error{Step: "SVCB " + capabilityName(n), Kind: ErrTimeout, Detail: "the addresses came long before it"}))
	}
	res.NoFallback = r.trust.noFallback(res)
	if len(res.MH) > 0 || len(res.Hints) > 0 || notAbsent(res.Partial) == nil {
		return
	}
	if res.Capable = r.seen.has(n, r.now()); res.Capable && res.Late == nil {
		r.log.Warn("a name that spoke mh not long ago does not say so now: somebody may be keeping its record away", "name", n.String(), "error", res.Partial)
	}
}

// gathering is what has been read of a stream.
type gathering struct {
	begin     bool // a dial may begin with what there is
	demanding bool // who demands an answer waits for it

	mh      []*Set
	hints   []*Set
	legacy  *Set
	service error // why hosts are missing
	err     error // why addresses are

	pending bool // the addresses came, and the record that makes more of them did not
	half    bool // one family of them has not come either
	served  bool // no more is said of hosts that speak mh
	named   bool // the record names one
	late    bool // what is missing is not worth the time
	closed  bool // nothing more is said at all
}

// enough reports whether a dial can begin.
func (g *gathering) enough() bool {
	switch {
	case g.closed, g.late:
		return true
	case g.begin && (len(g.hints) > 0 || g.served && len(g.mh) > 0):
		return true
	}
	return g.legacy != nil && (g.served || g.pending && !g.demanding)
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
	case c.Early:
		g.hints = insert(g.hints, c.Set)
	case c.Err != nil && c.service:
		g.service, g.named = errors.Join(g.service, c.Err), g.named || c.named
	case c.Err != nil:
		g.err = c.Err
	case c.Set == nil: // the end
	case c.Set.Cap == nil:
		g.legacy, g.pending, g.half = c.Set, c.pending, c.half
	default:
		g.mh = insert(g.mh, c.Set)
	}
}

// insert puts a set among those of other hosts, best first, in place of what was
// known of the host before.
func insert(all []*Set, s *Set) []*Set {
	all = append(slices.DeleteFunc(all, func(o *Set) bool { return o.rank == s.rank }), s)
	slices.SortFunc(all, func(a, b *Set) int { return cmp.Compare(a.rank, b.rank) })
	return all
}
