package noid

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// upstreams are the DNS servers of a resolver. Their sockets are plain ones of
// the kernel: names have to be found before there is anything to multihome.
type upstreams struct {
	// Set once, before the first question.
	current func() servers // whom to ask now
	roots   *x509.CertPool
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	running *sync.WaitGroup // queries and streams

	slots slots

	mu      sync.Mutex             // leaf; guards what follows
	behind  map[Upstream]time.Time // until when those that failed come after the others
	streams map[Upstream]*stream
	https   map[Upstream]*http.Client
}

// servers is whom to ask, and how patiently.
type servers struct {
	list    []Upstream
	timeout time.Duration // until a query over UDP is sent again
	tries   int
}

// only is the i-th server, or the last where there are fewer now.
func (s servers) only(i int) servers {
	if n := len(s.list); n > 0 {
		i = min(i, n-1)
		s.list = s.list[i : i+1]
	}
	return s
}

func newUpstreams(current func() servers, running *sync.WaitGroup) *upstreams {
	u := &upstreams{
		current: current, dial: new(net.Dialer).DialContext, running: running,
		slots:  slots{zones: make(map[string]int)},
		behind: make(map[Upstream]time.Time), streams: make(map[Upstream]*stream), https: make(map[Upstream]*http.Client),
	}
	u.ctx, u.cancel = context.WithCancel(context.Background())
	return u
}

// close ends the streams.
func (u *upstreams) close() {
	u.cancel()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, c := range u.https {
		c.CloseIdleConnections()
	}
}

// exchange asks the upstreams one question: the first at once, each further
// one after hedgeDelay or as soon as those before have failed. The first
// useful answer wins.
func (u *upstreams) exchange(ctx context.Context, name string, qtype uint16, flags queryFlags) (*dns.Msg, Upstream, error) {
	step := dns.TypeToString[qtype] + " " + name
	s := u.current()
	if len(s.list) == 0 {
		return nil, Upstream{}, &Error{Step: step, Kind: ErrTimeout, Detail: "no DNS server is configured"}
	}
	ctx, release, err := u.slots.take(ctx, name)
	if err != nil {
		return nil, Upstream{}, &Error{Step: step, Kind: ErrLimit, Detail: err.Error()}
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, answerBudget)
	defer cancel()
	s.list = u.order(s.list)
	r := race{u: u, servers: s, query: newQuery(name, qtype, flags), replies: make(chan reply, len(s.list))}
	won := r.run(ctx)
	if e := won.failure(); e != nil {
		e.Step = step
		return nil, won.up, e
	}
	return won.msg, won.up, nil
}

// order puts servers that lately failed behind the others, and first of those
// that have not the ones that nobody on the way can listen to. So questions go
// in clear only where the operator lists such a server, and after what he
// lists besides has failed.
func (u *upstreams) order(list []Upstream) []Upstream {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	rank := func(up Upstream) (n int) {
		if now.Before(u.behind[up]) {
			n += 2
		}
		if !up.Proto.encrypted() {
			n++
		}
		return n
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Upstream) int { return rank(a) - rank(b) })
	return list
}

// judge remembers whether a server failed.
func (u *upstreams) judge(up Upstream, failed bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.behind, func(_ Upstream, until time.Time) bool { return !time.Now().Before(until) })
	if failed {
		u.behind[up] = time.Now().Add(penalty)
	} else {
		delete(u.behind, up)
	}
}

// A race is one question on its way to several servers.
type race struct {
	u *upstreams
	servers
	query   *dns.Msg
	replies chan reply // has room for all
	next    int        // of the list, who has not been asked
	silent  []Upstream // who has been asked and has not answered
}

// A reply is what came from a server: an answer or an error.
type reply struct {
	up  Upstream
	msg *dns.Msg
	err error
}

