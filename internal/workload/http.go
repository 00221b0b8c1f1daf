package workload

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// HTTP is what both versions have, over HTTP/1.1 in clear.
func HTTP(t *testing.T, open Open) { both(t, plain(open)) }

// HTTPConn is what HTTP/1.1 does with the connection itself.
func HTTPConn(t *testing.T, open Open) {
	t.Run("upgrade", func(t *testing.T) { upgrade(t, plain(open)) })
	t.Run("hijack and half-close", func(t *testing.T) { hijack(t, open) })
	t.Run("end of the connection is end of the body", func(t *testing.T) { closeDelimited(t, open) })
	t.Run("a connection for each request", func(t *testing.T) { noKeepAlive(t, plain(open)) })
	t.Run("idle connections are closed", func(t *testing.T) { idleTimeout(t, open) })
	t.Run("silent clients are closed", func(t *testing.T) { headerTimeout(t, open) })
	t.Run("cancelled in the dial", func(t *testing.T) { cancelDial(t, open) })
	t.Run("connections outlive their listener", func(t *testing.T) { outlive(t, open) })
}

// HTTP2 is the same as HTTP over HTTP/2, with TLS.
func HTTP2(t *testing.T, open Open) { both(t, secure(open)) }

// HTTP2Shutdown is the last of it, for bubbles, where there are no sub-tests.
func HTTP2Shutdown(t *testing.T, open Open) { shutdown(t, secure(open)) }

// both is what both versions have.
func both(t *testing.T, start starter) {
	for _, c := range []struct {
		name string
		test func(*testing.T, starter)
	}{
		{"keep-alive", keepAlive},
		{"large bodies", bodies},
		{"full duplex", fullDuplex},
		{"flushed step by step", flushes},
		{"100-continue", expectContinue},
		{"refused before the body", expectRefused},
		{"cancelled before the answer", cancelHeaders},
		{"cancelled in the answer", cancelDownload},
		{"cancelled in the request", cancelUpload},
		{"shutdown", shutdown},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start) })
	}
}

// keepAlive is a thousand requests over a few connections. Each is answered
// once, and no connection is made anew.
func keepAlive(t *testing.T, start starter) {
	const requests, workers = 1000, 10
	var seen [requests]atomic.Int32
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.Header.Get("Number"))
		if err != nil || n < 0 || n >= requests {
			http.Error(w, "no such number", http.StatusBadRequest)
			return
		}
		seen[n].Add(1)
		body, _ := io.ReadAll(r.Body) // what is missing is missed by the client
		fmt.Fprintf(w, "%d: %s", n, body)
	}))
	s.transport.MaxConnsPerHost = workers
	s.transport.MaxIdleConnsPerHost = workers
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() { // ends when all numbers are taken
			for n := int(next.Add(1) - 1); n < requests; n = int(next.Add(1) - 1) {
				body := strings.Repeat("x", n)
				r := s.request("POST", "/", strings.NewReader(body))
				r.Header.Set("Number", strconv.Itoa(n))
				if got, want := s.text(r), fmt.Sprintf("%d: %s", n, body); got != want {
					t.Errorf("request %d is answered by %.20q, %d octets, want %d", n, got, len(got), len(want))
				}
			}
		})
	}
	wg.Wait()
	for n := range seen {
		if k := seen[n].Load(); k != 1 {
			t.Errorf("request %d was handled %d times", n, k)
		}
	}
	if n := s.conns.Load(); n > workers {
		t.Errorf("%d connections were made, want at most %d", n, workers)
	}
}

// trailer is where the hash of a body follows it.
const trailer = "Content-Hash"

// bodies is large bodies each way, with their length in front or chunked, and
// a hash behind those.
func bodies(t *testing.T, start starter) {
	const size = 1 << 20
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /", func(w http.ResponseWriter, r *http.Request) {
		got, err := digestOf(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%d %s %s", got.octets, got.hash, r.Trailer.Get(trailer))
	})
	mux.HandleFunc("GET /sized", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		io.Copy(w, content(3, size))
	})
	mux.HandleFunc("GET /chunked", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", trailer)
		io.Copy(w, content(4, size))
		w.Header().Set(trailer, "what follows")
	})
	s := start(t, mux)
	want, _ := digestOf(content(1, size))
	sent := fmt.Sprintf("%d %s ", want.octets, want.hash)
	t.Run("sized request", func(t *testing.T) {
		r := s.request("PUT", "/", content(1, size))
		r.ContentLength = size
		if got := s.text(r); got != sent {
			t.Errorf("the server read %s, want %s", got, sent)
		}
	})
	t.Run("chunked request", func(t *testing.T) {
		r := s.request("PUT", "/", content(1, size))
		r.Trailer = http.Header{trailer: {want.hash}}
		if got := s.text(r); got != sent+want.hash {
			t.Errorf("the server read %s, want %s", got, sent+want.hash)
		}
	})
	t.Run("sized answer", func(t *testing.T) {
		if resp, ok := s.do(s.request("GET", "/sized", nil)); ok {
			wantContent(t, "the body", resp.Body, 3, size)
			resp.Body.Close()
		}
	})
	t.Run("chunked answer", func(t *testing.T) {
		if resp, ok := s.do(s.request("GET", "/chunked", nil)); ok {
			wantContent(t, "the body", resp.Body, 4, size)
			resp.Body.Close()
			if got := resp.Trailer.Get(trailer); got != "what follows" {
				t.Errorf("the trailer is %q", got)
			}
		}
	})
}

