package workload

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// shutdown ends a server while it answers: nobody is accepted any more, and
// the answers are finished however long they take. Each ends after its request,
// and the request when all but the end of the answer has been read: net/http
// gives a client over HTTP/2 one second from there, and resets the connection
// when something of it comes later, as its window updates would over a network
// that is slow or stands still.
func shutdown(t *testing.T, start starter) {
	const size, requests = 256 << 10, 5
	entered, release := make(chan struct{}, requests), make(chan struct{})
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		enableFullDuplex(t, w, r)
		entered <- struct{}{}
		<-release
		io.Copy(w, content(12, size))
		http.NewResponseController(w).Flush()
		io.Copy(io.Discard, r.Body)
	}))
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() { // ends with the answer
			body, end := io.Pipe()
			defer end.Close()
			if resp, ok := s.do(s.request("POST", "/", body)); ok {
				ends := watched{strings.NewReader(""), func() { end.Close() }}
				wantContent(t, "the answer", io.MultiReader(io.LimitReader(resp.Body, size), ends, resp.Body), 12, size)
				resp.Body.Close()
			}
		})
	}
	for range requests {
		wait(t, "the requests", entered)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.server.Shutdown(ctx) }() // ends with the answers
	if err := wait(t, "Serve's return", s.served); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve returns %v", err)
	}
	close(release)
	wg.Wait()
	s.transport.CloseIdleConnections()
	if err := wait(t, "Shutdown's return", ended); err != nil {
		t.Errorf("Shutdown returns %v", err)
	}
}

// outlive closes a listener. The connections that it accepted go on.
func outlive(t *testing.T, open Open) {
	n := open(t)
	accepted := make(chan io.ReadWriteCloser, 1)
	go func() { // ends with one connection
		c, err := n.Listener.Accept()
		if err != nil {
			t.Error(err)
			close(accepted)
			return
		}
		accepted <- c
	}()
	c := n.connect(t)
	if _, err := c.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	server := wait(t, "the connection", accepted)
	if server == nil {
		return
	}
	defer server.Close()
	if err := n.Listener.Close(); err != nil {
		t.Errorf("Close of the listener: %v", err)
	}
	if _, err := c.Write([]byte(" and after")); err != nil {
		t.Fatalf("once the listener is closed: %v", err)
	}
	want := "before and after"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(server, got); string(got) != want || err != nil {
		t.Errorf("once the listener is closed: read %q, %v", got, err)
	}
}
