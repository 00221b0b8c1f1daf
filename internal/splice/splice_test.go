package splice

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tcpPair returns the two ends of a TCP connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	for _, x := range []net.Conn{c, s} {
		x.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

// joined returns two connections with a splice between them.
func joined(t *testing.T, ctx context.Context) (client, server *net.TCPConn, result <-chan Result) {
	t.Helper()
	client, in := tcpPair(t)
	out, server := tcpPair(t)
	done := make(chan Result, 1)
	go func() { done <- Run(ctx, in, out) }() // ends when both directions have
	return client, server, done
}

func TestHalfClose(t *testing.T) {
	client, server, done := joined(t, t.Context())
	data := make([]byte, 3<<20)
	rand.Read(data)
	go func() { // ends when all is written
		client.Write(data)
		client.CloseWrite()
	}()
	got, err := io.ReadAll(server)
	if err != nil || !bytes.Equal(got, data) {
		t.Fatalf("server read %d octets, %v", len(got), err)
	}
	// Only now, long after the client's end, the server answers.
	if _, err := server.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	server.CloseWrite()
	if got, err := io.ReadAll(client); err != nil || string(got) != "answer" {
		t.Fatalf("client read %q, %v", got, err)
	}
	if r := <-done; r.Up != 3<<20 || r.Down != 6 || r.Err != nil {
		t.Errorf("%+v", r)
	}
}

func TestResetPassesThrough(t *testing.T) {
	client, server, done := joined(t, t.Context())
	client.SetLinger(0)
	client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("server reads %v, want a reset", err)
	}
	if r := <-done; !errors.Is(r.Err, syscall.ECONNRESET) {
		t.Errorf("%+v", r)
	}
}

func TestContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _, done := joined(t, ctx)
	cancel()
	if r := <-done; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("%+v", r)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client's connection is still open")
	}
}
