package workload

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// TLS is crypto/tls on both ends, without a protocol above it.
func TLS(t *testing.T, open Open) {
	t.Run("both ends authenticated", func(t *testing.T) { tlsMutual(t, open) })
	t.Run("bulk both ways", func(t *testing.T) { tlsBulk(t, open) })
	t.Run("half-close", func(t *testing.T) { tlsHalfClose(t, open) })
	t.Run("resumed sessions", func(t *testing.T) { tlsResume(t, open) })
	t.Run("truncation is seen", func(t *testing.T) { tlsTruncated(t, open) })
	t.Run("handshake given up", func(t *testing.T) { tlsSilent(t, open) })
	t.Run("read deadlines", func(t *testing.T) { tlsDeadline(t, open) })
}

// A tlsNet makes pairs of connections that have shaken hands.
type tlsNet struct {
	t              *testing.T
	net            Net
	client, server *tls.Config
}

func newTLSNet(t *testing.T, open Open) *tlsNet {
	c := newCredentials(t)
	return &tlsNet{t: t, net: open(t), client: c.client(), server: c.server()}
}

// pair is the two ends of a connection.
func (n *tlsNet) pair() (client, server *tls.Conn) {
	n.t.Helper()
	accepted := make(chan *tls.Conn, 1)
	failed := make(chan error, 1)
	go func() { // ends with one handshake
		c, err := n.net.Listener.Accept()
		if err != nil {
			failed <- err
			return
		}
		s := tls.Server(c, n.server)
		s.SetDeadline(time.Now().Add(patience))
		if err := s.Handshake(); err != nil {
			s.Close()
			failed <- err
			return
		}
		accepted <- s
	}()
	client = tls.Client(n.net.connect(n.t), n.client)
	if err := client.Handshake(); err != nil {
		n.t.Fatal(err)
	}
	select {
	case server = <-accepted:
	case err := <-failed:
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func tlsMutual(t *testing.T, open Open) {
	n := newTLSNet(t, open)
	n.server.ClientAuth = tls.RequireAndVerifyClientCert
	n.client.Certificates = n.server.Certificates
	for range 10 {
		client, server := n.pair()
		for _, c := range []*tls.Conn{client, server} {
			if s := c.ConnectionState(); !s.HandshakeComplete || len(s.VerifiedChains) != 1 {
				t.Errorf("verified chains %v", s.VerifiedChains)
			}
		}
	}
}

// tlsBulk has both ends send at once.
func tlsBulk(t *testing.T, open Open) {
	const size = 1 << 20
	client, server := newTLSNet(t, open).pair()
	var wg sync.WaitGroup
	for i, c := range []*tls.Conn{client, server} {
		wg.Go(func() { // ends when all is written
			if _, err := io.Copy(c, content(uint64(20+i), size)); err != nil {
				t.Error(err)
			}
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { wantContent(t, "bulk", c, uint64(21-i), size) }) // ends at the other's end
	}
	wg.Wait()
}

// tlsHalfClose has the server answer when the client has ended its direction.
func tlsHalfClose(t *testing.T, open Open) {
	const size = 128 << 10
	n := newTLSNet(t, open)
	for range 5 {
		client, server := n.pair()
		go func() { // ends with the answer
			got, err := digestOf(server)
			fmt.Fprintln(server, got.octets, got.hash, err)
			server.CloseWrite()
		}()
		if _, err := io.Copy(client, content(22, size)); err != nil {
			t.Fatal(err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		want, _ := digestOf(content(22, size))
		got, err := io.ReadAll(client)
		if want := fmt.Sprintln(want.octets, want.hash, nil); string(got) != want || err != nil {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	}
}

// tlsResume makes further connections with what the first has left.
func tlsResume(t *testing.T, open Open) {
	n := newTLSNet(t, open)
	n.client.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	for i := range 5 {
		client, server := n.pair()
		if resumed := client.ConnectionState().DidResume; resumed != (i > 0) {
			t.Errorf("connection %d is resumed: %v", i, resumed)
		}
		if _, err := server.Write([]byte("x")); err != nil { // the ticket comes before it
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
}

// tlsTruncated ends the connection in the middle of a record: that must not
// look like an end of the data.
func tlsTruncated(t *testing.T, open Open) {
	client, server := newTLSNet(t, open).pair()
	if _, err := client.Write([]byte("the beginning")); err != nil {
		t.Fatal(err)
	}
	below := client.NetConn()
	if _, err := below.Write([]byte{23, 3, 3, 0, 100, 1, 2, 3}); err != nil { // the head of a record of 100 octets (RFC 8446 section 5.2)
		t.Fatal(err)
	}
	if err := closeWrite(below); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(server); string(got) != "the beginning" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v, want an unexpected end", got, err)
	}
}

// tlsSilent gives up on a server that says nothing.
func tlsSilent(t *testing.T, open Open) {
	n := newTLSNet(t, open)
	accepted := make(chan net.Conn, 1)
	go func() { // ends with one connection
		if c, err := n.net.Listener.Accept(); err == nil {
			accepted <- c
		}
	}()
	client := tls.Client(n.net.connect(t), n.client)
	defer wait(t, "the connection", accepted).Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := client.HandshakeContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the handshake ends with %v", err)
	}
	if _, err := client.NetConn().Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the connection below is not closed: %v", err)
	}
}

// tlsDeadline lets reads time out while nothing comes. None of what comes
// later is lost.
func tlsDeadline(t *testing.T, open Open) {
	client, server := newTLSNet(t, open).pair()
	for i := range 20 {
		want := bytes.Repeat([]byte{byte(i)}, 1+i*100)
		got := make([]byte, len(want))
		client.SetReadDeadline(time.Now().Add(time.Millisecond))
		var timeout net.Error
		if _, err := client.Read(got); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("read with nothing to come: %v", err)
		}
		client.SetReadDeadline(time.Now().Add(patience))
		if _, err := server.Write(want); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}