// fullDuplex is a body that comes back while it is sent.
func fullDuplex(t *testing.T, start starter) {
	const size = 1 << 20
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enableFullDuplex(t, w, r)
		rc := http.NewResponseController(w)
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			if rc.Flush() != nil || err != nil {
				return
			}
		}
	}))
	resp, ok := s.do(s.request("POST", "/", content(5, size)))
	if ok {
		wantContent(t, "the echo", resp.Body, 5, size)
		resp.Body.Close()
	}
}

// enableFullDuplex lets a handler answer before it has read the request. Over
// HTTP/2 it always may.
func enableFullDuplex(t *testing.T, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 1 {
		return
	}
	if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
		t.Error(err)
	}
}

// flushes is events that a server sends one by one, each after the one before
// has arrived.
func flushes(t *testing.T, start starter) {
	const events = 100
	arrived := make(chan struct{}, events)
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		for i := range events {
			fmt.Fprintf(w, "event %d\n", i)
			if err := rc.Flush(); err != nil {
				return
			}
			select {
			case <-arrived:
			case <-r.Context().Done():
				return
			}
		}
	}))
	resp, ok := s.do(s.request("GET", "/", nil))
	if !ok {
		return
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	n := 0
	for ; lines.Scan(); n++ {
		if want := fmt.Sprint("event ", n); lines.Text() != want {
			t.Errorf("read %q, want %q", lines.Text(), want)
		}
		arrived <- struct{}{}
	}
	if n != events || lines.Err() != nil {
		t.Errorf("%d events, %v", n, lines.Err())
	}
}

// A watched body notes that somebody reads it.
type watched struct {
	io.Reader
	read func()
}

func (w watched) Read(b []byte) (int, error) {
	w.read()
	return w.Reader.Read(b)
}

// expectContinue is bodies that wait until the server wants them.
func expectContinue(t *testing.T, start starter) {
	const size = 64 << 10
	wanted := make(chan struct{}, 1)
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wanted <- struct{}{} // and the read below asks for it
		got, err := digestOf(r.Body)
		fmt.Fprintln(w, got.octets, got.hash, err)
	}))
	want, _ := digestOf(content(6, size))
	for range 20 {
		first := true
		r := s.request("POST", "/", watched{content(6, size), func() {
			if first && len(wanted) == 0 {
				t.Error("the body is sent before the server wants it")
			}
			first = false
		}})
		r.ContentLength = size
		r.Header.Set("Expect", "100-continue")
		if got, want := s.text(r), fmt.Sprintln(want.octets, want.hash, nil); got != want {
			t.Errorf("the server read %s, want %s", got, want)
		}
		<-wanted
	}
}

// expectRefused is bodies that the server does not want.
func expectRefused(t *testing.T, start starter) {
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed)
	}))
	for range 20 {
		r := s.request("POST", "/", watched{content(7, 1000), func() { t.Error("a body that was refused is sent") }})
		r.ContentLength = 1000
		r.Header.Set("Expect", "100-continue")
		resp, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusExpectationFailed {
			t.Errorf("answer %s", resp.Status)
		}
	}
}

// noKeepAlive is a connection for each request.
func noKeepAlive(t *testing.T, start starter) {
	const requests = 100
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
	s.transport.DisableKeepAlives = true
	for i := range requests {
		want := fmt.Sprint("request ", i)
		if got := s.text(s.request("POST", "/", strings.NewReader(want))); got != want {
			t.Errorf("answer %q, want %q", got, want)
		}
	}
	if n := s.conns.Load(); n != requests {
		t.Errorf("%d connections for %d requests", n, requests)
	}
}

// idleTimeout is a server that closes connections over which nothing goes. The
// client makes another when it needs one.
func idleTimeout(t *testing.T, open Open) {
	n := open(t)
	s := newSite(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	s.server.IdleTimeout = 20 * time.Millisecond
	s.serve(func() error { return s.server.Serve(n.Listener) })
	for range 3 {
		if got := s.text(s.request("GET", "/", nil)); got != "hello" {
			t.Errorf("answer %q", got)
		}
		wait(t, "the end of the idle connection", s.closed)
	}
}
