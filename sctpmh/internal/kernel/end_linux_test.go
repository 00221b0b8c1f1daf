package kernel

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// A graceful end delivers first, then ends with io.EOF at both ends.
func TestKernelShutdown(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	const n = 200
	for i := range n {
		send(t, a, Message{Stream: uint16(i), Data: filled(1000)})
	}
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(soon(t), Message{Data: []byte("late")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after Shutdown: %v", err)
	}
	got, said := 0, false
	for {
		_, e, err := b.Recv(soon(t))
		if err != nil {
			if err != io.EOF {
				t.Errorf("receiver: %v", err)
			}
			break
		}
		said = said || e.Kind == PeerShutdown
		if e.Kind == NoEvent {
			got++
		}
	}
	if got != n || !said {
		t.Errorf("%d of %d messages arrive; the end is announced: %v", got, n, said)
	}
	if err := wantEnd(t, a); err != io.EOF {
		t.Errorf("sender: %v", err)
	}
	if _, _, err := b.Recv(soon(t)); err != io.EOF {
		t.Errorf("again: %v", err)
	}
}

// What one end has under way when the other shuts down arrives: whoever is shut
// down upon hears of the end only when it has.
func TestKernelShutdownWithDataComingBack(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	sent := 0
	for full := false; !full; { // until neither end has room: the receiver does not read yet
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if full = b.Send(ctx, Message{Data: filled(4000)}) != nil; !full {
			sent++
		}
		cancel()
	}
	if err := a.Shutdown(); err != nil {
		t.Fatal(err)
	}
	told, end := make(chan struct{}), make(chan error, 1)
	go func() { // reads until the end, and closes
		for {
			_, e, err := b.Recv(soon(t))
			if e.Kind == PeerShutdown {
				close(told)
			}
			if err != nil {
				b.Close()
				end <- err
				return
			}
		}
	}()
	<-told
	got := 0
	for {
		_, e, err := a.Recv(soon(t))
		if err != nil {
			if err != io.EOF {
				t.Errorf("who shuts down: %v", err)
			}
			break
		}
		if e.Kind == NoEvent {
			got++
		}
	}
	if got != sent {
		t.Errorf("%d of %d messages arrive", got, sent)
	}
	if err := <-end; err != io.EOF {
		t.Errorf("who was shut down: %v", err)
	}
}

func TestKernelAbort(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	send(t, a, Message{Data: []byte("before")})
	wantMessage(t, b)
	a.Abort("enough")
	err := wantEnd(t, b)
	if abort, ok := errors.AsType[*AbortError](err); !ok || !abort.Remote || abort.Code != causeUserAbort || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("peer: %#v", err)
	}
	if abort, ok := errors.AsType[*AbortError](a.Err()); !ok || abort.Remote || abort.Reason != "enough" || !errors.Is(a.Err(), net.ErrClosed) {
		t.Errorf("here: %v", a.Err())
	}
	if err := b.Send(soon(t), Message{Data: []byte("x")}); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("send after the end: %v", err)
	}
	if got := b.Paths(); len(got) != 0 {
		t.Errorf("paths after the end: %v", got)
	}
}
