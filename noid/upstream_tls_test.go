package noid

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/internal/dnstest"
)

// secureWorld is a server that is asked over TLS and HTTPS, and the authorities
// that vouch for it as dns.example.
type secureWorld struct {
	*dnstest.Server
	ups   []Upstream // one for each protocol
	roots *x509.CertPool
}

func newSecureWorld(t *testing.T, name string, until time.Time) secureWorld {
	t.Helper()
	cert, roots, err := dnstest.Certify(name, until)
	if err != nil {
		t.Fatal(err)
	}
	w := secureWorld{newServer(t, zone), nil, roots}
	for proto, serve := range map[Proto]func(string, tls.Certificate) (string, error){ProtoTLS: w.ServeTLS, ProtoHTTPS: w.ServeHTTPS} {
		a, err := serve("127.0.0.1:0", cert)
		if err != nil {
			t.Fatal(err)
		}
		w.ups = append(w.ups, Upstream{Addr: netip.MustParseAddrPort(a), Proto: proto, Name: "dns.example.", Path: "/dns-query", TrustAD: true})
	}
	return w
}

func (w secureWorld) resolver(t *testing.T, cfg Config) *Resolver {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// N20: only a server with a certificate for its name is asked anything. The
// error names the server and what is wrong with it.
func TestN20Certificates(t *testing.T) {
	later := time.Now().Add(time.Hour)
	for _, test := range []struct {
		what, name string
		until      time.Time
		known      bool
		want       string // in the error; "": none
	}{
		{"its own", "dns.example", later, true, ""},
		{"of an unknown authority", "dns.example", later, false, "certificate signed by unknown authority"},
		{"another name's", "evil.example", later, true, "certificate is valid for evil.example, not dns.example"},
		{"expired", "dns.example", time.Now().Add(-time.Minute), true, "certificate has expired"},
	} {
		t.Run(test.what, func(t *testing.T) {
			w := newSecureWorld(t, test.name, test.until)
			for _, up := range w.ups {
				cfg := Config{Upstreams: []Upstream{up}, Roots: x509.NewCertPool()}
				if test.known {
					cfg.Roots = w.roots
				}
				r := w.resolver(t, cfg)
				before := w.Total()
				res, err := r.Resolve(t.Context(), "www.example.net", 80)
				if test.want == "" {
					if err != nil || len(res.MH) != 2 || res.MH[0].Channel != ChanEncrypted {
						t.Errorf("%v: %+v, %v", up, res, err)
					}
					continue
				}
				if err == nil || !errors.Is(err, ErrServer) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), up.String()) {
					t.Errorf("%v: %v, want %s", up, err, test.want)
				}
				if n := w.Total() - before; n != 0 {
					t.Errorf("%v: %d questions reached it", up, n)
				}
			}
		})
	}
}

// Who examines a server is told what it says, or why it is not asked.
func TestAsk(t *testing.T) {
	w := newSecureWorld(t, "dns.example", time.Now().Add(time.Hour))
	w.SetFault("failing.example", dnstest.Fault{Rcode: dns.RcodeServerFailure})
	for _, up := range append(w.ups, Upstream{Addr: netip.MustParseAddrPort(w.Addr())}) {
		for name, rcode := range map[string]int{"www.example.net.": dns.RcodeSuccess, "failing.example.": dns.RcodeServerFailure, "none.example.": dns.RcodeNameError} {
			if m, err := up.Ask(t.Context(), name, dns.TypeA, w.roots); err != nil || m.Rcode != rcode {
				t.Errorf("%v, %s: %v, %v", up, name, m, err)
			}
		}
		if m, err := up.Ask(t.Context(), "www.example.net.", dns.TypeA, x509.NewCertPool()); (err == nil) == up.Proto.encrypted() {
			t.Errorf("%v: %v, %v", up, m, err)
		}
	}
}

// N20: a server that is not the one that is meant does not keep another, with a
// certificate or in clear, from being asked, and what comes from that is worth
// no more than usual.
func TestN20AnotherServer(t *testing.T) {
	w := newSecureWorld(t, "evil.example", time.Now().Add(time.Hour))
	for _, up := range w.ups {
		plain := newServer(t, zone)
		ups := []Upstream{up, {Addr: netip.MustParseAddrPort(plain.Addr())}}
		for trust, host := range map[Trust]bool{Opportunistic: true, Strict: false} {
			no := false
			r := w.resolver(t, Config{Upstreams: ups, Roots: w.roots, Trust: trust, DNSSEC: DNSSEC{Validate: &no}})
			res, err := r.Resolve(t.Context(), "www.example.net", 80)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range res.MH {
				if s.Channel != ChanPlain {
					t.Errorf("channel %v", s.Channel)
				}
				if more := len(s.Permit(s.Locators[0].Addr, PeerView{Silent: true})) > 1; more != (host && len(s.Locators) > 1) {
					t.Errorf("%v: further addresses of %v: %v", trust, s.Name, more)
				}
			}
		}
	}
}

