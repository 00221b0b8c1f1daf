package workload

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// maxFrame is the most octets of a frame of the protocol that upgrade changes
// to.
const maxFrame = 16 << 10

// writeFrame writes a length and so many octets.
func writeFrame(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("frame of %d octets", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// upgrade changes a connection to another protocol, as WebSocket does: frames
// that come back, first one at a time, then many on their way at once.
func upgrade(t *testing.T, start starter) {
	const frames = 100
	ended := make(chan error, 1)
	s := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended <- echoFrames(w)
	}))
	r := s.request("GET", "/", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "frames")
	resp, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answer %s", resp.Status)
	}
	c := resp.Body.(io.ReadWriteCloser)
	frame := func(i int) []byte {
		b := make([]byte, i*997%maxFrame)
		io.ReadFull(content(uint64(i), int64(len(b))), b) // it has as many
		return b
	}
	want := func(i int) bool {
		got, err := readFrame(c)
		if err != nil || string(got) != string(frame(i)) {
			t.Errorf("frame %d: %d octets, %v", i, len(got), err)
		}
		return err == nil
	}
	for i := range 50 {
		if err := writeFrame(c, frame(i)); err != nil || !want(i) {
			t.Fatalf("frame %d: %v", i, err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { // ends when all are written
		for i := range frames {
			if err := writeFrame(c, frame(i)); err != nil {
				t.Errorf("frame %d: %v", i, err)
				return
			}
		}
	})
	for i := 0; i < frames && want(i); i++ {
	}
	c.Close()
	wg.Wait()
	if err := wait(t, "the server's end of the frames", ended); err != io.EOF {
		t.Errorf("the server's frames end with %v", err)
	}
}

// echoFrames takes the connection of a request over and returns frames until
// an error.
func echoFrames(w http.ResponseWriter) error {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer c.Close()
	io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: frames\r\n\r\n")
	for {
		b, err := readFrame(buf)
		if err == nil {
			err = writeFrame(c, b)
		}
		if err != nil {
			return err
		}
	}
}

// hijack takes a connection over at the server. What the client sent behind
// its request is not lost, its end of direction is seen, and the answer still
// reaches it.
func hijack(t *testing.T, open Open) {
	const size = 128 << 10
	n := open(t)
	s := newSite(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		got, err := digestOf(buf)
		fmt.Fprintln(c, got.octets, got.hash, err)
		if err := closeWrite(c); err != nil {
			t.Errorf("the server's CloseWrite: %v", err)
		}
		io.Copy(io.Discard, c)
	}))
	s.serve(func() error { return s.server.Serve(n.Listener) })
	want, _ := digestOf(content(8, size))
	for range 10 {
		c := n.connect(t)
		_, err := io.Copy(c, io.MultiReader(request("1.1"), content(8, size)))
		if err != nil {
			t.Fatal(err)
		}
		if err := closeWrite(c); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(c)
		if want := fmt.Sprintln(want.octets, want.hash, nil); string(got) != want || err != nil {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
		c.Close()
	}
}

// request is a request by hand.
func request(version string) io.Reader {
	return strings.NewReader("GET / HTTP/" + version + "\r\nHost: server.example\r\n\r\n")
}

// closeDelimited is answers of HTTP/1.0, whose end is that of the connection.
func closeDelimited(t *testing.T, open Open) {
	const size = 128 << 10
	n := open(t)
	s := newSite(t, n, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush() // so that its length is not known
		io.Copy(w, content(9, size))
	}))
	s.serve(func() error { return s.server.Serve(n.Listener) })
	for range 10 {
		c := n.connect(t)
		if _, err := io.Copy(c, request("1.0")); err != nil {
			t.Fatal(err)
		}
		buf := bufio.NewReader(c)
		resp, err := http.ReadResponse(buf, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ContentLength != -1 {
			t.Errorf("the answer says its length, %d", resp.ContentLength)
		}
		wantContent(t, "the body", resp.Body, 9, size)
		c.Close()
	}
}

// headerTimeout is clients that connect and say nothing.
func headerTimeout(t *testing.T, open Open) {
	n := open(t)
	s := newSite(t, n, http.NotFoundHandler())
	s.server.ReadHeaderTimeout = 20 * time.Millisecond
	s.serve(func() error { return s.server.Serve(n.Listener) })
	var silent []net.Conn
	for range 10 {
		silent = append(silent, n.connect(t))
	}
	for _, c := range silent {
		if b, err := io.ReadAll(c); err != nil {
			t.Errorf("a silent client reads %q, %v, want the end", b, err)
		}
	}
}
