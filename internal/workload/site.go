package workload

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// A site is an HTTP server and a client of it.
type site struct {
	t         *testing.T
	ctx       context.Context // of requests
	server    *http.Server
	transport *http.Transport
	client    *http.Client
	url       string
	conns     atomic.Int64  // that the server has had
	closed    chan struct{} // of them, one by one
	served    chan error    // what Serve returned; then closed
}

// A starter makes a site of a handler, over one version of HTTP.
type starter func(t *testing.T, h http.Handler) *site

// plain is HTTP/1.1 in clear.
func plain(open Open) starter {
	return func(t *testing.T, h http.Handler) *site {
		n := open(t)
		s := newSite(t, n, h)
		s.serve(func() error { return s.server.Serve(n.Listener) })
		return s
	}
}

// secure is HTTP/2 over TLS.
func secure(open Open) starter {
	return func(t *testing.T, h http.Handler) *site {
		n, c := open(t), newCredentials(t)
		s := newSite(t, n, h)
		s.url = "https://" + Address
		s.server.TLSConfig = c.server()
		s.transport.TLSClientConfig = c.client()
		s.transport.ForceAttemptHTTP2 = true
		s.serve(func() error { return s.server.ServeTLS(n.Listener, "", "") })
		return s
	}
}

func newSite(t *testing.T, n Net, h http.Handler) *site {
	s := &site{
		t:         t,
		url:       "http://" + Address,
		transport: &http.Transport{DialContext: n.Dial, ExpectContinueTimeout: patience, DisableCompression: true},
		closed:    make(chan struct{}, 1024),
		served:    make(chan error, 1),
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	s.ctx = ctx
	s.client = &http.Client{Transport: s.transport}
	s.server = &http.Server{
		Handler:  h,
		ErrorLog: log.New(io.Discard, "", 0), // clients that go away are part of it
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.conns.Add(1)
			case http.StateClosed:
				select {
				case s.closed <- struct{}{}:
				default: // nobody waits for so many
				}
			}
		},
	}
	return s
}

// serve runs the server until the test ends.
func (s *site) serve(serve func() error) {
	go func() { // ends when the server is closed
		s.served <- serve()
		close(s.served)
	}()
	s.t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		s.server.Close()
		if err := wait(s.t, "the server's end", s.served); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.t.Errorf("the server ended with %v", err)
		}
	})
}

// request makes a request that has patience.
func (s *site) request(method, path string, body io.Reader) *http.Request {
	return s.requestIn(s.ctx, method, path, body)
}

func (s *site) requestIn(ctx context.Context, method, path string, body io.Reader) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// do sends a request whose answer must be 200. Who gets none has failed the
// test; it may be called from any goroutine.
func (s *site) do(r *http.Request) (*http.Response, bool) {
	s.t.Helper()
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		return nil, false
	}
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		s.t.Errorf("%s %s: %s: %s", r.Method, r.URL.Path, resp.Status, b)
		return nil, false
	}
	return resp, true
}

// text is the body of an answer.
func (s *site) text(r *http.Request) string {
	s.t.Helper()
	resp, ok := s.do(r)
	if !ok {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return string(b)
}