// N18, N19: AD is believed over TLS and HTTPS, and from this host if its
// operator says so.
func TestN18WhoIsBelieved(t *testing.T) {
	w := newSecureWorld(t, "dns.example", time.Now().Add(time.Hour))
	udp := Upstream{Addr: netip.MustParseAddrPort(w.Addr())}
	local := udp
	local.TrustAD = true
	for _, name := range []string{"legacy.example.net", "_mhsctp.legacy.example.net"} {
		w.SetFault(name, dnstest.Fault{AD: true})
	}
	for up, want := range map[Upstream]Channel{w.ups[0]: ChanAD, w.ups[1]: ChanAD, udp: ChanPlain, local: ChanAD} {
		res, err := w.resolver(t, Config{Upstreams: []Upstream{up}, Roots: w.roots}).Resolve(t.Context(), "legacy.example.net", 80)
		if err != nil || res.Legacy.Channel != want {
			t.Errorf("%v: %+v, %v, want %v", up, res, err, want)
		}
	}
	far := Upstream{Addr: netip.MustParseAddrPort("192.0.2.53:53"), TrustAD: true}
	m := new(dns.Msg)
	m.AuthenticatedData = true
	if c := far.channel(m); c != ChanPlain {
		t.Errorf("a server far away is believed: %v", c)
	}
}

// Over TLS the length of a question does not tell what it is: RFC 8467
// section 4.1.
func TestPadding(t *testing.T) {
	names := []string{"a.example.", strings.Repeat("a.", 50) + "example."}
	for i := range 130 {
		names = append(names, strings.Repeat("a", i%60+1)+"."+strings.Repeat("b", i/3+1)+".example.")
	}
	for _, name := range names {
		q := newQuery(name, dns.TypeSVCB, withDO)
		b, err := pack(q, 1, true)
		if err != nil || len(b)%128 != 0 {
			t.Errorf("%s: %d octets, %v", name, len(b), err)
		}
		if b, err = pack(q, 1, false); err != nil || len(b) > 128+len(name) {
			t.Errorf("%s: %d octets in clear, %v", name, len(b), err)
		}
	}
}

// What a server says over HTTPS besides answers is an error that says what, and
// has a bound.
func TestHTTPSAnswers(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request, change func(*dns.Msg)) {
		b := make([]byte, 512)
		n, _ := r.Body.Read(b)
		q := new(dns.Msg)
		if err := q.Unpack(b[:n]); err != nil || q.Id != 0 || r.Method != http.MethodPost || r.ProtoMajor != 2 || r.URL.Path != "/dns-query" || r.Header.Get("User-Agent") != "" {
			t.Errorf("%v: %v %v %v", err, q, r.Proto, r.Header)
		}
		m := addressed(q, "9.0.0.1")
		change(m)
		b, _ = m.Pack()
		_, _ = w.Write(b)
	}
	for what, test := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"an answer": {func(w http.ResponseWriter, r *http.Request) { answer(w, r, func(*dns.Msg) {}) }, ""},
		"from a cache": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Age", "59")
			answer(w, r, func(*dns.Msg) {})
		}, ""},
		"another answer":  {func(w http.ResponseWriter, r *http.Request) { answer(w, r, func(m *dns.Msg) { m.Id = 1 }) }, "not the answer"},
		"a page":          {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/html") }, `content "text/html"`},
		"not found":       {http.NotFound, `HTTP status "404 Not Found"`},
		"another place":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusPermanentRedirect) }, `HTTP status "308`},
		"no end":          {func(w http.ResponseWriter, _ *http.Request) { endless(w) }, "longer than a DNS message"},
		"no end of names": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 2*maxHeader)) }, "no answer"},
	} {
		t.Run(what, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", dnsMessage)
				test.serve(w, r)
			}))
			s.EnableHTTP2 = true
			s.StartTLS()
			defer s.Close()
			up := Upstream{Addr: netip.MustParseAddrPort(s.Listener.Addr().String()), Proto: ProtoHTTPS, Name: "example.com.", Path: "/dns-query"}
			u := newFixed(t, up)
			u.roots = x509.NewCertPool()
			u.roots.AddCert(s.Certificate())
			m, _, err := u.exchange(t.Context(), "a.example.", dns.TypeA, 0)
			switch {
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %s", err, test.want)
			case test.want == "" && err != nil:
				t.Error(err)
			case what == "from a cache" && m.Answer[0].Header().Ttl != 1:
				t.Errorf("%v is not a second old", m.Answer)
			}
		})
	}
}

func endless(w http.ResponseWriter) {
	for {
		if _, err := w.Write(make([]byte, 1<<12)); err != nil {
			return
		}
	}
}

// newFixed asks the same servers until the test ends.
func newFixed(t *testing.T, list ...Upstream) *upstreams {
	t.Helper()
	var running sync.WaitGroup
	u := newUpstreams(func() servers { return servers{list, queryTimeout, queryTries} }, &running)
	t.Cleanup(func() { u.close(); running.Wait() })
	return u
}

// A session of TLS is made once for many questions, and never by less than TLS
// 1.2.
func TestTLSVersion(t *testing.T) {
	cert, roots, err := dnstest.Certify("dns.example", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for version, taken := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		var shaken []uint16
		var wg sync.WaitGroup
		wg.Go(func() { // ends with the listener
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				answering(func(q *dns.Msg, p peer) {
					shaken = append(shaken, c.(*tls.Conn).ConnectionState().Version)
					_ = p.write(addressed(q, "9.0.0.1"))
				})(peer{c, true, nil})
				c.Close()
			}
		})
		u := newFixed(t, Upstream{Addr: netip.MustParseAddrPort(l.Addr().String()), Proto: ProtoTLS, Name: "dns.example."})
		u.roots = roots
		for range 3 {
			if _, _, err = u.exchange(t.Context(), "a.example.", dns.TypeA, 0); (err == nil) != taken {
				t.Errorf("version %x: %v", version, err)
			}
		}
		u.close()
		l.Close()
		wg.Wait()
		if taken && !slices.Equal(shaken, []uint16{version, version, version}) {
			t.Errorf("%x", shaken)
		}
	}
}
