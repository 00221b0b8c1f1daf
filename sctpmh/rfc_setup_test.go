package sctpmh

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// RFC 9260 sections 4 and 9.2: once the peer has shut the association down, Send refuses; what it took before is
// delivered all the same, and then both ends know that it ended well.
//
//rfc:9260 4-10 4-11
func TestRFC9260SetupPeerShutdownEndsSend(t *testing.T) {
	e, f := listen(t, &Config{ReceiveBuffer: 64 << 10}, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	sent := 0
	for ok := true; ok; {
		var err error
		if ok, err = b.TrySend(Message{Data: make([]byte, 10_000)}); err != nil {
			t.Fatal(err)
		}
		if ok {
			sent++
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Shutdown(t.Context()) }() // ends with the association
	err := error(nil)
	for ; err == nil; sent++ {
		err = b.Send(t.Context(), Message{Data: make([]byte, 10_000)})
	}
	sent--
	if !errors.Is(err, net.ErrClosed) || b.Err() != nil {
		t.Fatalf("Send after the peer's SHUTDOWN: %v; the association has ended with %v", err, b.Err())
	}
	for i := range sent {
		if m, err := a.Recv(t.Context()); err != nil || len(m.Data) != 10_000 {
			t.Fatalf("message %d of %d: %d octets, %v", i, sent, len(m.Data), err)
		}
	}
	if _, err := a.Recv(t.Context()); err != io.EOF {
		t.Errorf("after the last message: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if <-b.Done(); b.Err() != ErrClosed {
		t.Errorf("the other end: %v", b.Err())
	}
}

// An endpoint that goes out of service ends its associations, and their peers
// learn it at once.
//
//rfc:9260 9-1
func TestCloseEndsAssociations(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	_, b1 := connect(t, e, f, f.Addrs())
	_, b2 := connect(t, e, f, f.Addrs())
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Assoc{b1, b2} {
		_, err := b.Recv(t.Context())
		var abort *AbortError
		if !errors.As(err, &abort) || !abort.Remote || abort.Reason != "endpoint closed" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Recv: %v", err)
		}
	}
}
