package socks5

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server whose Dial is given and whose Relay echoes.
func serve(t *testing.T, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }() // ends when the test closes l
	t.Cleanup(func() {
		l.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// echo is a Server that reaches itself: what the client sends comes back.
func echo(got chan<- Request) *Server {
	return &Server{
		Dial: func(_ context.Context, r Request) (net.Conn, error) {
			got <- r
			if r.Name == "refused.example" {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			a, b := net.Pipe()
			go func() { io.Copy(b, b); b.Close() }() // ends when the client closes
			return a, nil
		},
		Relay: func(_ context.Context, _ Request, client, target net.Conn) {
			go io.Copy(client, target) // ends when either closes
			io.Copy(target, client)
			target.Close()
		},
	}
}

// talk sends and reads alternately: strings are sent, byte slices expected.
func talk(t *testing.T, addr string, script ...any) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	for _, step := range script {
		switch x := step.(type) {
		case string:
			if _, err := io.WriteString(c, x); err != nil {
				t.Fatal(err)
			}
		case []byte:
			b := make([]byte, len(x))
			if n, err := io.ReadFull(c, b); err != nil || !bytes.Equal(b, x) {
				t.Fatalf("read %q, %v, want %q", b[:n], err, x)
			}
		}
	}
}

func TestRequests(t *testing.T) {
	got := make(chan Request, 1)
	addr := serve(t, echo(got))
	for _, test := range []struct {
		what   string
		script []any
		target string
	}{
		{"SOCKS5 by name, early data", []any{"\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x01\xbbhello", []byte("\x05\x00\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00hello")}, "example.org:443"},
		{"SOCKS5 IPv4", []any{"\x05\x02\x00\x02", []byte("\x05\x00"), "\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", []byte("\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"), "x", []byte("x")}, "192.0.2.1:80"},
		{"SOCKS5 IPv6", []any{"\x05\x01\x00", []byte("\x05\x00"), "\x05\x01\x00\x04\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x00\x50", []byte("\x05\x00")}, "[2001:db8::1]:80"},
		{"SOCKS4a", []any{"\x04\x01\x00\x50\x00\x00\x00\x01user\x00example.org\x00", []byte("\x00\x5a")}, "example.org:80"},
		{"HTTP CONNECT", []any{"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\nhi", []byte("HTTP/1.1 200 Connection established\r\n\r\nhi")}, "example.org:443"},
	} {
		t.Run(test.what, func(t *testing.T) {
			talk(t, addr, test.script...)
			if r := <-got; r.Target() != test.target || !r.Client.IsValid() {
				t.Errorf("asked for %s by %v, want %s", r.Target(), r.Client, test.target)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	got := make(chan Request, 1)
	addr := serve(t, echo(got))
	hello := []any{"\x05\x01\x00", []byte("\x05\x00")}
	for _, test := range []struct {
		what   string
		script []any
	}{
		{"connection refused", append(hello, "\x05\x01\x00\x03\x0frefused.example\x00\x50", []byte("\x05\x05"))},
		{"BIND", append(hello, "\x05\x02\x00\x01\x01\x02\x03\x04\x00\x50", []byte("\x05\x07"))},
		{"UDP ASSOCIATE", append(hello, "\x05\x03\x00\x01\x01\x02\x03\x04\x00\x50", []byte("\x05\x07"))},
		{"unknown address type", append(hello, "\x05\x01\x00\x09\x01\x02\x03\x04\x00\x50", []byte("\x05\x08"))},
		{"only password", []any{"\x05\x01\x02", []byte("\x05\xff")}},
		{"HTTP GET", []any{"GET / HTTP/1.1\r\n\r\n", []byte("HTTP/1.1 405")}},
	} {
		t.Run(test.what, func(t *testing.T) { talk(t, addr, test.script...) })
	}
}

// Garbage and silence cost a client its connection and nothing else.
func TestGarbage(t *testing.T) {
	var refused []error
	s := echo(make(chan Request, 1))
	told := make(chan error, 10)
	s.Refused = func(_ Request, err error) { told <- err }
	s.Handshake = 50 * time.Millisecond
	addr := serve(t, s)
	for _, garbage := range []string{"\x00\x01\x02", "\xff", "", "CONNECT", "\x05\xff\x00", "\x04\x01\x00\x50\x00\x00\x00\x01" + strings.Repeat("u", 600)} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, garbage)
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, c) // until the server closes
		c.Close()
		refused = append(refused, <-told)
	}
	if len(refused) != 6 {
		t.Errorf("refused: %v", refused)
	}
}

func TestLimits(t *testing.T) {
	s := &Server{PerClient: 2, Connections: 3}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, want := range []bool{true, true, false} {
		if got := s.admit(a); got != want {
			t.Errorf("client a, connection %d: %v", i, got)
		}
	}
	if !s.admit(b) || s.admit(b) {
		t.Error("the total is not kept")
	}
	s.leave(a)
	if !s.admit(b) {
		t.Error("leaving makes no room")
	}
}

func TestReplyTo(t *testing.T) {
	for err, want := range map[error]Reply{
		nil:                          ReplyOK,
		syscall.ECONNREFUSED:         ReplyRefused,
		syscall.EACCES:               ReplyNotAllowed,
		syscall.ENETUNREACH:          ReplyNetwork,
		syscall.EHOSTUNREACH:         ReplyHost,
		syscall.ETIMEDOUT:            ReplyTTLExpired,
		context.DeadlineExceeded:     ReplyTTLExpired,
		&net.DNSError{Err: "no"}:     ReplyHost,
		errors.New("something else"): ReplyFailure,
	} {
		if got := ReplyTo(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"\x05\x01\x00\x05\x01\x00\x03\x0bexample.org\x01\xbbhello", "\x04\x01\x00\x50\x00\x00\x00\x01user\x00example.org\x00", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &input{c: &script{in: b}}
		req, err := in.request()
		if err != nil {
			return
		}
		if req.Port == 0 || req.Name == "" == !req.Addr.IsValid() || len(req.Name) > maxString {
			t.Errorf("%q gives %+v", b, req)
		}
		if _, _, err := net.SplitHostPort(req.Target()); err != nil {
			t.Errorf("target %q: %v", req.Target(), err)
		}
	})
}

// script is a client that sends what it is given and then hangs up.
type script struct {
	net.Conn
	in []byte
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error) { return len(b), nil }
