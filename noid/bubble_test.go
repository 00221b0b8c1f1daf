package noid

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// bubble is a resolver and its server in virtual time: no wait costs any.
type bubble struct {
	*Resolver
	t   *testing.T
	dns *dnstest.Server
}

// inMemory runs a test with a server that is asked without sockets.
func inMemory(t *testing.T, cfg Config, records string, f func(w *bubble)) {
	t.Helper()
	d := newServer(t, records)
	synctest.Test(t, func(t *testing.T) { f(newBubble(t, cfg, d)) })
}

func newServer(t *testing.T, records string) *dnstest.Server {
	t.Helper()
	d, err := dnstest.New("127.0.0.1:0", records)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// newBubble returns a resolver that asks servers, of which the first is the
// world's.
func newBubble(t *testing.T, cfg Config, servers ...*dnstest.Server) *bubble {
	t.Helper()
	cfg.Upstreams = []Upstream{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.servers = nil
	for _, d := range servers {
		r.servers = append(r.servers, memory(d))
	}
	return &bubble{Resolver: r, t: t, dns: servers[0]}
}

// memory asks a server as upstreams do, with its patience, but by a call.
func memory(d *dnstest.Server) server {
	return func(ctx context.Context, q question) (*dns.Msg, Upstream, error) {
		ctx, cancel := context.WithTimeout(ctx, queryTries*queryTimeout)
		defer cancel()
		answers := make(chan *dns.Msg, 1)
		go func() { // ends when the server has made up its mind
			var w recorder
			d.ServeDNS(&w, new(dns.Msg).SetQuestion(q.name, q.qtype))
			if w.msg != nil {
				answers <- w.msg
			}
		}()
		select {
		case m := <-answers:
			if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
				return nil, Upstream{}, &Error{Step: q.String(), Kind: ErrServer, Detail: dns.RcodeToString[m.Rcode]}
			}
			return m, Upstream{}, nil
		case <-ctx.Done():
			return nil, Upstream{}, &Error{Step: q.String(), Kind: ErrTimeout}
		}
	}
}

// recorder keeps what a server writes.
type recorder struct {
	dns.ResponseWriter
	msg *dns.Msg
}

func (r *recorder) WriteMsg(m *dns.Msg) error { r.msg = m; return nil }
func (r *recorder) RemoteAddr() net.Addr      { return &net.TCPAddr{} }
func (r *recorder) LocalAddr() net.Addr       { return &net.TCPAddr{} }

func (w *bubble) resolve(name string) *Result {
	w.t.Helper()
	r, err := w.Resolve(w.t.Context(), name, 80)
	if err != nil {
		w.t.Fatalf("Resolve(%s): %v", name, err)
	}
	return r
}

// took returns how long f takes.
func took(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

// asks returns how many questions f causes.
func (w *bubble) asks(f func()) int {
	before := w.dns.Total()
	f()
	return w.dns.Total() - before
}

func (w *bubble) setZone(records string) {
	w.t.Helper()
	if err := w.dns.SetZone(records); err != nil {
		w.t.Fatal(err)
	}
}

// fault has questions about names answered with a fault.
func (w *bubble) fault(f dnstest.Fault, names ...string) {
	for _, n := range names {
		w.dns.SetFault(n, f)
	}
}
