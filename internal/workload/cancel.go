package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
)

// cancels is how often each kind of request is cancelled.
const cancels = 5

// cancelSite is a site whose answers never end. What its handlers see goes
// through channels.
type cancelSite struct {
	*site
	entered chan struct{}
	left    chan error
}

func newCancelSite(t *testing.T, start starter, handle func(w http.ResponseWriter, r *http.Request, entered func()) error) *cancelSite {
	s := &cancelSite{entered: make(chan struct{}), left: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.left <- handle(w, r, func() { s.entered <- struct{}{} })
	})
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") })
	s.site = start(t, mux)
	return s
}

// wantCancelled checks what both ends make of it.
func (s *cancelSite) wantCancelled(err error) {
	s.t.Helper()
	if !errors.Is(err, context.Canceled) {
		s.t.Errorf("the client's error is %v", err)
	}
	if err := wait(s.t, "the handler's end", s.left); err == nil {
		s.t.Error("the handler sees no error")
	}
	if got := s.text(s.request("GET", "/fine", nil)); got != "fine" {
		s.t.Errorf("the next request is answered by %q", got)
	}
}

// cancelHeaders gives up while the server thinks.
func cancelHeaders(t *testing.T, start starter) {
	s := newCancelSite(t, start, func(_ http.ResponseWriter, r *http.Request, entered func()) error {
		entered()
		<-r.Context().Done()
		return r.Context().Err()
	})
	for range cancels {
		ctx, cancel := context.WithCancel(s.ctx)
		go func() { // ends when the server has the request
			<-s.entered
			cancel()
		}()
		_, err := s.client.Do(s.requestIn(ctx, "GET", "/", nil))
		s.wantCancelled(err)
	}
}

// cancelDownload gives up in the middle of an answer.
func cancelDownload(t *testing.T, start starter) {
	s := newCancelSite(t, start, func(w http.ResponseWriter, r *http.Request, _ func()) error {
		for {
			if _, err := io.Copy(w, content(10, 1<<20)); err != nil {
				return err
			}
		}
	})
	for range cancels {
		ctx, cancel := context.WithCancel(s.ctx)
		resp, err := s.client.Do(s.requestIn(ctx, "GET", "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.CopyN(io.Discard, resp.Body, 256<<10)
		if err != nil {
			t.Errorf("before it is cancelled: %v", err)
		}
		cancel()
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		s.wantCancelled(err)
	}
}

// cancelUpload gives up in the middle of a request.
func cancelUpload(t *testing.T, start starter) {
	s := newCancelSite(t, start, func(w http.ResponseWriter, r *http.Request, entered func()) error {
		if _, err := io.CopyN(io.Discard, r.Body, 256<<10); err != nil {
			t.Errorf("before it is cancelled: %v", err)
		}
		entered()
		_, err := io.Copy(io.Discard, r.Body)
		return err
	})
	for range cancels {
		ctx, cancel := context.WithCancel(s.ctx)
		go func() { // ends when the server has some of the body
			<-s.entered
			cancel()
		}()
		_, err := s.client.Do(s.requestIn(ctx, "POST", "/", content(11, 1<<40)))
		s.wantCancelled(err)
	}
}

// cancelDial gives up while it connects, or waits for somebody to accept.
func cancelDial(t *testing.T, open Open) {
	n := open(t)
	for range cancels {
		s := newSite(t, n, nil)
		ctx, cancel := context.WithCancel(s.ctx)
		s.transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			go cancel() // ends at once
			return n.Dial(ctx, network, address)
		}
		_, err := s.client.Do(s.requestIn(ctx, "GET", "/", nil))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the error is %v", err)
		}
		s.transport.CloseIdleConnections()
	}
}
