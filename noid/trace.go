package noid

import (
	"context"
	"time"

	"github.com/miekg/dns"
)

// A Question is one that was put to the DNS, or to what is remembered of it,
// and what came back.
type Question struct {
	Name     string
	Type     string
	Upstream string        // the server that answered, or was asked last
	Rcode    string        // of its answer; "": there was none
	Channel  Channel       // how trustworthy the way was
	Took     time.Duration // from asking the network until the answer
	Cached   bool          // nobody was asked for it: an earlier question brought it
	Stale    bool          // it holds no longer, but nobody gives another
	TTL      time.Duration // how long the answer holds from now on
	Records  []dns.RR      // what answers the question; shared, not to be changed
	Err      error         // why there are none
}

// A provenance is where an answer came from.
type provenance struct {
	upstream string
	rcode    string
	asked    time.Time
	took     time.Duration
}

// provenance notes where an answer came from that was asked for at some time.
func (r *Resolver) provenance(m *dns.Msg, up Upstream, asked time.Time) (p provenance) {
	if up.Addr.IsValid() {
		p.upstream = up.label()
	}
	if m != nil {
		p.rcode = dns.RcodeToString[m.Rcode]
	}
	p.asked, p.took = asked, r.now().Sub(asked)
	return p
}

type traceKey struct{}

// withTrace has the lookups of a context reported, in the order in which their
// answers come. report is called from their goroutines.
func withTrace(ctx context.Context, report func(Question)) context.Context {
	return context.WithValue(ctx, traceKey{}, report)
}

// trace reports a lookup that began at some time to who traces its context.
// Without a trace it costs the look into the context and nothing else.
func (r *Resolver) trace(ctx context.Context, q question, began time.Time, a answer) {
	report, ok := ctx.Value(traceKey{}).(func(Question))
	if !ok {
		return
	}
	report(Question{
		Name: q.name, Type: dns.TypeToString[q.qtype],
		Upstream: a.from.upstream, Rcode: a.from.rcode, Took: a.from.took,
		Channel: a.channel, Cached: a.from.asked.Before(began), Stale: a.stale, TTL: max(0, a.expire.Sub(r.now())),
		Records: a.records, Err: a.err,
	})
}
