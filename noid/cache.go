package noid

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// An answer is what the DNS says to one question, for a time.
type answer struct {
	records []dns.RR // what answers the question, aliases followed
	owner   Name     // after following aliases
	channel Channel
	expire  time.Time
	err     error // why there are no records
}

type question struct {
	name  string
	qtype uint16
}

// cache remembers answers, and has everybody who asks the same at one time
// wait for one lookup.
//
// mu is a leaf.
type cache struct {
	mu      sync.Mutex
	answers map[question]answer
	flying  map[question]*flight
}

type flight struct {
	done   chan struct{}
	answer answer
}

func newCache() cache {
	return cache{answers: make(map[question]answer), flying: make(map[question]*flight)}
}

// lookup returns the answer to a question, from the cache or the network.
func (r *Resolver) lookup(ctx context.Context, name string, qtype uint16) answer {
	q := question{strings.ToLower(name), qtype}
	c := &r.cache
	c.mu.Lock()
	if a, ok := c.answers[q]; ok && r.now().Before(a.expire) {
		c.mu.Unlock()
		return a
	}
	f := c.flying[q]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flying[q] = f
		r.running.Go(func() { r.fly(q, f) }) // ends within answerBudget
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return answer{err: &Error{Step: dns.TypeToString[qtype] + " " + name, Kind: ErrTimeout, Detail: ctx.Err().Error()}}
	}
}

// fly asks the network. It is not bound to the context of the one who asked
// first, because others may wait for it too.
func (r *Resolver) fly(q question, f *flight) {
	ctx, cancel := context.WithTimeout(r.ctx, answerBudget)
	defer cancel()
	channel := ChanPlain
	m, up, err := r.upstreams.exchange(ctx, q.name, q.qtype, 0)
	if err == nil {
		channel, err = r.validate(ctx, q, m, up)
	}
	f.answer = r.digest(q, m, up, channel, err)
	c := &r.cache
	c.mu.Lock()
	delete(c.flying, q)
	if len(c.answers) >= maxCache {
		c.evict(r.now())
	}
	c.answers[q] = f.answer
	c.mu.Unlock()
	close(f.done)
}

// evict makes room: expired answers go, or, if there are none, some others.
func (c *cache) evict(now time.Time) {
	for q, a := range c.answers {
		if !now.Before(a.expire) || len(c.answers) >= maxCache {
			delete(c.answers, q)
		}
	}
}

// digest turns a message into an answer and decides how long it holds.
func (r *Resolver) digest(q question, m *dns.Msg, up Upstream, channel Channel, err error) answer {
	now := r.now()
	if err != nil {
		return answer{err: err, expire: now.Add(failureTTL)}
	}
	a := answer{channel: channel, owner: Name(q.name)}
	ttl := maxTTL
	records := m.Answer[:min(len(m.Answer), maxRecords)]
	for range maxCNAMEs {
		next := ""
		for _, rr := range records {
			if !strings.EqualFold(rr.Header().Name, string(a.owner)) {
				continue
			}
			if rr.Header().Rrtype == q.qtype {
				a.records = append(a.records, rr)
			} else if cname, ok := rr.(*dns.CNAME); ok {
				next = strings.ToLower(cname.Target)
			} else {
				continue
			}
			ttl = min(ttl, time.Duration(rr.Header().Ttl)*time.Second)
		}
		if next == "" || len(a.records) > 0 {
			break
		}
		a.owner = Name(next)
	}
	if len(a.records) == 0 {
		a.err = &Error{Step: dns.TypeToString[q.qtype] + " " + q.name, Upstream: up.Addr.String(), Kind: ErrNoData}
		if m.Rcode == dns.RcodeNameError {
			a.err.(*Error).Kind = ErrNXDomain
		}
		ttl = negativeTTL(m)
	}
	if ttl > 0 {
		ttl = max(ttl, minTTL)
	}
	a.expire = now.Add(ttl)
	return a
}

// negativeTTL is how long it holds that something does not exist (RFC 2308
// section 5): the lesser of the SOA's TTL and its minimum.
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns[:min(len(m.Ns), maxRecords)] {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second, maxNegative)
		}
	}
	return minTTL
}
