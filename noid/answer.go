package noid

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// An answer is what the DNS says to one question, for a time.
type answer struct {
	name    Name     // asked for
	records []dns.RR // what answers the question, aliases followed
	owner   Name     // after following aliases
	channel Channel
	expire  time.Time
	err     error // why there are no records
	failed  bool  // nobody has answered
	from    provenance

	stale      bool // it does not hold any more, but nobody gives another
	staleUntil time.Time
}

func (a *answer) aliased() bool { return a.owner != a.name }

// forged reports whether an answer came that validation found wrong: then an
// older one is not kept alive either, since who forges one gains by that.
func (a *answer) forged() bool { return errors.Is(a.err, ErrBogus) }

// A server asks one question of the servers that answer for each other.
type server func(context.Context, question) (*dns.Msg, Upstream, error)

// ask gets the answer to a question from the network: from the first server
// that has one, or what all servers agree on.
func (r *Resolver) ask(ctx context.Context, q question) answer {
	answers := make([]answer, len(r.servers))
	var all sync.WaitGroup
	for i, s := range r.servers[1:] {
		all.Go(func() { answers[1+i] = r.askOne(ctx, s, q) }) // ends with ctx at the latest
	}
	answers[0] = r.askOne(ctx, r.servers[0], q)
	all.Wait()
	return agree(answers)
}

func (r *Resolver) askOne(ctx context.Context, s server, q question) answer {
	channel, asked := ChanPlain, r.now()
	m, up, err := s(ctx, q)
	if err == nil {
		channel, err = r.validate(ctx, q, m, up)
	}
	a := r.digest(q, m, up, channel, err)
	if r.validator == nil {
		a = r.trust.unproven(q, a, up)
	}
	a.from = r.provenance(m, up, asked)
	return a
}

// agree returns the records that all answers have, for the shortest of their
// times. One that is missing could have had fewer, so without it there is no
// answer.
func agree(answers []answer) answer {
	a := answers[0]
	for _, b := range answers[1:] {
		switch {
		case a.failed:
			return a
		case b.failed:
			return b
		}
		if b.expire.Before(a.expire) {
			a.expire = b.expire
		}
		a.channel = min(a.channel, b.channel)
		if a.err == nil && b.err != nil {
			a.records, a.err = nil, b.err
		}
		a.records = common(a.records, b.records)
		if a.err == nil && len(a.records) == 0 {
			a.err = &Error{Step: "answers for " + string(a.name), Kind: ErrNoData, Detail: "the servers agree on no record"}
		}
	}
	return a
}

// common returns the records of a that b has too.
func common(a, b []dns.RR) (out []dns.RR) {
	for _, x := range a {
		for _, y := range b {
			if dns.IsDuplicate(x, y) {
				out = append(out, x)
				break
			}
		}
	}
	return out
}

// digest turns a message into an answer and decides how long it holds.
func (r *Resolver) digest(q question, m *dns.Msg, up Upstream, channel Channel, err error) answer {
	now := r.now()
	a := answer{name: Name(q.name), owner: Name(q.name), channel: channel}
	if err != nil {
		a.err, a.failed = err, true
		return a
	}
	ttl := a.follow(m.Answer[:min(len(m.Answer), maxRecords)], q.qtype)
	if len(a.records) == 0 {
		e := &Error{Step: q.String(), Upstream: up.Addr.String(), Kind: ErrNoData}
		if m.Rcode == dns.RcodeNameError {
			e.Kind = ErrNXDomain
		}
		a.err, ttl = e, negativeTTL(m, q.name)
	}
	if ttl > 0 {
		ttl = max(ttl, minTTL)
	}
	a.expire = now.Add(ttl) // 0: for those who wait for it (RFC 1035 section 3.2.1)
	return a
}

// follow takes the records that answer the question, at the end of a chain of
// aliases, and returns how long all of the chain holds.
func (a *answer) follow(records []dns.RR, qtype uint16) (ttl time.Duration) {
	ttl = maxTTL
	for range maxCNAMEs {
		next := ""
		for _, rr := range records {
			if !strings.EqualFold(rr.Header().Name, string(a.owner)) || rr.Header().Class != dns.ClassINET {
				continue
			}
			if rr.Header().Rrtype == qtype {
				a.records = append(a.records, rr)
			} else if cname, ok := rr.(*dns.CNAME); ok {
				next = strings.ToLower(cname.Target)
			} else {
				continue
			}
			ttl = min(ttl, seconds(rr.Header().Ttl))
		}
		if next == "" || len(a.records) > 0 {
			break
		}
		a.owner = Name(next)
	}
	return ttl
}

// seconds is a TTL. One with the highest bit set counts as 0 (RFC 2181 section
// 8).
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// negativeTTL is how long it holds that something does not exist (RFC 2308
// section 5): the lesser of the TTL and the minimum of the SOA, which is of a
// zone around the name. Without one it holds for a while all the same, or every
// dial to a host without capability record would ask for it again.
func negativeTTL(m *dns.Msg, name string) time.Duration {
	for _, rr := range m.Ns[:min(len(m.Ns), maxRecords)] {
		if soa, ok := rr.(*dns.SOA); ok && (dns.IsSubDomain(soa.Hdr.Name, name) || len(m.Answer) > 0) {
			return min(seconds(min(soa.Hdr.Ttl, soa.Minttl)), maxNegative)
		}
	}
	return bareNegative
}
