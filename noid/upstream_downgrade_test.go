package noid

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// resolver returns a resolver that asks the test's servers, with a trust mode
// that relies on them for validation.
func (s *serversTest) resolver(trust Trust) *Resolver {
	s.t.Helper()
	no := false
	r, err := New(Config{Upstreams: s.list, Trust: trust, DNSSEC: DNSSEC{Validate: &no}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { r.Close() })
	for _, u := range r.upstreams {
		u.dial, u.roots = s.dial, s.up.roots
	}
	return r
}

// of makes a server in memory of one with records.
func of(d *dnstest.Server) func(peer) {
	return answering(func(q *dns.Msg, p peer) {
		p.ends.Go(func() { // ends when the server has made up its mind
			var w recorder
			if d.ServeDNS(&w, q); w.msg != nil {
				_ = p.write(w.msg)
			}
		})
	})
}

// secured has a server talked to over TLS, as dns.example.
func (s *serversTest) secured(f func(peer)) func(peer) {
	s.t.Helper()
	cert, roots, err := dnstest.Certify("dns.example", time.Now().Add(24*time.Hour))
	if err != nil {
		s.t.Fatal(err)
	}
	s.up.roots = roots
	return func(p peer) {
		c := tls.Server(p.Conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		if c.Handshake() == nil {
			f(peer{c, true, p.ends})
		}
	}
}

// N21: a capability record that is kept away, by whatever protocol it should
// have come, has modes that demand more do without the host, and no other.
func TestN21RecordKeptAway(t *testing.T) {
	d := newServer(t, zone)
	for url, where := range map[string]string{
		"udp://192.0.2.1": "udp 192.0.2.1:53", "tcp://192.0.2.1": "tcp 192.0.2.1:53", "tls://192.0.2.1#dns.example": "tcp 192.0.2.1:853",
	} {
		for kept, kind := range map[dnstest.Fault]error{
			{Silent: true}:                   ErrTimeout,
			{Rcode: dns.RcodeServerFailure}:  ErrServer,
			{Rcode: dns.RcodeNotImplemented}: ErrServer, // as of servers that know no SVCB, or of who pretends to be one
			{Delay: 20 * time.Second}:        ErrTimeout,
			{Rcode: dns.RcodeServerFailure, Extended: dns.ExtendedErrorCodeBlocked}: ErrServer,
		} {
			for trust, forbids := range map[Trust]bool{Opportunistic: false, Strict: true, Pinned: true, Single: false} {
				d.SetFault("_mhsctp.www.example.net", kept)
				inBubble(t, []string{url}, func(s *serversTest) {
					f := of(d)
					if s.list[0].Proto == ProtoTLS {
						f = s.secured(f)
					}
					s.serve(where, f)
					r := s.resolver(trust)
					res, err := r.Resolve(s.t.Context(), "www.example.net", 80)
					if err != nil {
						s.t.Fatalf("%s, %+v, %v: %v", url, kept, trust, err)
					}
					if res.Late != nil {
						_, res.Partial = res.Late(s.t.Context())
					}
					if res.NoFallback != forbids || len(res.MH) != 0 || !errors.Is(res.Partial, kind) {
						s.t.Errorf("%s, %+v, %v: falling back is forbidden: %v, want %v; %v, want %v", url, kept, trust, res.NoFallback, forbids, res.Partial, kind)
					}
				})
			}
		}
	}
}

// N21, N20: who blocks the way to a server that is to be believed, or takes its
// place, does not get believed himself when he says in clear that there is no
// record.
func TestN21BelievedServerBlocked(t *testing.T) {
	liar := newServer(t, "www.example.net. 60 IN A 9.6.6.6\n")
	for what, blocked := range map[string]func(*serversTest) func(peer){
		"refused": func(*serversTest) func(peer) { return nil },
		"silent":  func(*serversTest) func(peer) { return silent },
		"no TLS": func(*serversTest) func(peer) {
			return func(p peer) { _, _ = p.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }
		},
		"a stranger": func(s *serversTest) func(peer) {
			f := s.secured(of(liar))
			s.up.roots = nil
			return f
		},
	} {
		for trust, forbids := range map[Trust]bool{Opportunistic: false, Strict: true} {
			inBubble(t, []string{"tls://192.0.2.1#dns.example", "udp://192.0.2.2"}, func(s *serversTest) {
				if f := blocked(s); f != nil {
					s.serve("tcp 192.0.2.1:853", f)
				}
				s.serve("udp 192.0.2.2:53", of(liar))
				res, err := s.resolver(trust).Resolve(s.t.Context(), "www.example.net", 80)
				if err != nil {
					s.t.Fatalf("%s, %v: %v", what, trust, err)
				}
				if res.NoFallback != forbids || len(res.MH) != 0 || forbids && !errors.Is(res.Partial, ErrDowngrade) {
					s.t.Errorf("%s, %v: falling back is forbidden: %v, want %v; %v", what, trust, res.NoFallback, forbids, res.Partial)
				}
			})
		}
	}
}

// A server with two addresses of which one dies costs a name less than a second,
// and those after it nothing.
func TestServerLosesAnAddress(t *testing.T) {
	d := newServer(t, zone)
	inBubble(t, twoServers, func(s *serversTest) {
		for _, a := range []string{"udp 192.0.2.1:53", "udp 192.0.2.2:53"} {
			s.serve(a, of(d))
		}
		r := s.resolver(Opportunistic)
		for i, name := range []string{"www.example.net", "legacy.example.net", "alias.example.net"} {
			if i == 1 {
				s.serve("udp 192.0.2.1:53", silent)
			}
			most := []time.Duration{0, time.Second - 1, 0}[i] + resolutionDelay
			start := time.Now()
			if _, err := r.Resolve(s.t.Context(), name, 80); err != nil || time.Since(start) > most {
				s.t.Errorf("%s: %v after %v, want at most %v", name, err, time.Since(start), most)
			}
		}
	})
	// The same with sockets: there is nobody at the address any more, or somebody
	// who does not read.
	deaf, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for _, dead := range []string{deaf.LocalAddr().String(), "127.0.0.1:1"} {
		u := newFixed(t, mustUpstream(t, "udp://"+dead), mustUpstream(t, "udp://"+d.Addr()))
		start := time.Now()
		if _, up, err := u.exchange(t.Context(), "www.example.net.", dns.TypeA, 0); err != nil || time.Since(start) > time.Second {
			t.Errorf("%v, %v after %v", up, err, time.Since(start))
		}
		if got := u.order(u.current().list)[0]; got.Addr.String() != d.Addr() {
			t.Errorf("%v comes first", got)
		}
	}
}

func mustUpstream(t *testing.T, s string) Upstream {
	t.Helper()
	up, err := ParseUpstream(s)
	if err != nil {
		t.Fatal(err)
	}
	return up
}
