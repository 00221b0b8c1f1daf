package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hear runs Hints until the socket is closed.
func hear(t *testing.T, s *Socket) <-chan Hint {
	t.Helper()
	if err := s.recvErr(true); err != nil { // Hints does it too, but when?
		t.Fatal(err)
	}
	hints, done := make(chan Hint, 1000), make(chan error)
	go func() { // ends when s is closed
		done <- s.Hints(func(h Hint) {
			h.Packet = bytes.Clone(h.Packet)
			hints <- h
		})
	}()
	t.Cleanup(func() {
		s.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Hints: %v", err)
		}
	})
	return hints
}

func await(t *testing.T, hints <-chan Hint) Hint {
	t.Helper()
	select {
	case h := <-hints:
		return h
	case <-time.After(5 * time.Second):
		t.Fatal("no hint")
		return Hint{}
	}
}

// deaf returns an address where nothing listens.
func deaf(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	s := listen(t, addr)
	s.Close()
	return s.Local()
}

// ICMP errors are hints, and no datagram to elsewhere is lost or refused for
// them.
func TestHintPortUnreachable(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		a, b, nobody := listen(t, addr), listen(t, addr), deaf(t, addr)
		hints := hear(t, a)
		const rounds = 100
		for i := range rounds {
			lost, kept := bytes.Repeat([]byte{byte(i)}, 200), []byte{byte(i)}
			if err := a.Send(lost, 200, nobody, Marks{}, nil); err != nil {
				t.Fatal(err)
			}
			if err := a.Send(kept, 1, b.Local(), Marks{ECT: true}, nil); err != nil {
				t.Fatal(err)
			}
			if h := await(t, hints); h.Remote != nobody || !h.PortUnreachable || h.Unreachable || h.MTU != 0 || h.Local || !bytes.Equal(h.Packet, lost[:quoteLimit]) {
				t.Fatalf("%s: %+v", addr, h)
			}
		}
		for i, p := range receive(t, b, rounds) {
			if len(p) != 1 || p[0] != byte(i) {
				t.Fatalf("%s: packet %d is %x", addr, i, p)
			}
		}
		if n := a.Stats().SendErrors.Load(); n != 0 {
			t.Errorf("%s: %d send errors", addr, n)
		}
		// Receive passes errors over.
		if err := b.Send([]byte("x"), 1, a.Local(), Marks{}, nil); err != nil {
			t.Fatal(err)
		}
		receive(t, a, 1)
	}
}

// Without Hints, ICMP changes nothing.
func TestNoHints(t *testing.T) {
	a, nobody := listen(t, "127.0.0.1:0"), deaf(t, "127.0.0.1:0")
	for range 3 {
		if _, err := a.conn.WriteToUDPAddrPort([]byte("x"), nobody); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := a.takeError(make([]byte, 10), make([]byte, 100)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("error queue: %v", err)
	}
}

// A pending error is not taken for one of the offload, whatever it is.
func TestPendingErrorKeepsOffload(t *testing.T) {
	a, b, nobody := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), deaf(t, "127.0.0.1:0")
	if err := a.recvErr(true); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := a.Send([]byte("x"), 1, nobody, Marks{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := a.Send(make([]byte, 4000), 1000, b.Local(), Marks{}, make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		receive(t, b, 4)
	}
	if !a.gso.Load() {
		t.Error("offload has been given up")
	}
}

// Somebody who floods us with ICMP gets ignored for a while, and nothing else
// suffers.
func TestHintFlood(t *testing.T) {
	a, b, nobody := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), deaf(t, "127.0.0.1:0")
	hints := hear(t, a)
	start := time.Now()
	const flood = 3 * hintLimit
	for range flood {
		if err := a.Send([]byte("x"), 1, nobody, Marks{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Send([]byte("y"), 1, b.Local(), Marks{}, nil); err != nil {
		t.Fatal(err)
	}
	receive(t, b, 1)
	for range hintLimit {
		await(t, hints)
	}
	if d := time.Since(start); d < hintWindow/2 && len(hints) > 0 {
		t.Errorf("%d more hints than the limit in %v", len(hints), d)
	}
	for { // it hears again when the window is over
		if err := a.Send([]byte("x"), 1, nobody, Marks{}, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-hints:
			if d := time.Since(start); d < hintWindow {
				t.Errorf("heard again after %v", d)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestCloseEndsHintsThatPauses(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	done := make(chan error)
	go func() { done <- s.ignoreErrors(time.Hour) }() // ends with Close
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// While the send buffer is more than half full the runtime's poller fails all
// reads when an error is to be told; Receive neither spins nor gives up.
func TestReceiveWhilePollerRefuses(t *testing.T) {
	w := newWay(t)
	a, b := w.on(w.left, lefts[0]), w.on(w.right, rights[0])
	w.must(a.recvErr(true)) // and nobody takes the error off the queue
	got := make(chan error)
	go func() { // ends with a packet
		batch, err := a.Receive()
		if err == nil {
			batch.Release()
		}
		got <- err
	}()
	// Nobody has this address: what is sent there waits for a second or more and
	// counts as not yet sent.
	nobody := netip.MustParseAddrPort("10.1.0.77:9")
	w.must(control(a.raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 8000) // it doubles that
	}))
	for range 4 {
		w.must(a.Send(make([]byte, 1400), 1400, nobody, Marks{}, nil))
	}
	if err := a.Send(make([]byte, 2000), 2000, b.Local(), Marks{}, nil); !errors.Is(err, ErrTooBig) {
		t.Fatal(err)
	}
	before := cpu(t)
	time.Sleep(200 * time.Millisecond)
	if used := cpu(t) - before; used > 40*time.Millisecond {
		t.Errorf("%v of processor time in 200 ms", used)
	}
	w.must(b.Send([]byte("x"), 1, a.Local(), Marks{}, nil))
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
