package noid

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

type question struct {
	name  string
	qtype uint16
}

func (q question) String() string { return dns.TypeToString[q.qtype] + " " + q.name }

// A key is a question on a network. What one network said is not believed on
// another: there the same name may be another host's, and who answers there
// may have lied (threat: a cache poisoned in a café and carried home).
type key struct {
	question
	network string
}

// An entry is what is remembered of a question: the latest answer that a
// server gave, and the failures to get another since.
type entry struct {
	answer
	answered bool
	failure  answer
	failures int       // in a row
	retry    time.Time // nobody is asked before
}

// now returns what can be said without asking anybody. renew demands what is
// newer than an answer that still holds.
func (e *entry) now(now time.Time, renew bool) (a answer, ok bool) {
	holds := e.answered && now.Before(e.expire)
	switch {
	case holds && !renew:
		return e.answer, true
	case e.failures == 0 || !now.Before(e.retry):
		return answer{}, false
	case holds:
		return e.answer, true
	}
	return e.unanswered(now), true
}

// unanswered is what holds when nobody answers: the last answer, if it is not
// too old and was none that a forger may have made, or else the failure.
func (e *entry) unanswered(now time.Time) answer {
	if a, ok := e.stale(now); ok && !e.failure.forged() {
		return a
	}
	return e.failure
}

// stale returns the answer past its time. RFC 8767 section 5 has it marked
// with a TTL of 30 seconds.
func (e *entry) stale(now time.Time) (a answer, ok bool) {
	if !e.answered || e.err != nil || !now.Before(e.expire.Add(maxStale)) {
		return answer{}, false
	}
	a = e.answer
	a.staleUntil = e.expire.Add(maxStale)
	if !now.Before(e.expire) {
		a.expire = now.Add(staleTTL)
		a.stale = true
	}
	return a, true
}

// cache remembers answers, and has everybody who asks the same at one time
// wait for one lookup.
//
// mu is a leaf.
type cache struct {
	mu      sync.Mutex
	entries map[key]entry
	flying  map[key]*flight
}

type flight struct {
	done   chan struct{}
	answer answer
}

func newCache() cache {
	return cache{entries: make(map[key]entry), flying: make(map[key]*flight)}
}

// lookup returns the answer to a question, from the cache or the network.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) answer {
	return r.find(ctx, question{strings.ToLower(name), qtype}, false)
}

// find is lookup; renew asks even where an answer holds. Whoever has an old
// answer waits no longer than clientTimer for a new one, while the question
// goes on (RFC 8767 section 5).
func (r *Resolver) find(ctx context.Context, q question, renew bool) (a answer) {
	began := r.now()
	defer func() { r.trace(ctx, q, began, a) }()
	k := key{q, r.networks.current(r.now())}
	c := &r.cache
	c.mu.Lock()
	e := c.entries[k]
	if a, ok := e.now(r.now(), renew); ok {
		c.mu.Unlock()
		return a
	}
	f := c.flying[k]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flying[k] = f
		r.running.Go(func() { r.fly(k, f) }) // ends within queryTimer
	}
	c.mu.Unlock()
	old, usable := e.stale(r.now())
	var patience <-chan time.Time
	if usable {
		t := time.NewTimer(clientTimer)
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-f.done:
		return f.answer
	case <-patience:
		old.expire = r.now().Add(staleTTL)
		return old
	case <-ctx.Done():
		if usable {
			return old
		}
		return answer{err: &Error{Step: q.String(), Kind: ErrTimeout, Detail: ctx.Err().Error()}, failed: true}
	}
}

// fly asks the network. It is not bound to the context of the one who asked
// first, because others may wait for it too.
func (r *Resolver) fly(k key, f *flight) {
	ctx, cancel := context.WithTimeout(r.ctx, queryTimer)
	defer cancel()
	f.answer = r.ask(ctx, k.question)
	c := &r.cache
	c.mu.Lock()
	delete(c.flying, k)
	f.answer = c.store(k, f.answer, r.now())
	c.mu.Unlock()
	close(f.done)
}

// store remembers an answer, or that there was none, and returns what those who
// asked get. The caller holds c.mu.
func (c *cache) store(k key, a answer, now time.Time) answer {
	e, known := c.entries[k]
	if !known {
		makeRoom(c.entries, maxCache, func(e entry) bool {
			_, ok := e.stale(now)
			return !ok && !now.Before(e.expire) && !now.Before(e.retry)
		})
	}
	if !a.failed && !now.Before(a.expire) { // a TTL of 0: for nobody else, not even as an old answer
		delete(c.entries, k)
		return a
	}
	if !a.failed {
		c.entries[k] = entry{answer: a, answered: true}
		c.replaceAliases(k, &a)
		return a
	}
	e.failure = a
	e.failures++
	pause := min(failureTTL<<min(e.failures-1, 16), maxFailureTTL)
	if _, ok := e.stale(now); ok {
		pause = max(pause, staleRetry)
	}
	e.retry = now.Add(pause)
	c.entries[k] = e
	if e.answered && now.Before(e.expire) {
		return e.answer
	}
	return e.unanswered(now)
}

// replaceAliases forgets what else was remembered of an owner that has become
// an alias, or is none any more: an owner with a CNAME has no other records
// (RFC 1034 section 3.6.2).
func (c *cache) replaceAliases(k key, a *answer) {
	for _, t := range [...]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSVCB, dns.TypeTXT, dns.TypeSRV} {
		other := key{question{k.name, t}, k.network}
		if e, ok := c.entries[other]; ok && t != k.qtype && e.answered && e.err == nil && a.err == nil && e.aliased() != a.aliased() {
			delete(c.entries, other)
		}
	}
}