// run returns the first useful reply, or else the failure that says most.
func (r *race) run(ctx context.Context) (best reply) {
	hedge := time.NewTimer(hedgeDelay)
	defer hedge.Stop()
	for r.ask(ctx); ; {
		select {
		case <-hedge.C:
			if r.mayHedge() {
				r.ask(ctx)
				hedge.Reset(hedgeDelay)
			}
		case a := <-r.replies:
			r.silent = slices.DeleteFunc(r.silent, func(up Upstream) bool { return up == a.up })
			if a.final() {
				r.u.judge(a.up, false)
				for _, up := range r.silent {
					r.u.judge(up, true)
				}
				return a
			}
			if a.msg == nil && ctx.Err() == nil {
				r.u.judge(a.up, true)
			}
			if best.up == (Upstream{}) || best.msg == nil && a.msg != nil {
				best = a
			}
			switch {
			case ctx.Err() == nil && (r.mayHedge() || r.next < len(r.list) && len(r.silent) == 0):
				r.ask(ctx)
				hedge.Reset(hedgeDelay)
			case len(r.silent) == 0:
				return best
			}
		}
	}
}

// mayHedge reports whether a further server may be asked while others have not
// failed: not in clear what others are asked in secret.
func (r *race) mayHedge() bool {
	return r.next < len(r.list) && (r.list[r.next].Proto.encrypted() || !r.list[r.next-1].Proto.encrypted())
}

// ask asks the next server.
func (r *race) ask(ctx context.Context) {
	up := r.list[r.next]
	r.next++
	r.silent = append(r.silent, up)
	r.u.running.Go(func() { // ends with ctx at the latest
		m, err := r.u.ask(ctx, r.query, up, r.servers)
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		r.replies <- reply{up, m, err}
	})
}

// final reports whether nobody else need be asked: the server has an answer,
// or it is believed when it says that there is none but a forged one, which
// one who validates nothing would take for true.
func (a *reply) final() bool {
	if a.msg == nil {
		return false
	}
	return a.msg.Rcode == dns.RcodeSuccess || a.msg.Rcode == dns.RcodeNameError || a.bogus()
}

func (a *reply) bogus() bool { return a.up.Believed() && bogus(a.msg) }

// failure says why a reply is of no use.
func (a *reply) failure() *Error {
	e := &Error{Upstream: a.up.label(), Kind: ErrServer}
	switch {
	case a.msg != nil && (a.msg.Rcode == dns.RcodeSuccess || a.msg.Rcode == dns.RcodeNameError):
		return nil
	case a.msg != nil:
		e.Detail = rcodeText(a.msg)
		if a.bogus() {
			e.Kind = ErrBogus
		}
	case errors.Is(a.err, errUntrusted):
		e.Detail = a.err.Error()
	case errors.Is(a.err, context.Canceled) || timedOut(a.err):
		e.Kind = ErrTimeout
	default:
		e.Kind, e.Detail = ErrTimeout, a.err.Error()
	}
	return e
}

func timedOut(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) || errors.Is(err, os.ErrDeadlineExceeded)
}

// ask puts a query to one server, and again while nothing comes back.
func (u *upstreams) ask(ctx context.Context, q *dns.Msg, up Upstream, s servers) (m *dns.Msg, err error) {
	switch up.Proto {
	case ProtoUDP:
		m, err = u.askUDP(ctx, q, up, s)
	case ProtoHTTPS:
		m, err = persist(ctx, s, func() (*dns.Msg, error) { return u.askHTTPS(ctx, q, up) })
	default:
		m, err = persist(ctx, s, func() (*dns.Msg, error) { return u.askStream(ctx, q, up) })
	}
	if err == nil && m.IsEdns0() == nil && q.IsEdns0() != nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		q = q.Copy() // the server is from before EDNS (RFC 6891 section 7)
		q.Extra = nil
		return u.ask(ctx, q, up, s)
	}
	return m, err
}

// persist asks over a stream, and again if that takes too long.
func persist(ctx context.Context, s servers, ask func() (*dns.Msg, error)) (m *dns.Msg, err error) {
	for range min(s.tries, streamTries) {
		if m, err = ask(); err == nil || ctx.Err() != nil || !timedOut(err) {
			break
		}
	}
	return m, err
}

// Ask puts a question to the server as a resolver would, and returns what it
// says, be it a failure. It is for those who examine servers.
func (u Upstream) Ask(ctx context.Context, name string, qtype uint16, roots *x509.CertPool) (*dns.Msg, error) {
	var running sync.WaitGroup
	defer running.Wait()
	s := newUpstreams(func() servers { return servers{[]Upstream{u}, queryTimeout, queryTries} }, &running)
	defer s.close()
	s.roots = roots
	return s.ask(ctx, newQuery(name, qtype, 0), u, s.current())
}
