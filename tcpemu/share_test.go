package tcpemu

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"syscall"
	"testing"
)

func TestSharers(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
	} {
		if got := sharerOf(netip.MustParseAddr(c.a)) == sharerOf(netip.MustParseAddr(c.b)); got != c.same {
			t.Errorf("%s and %s are one peer: %v", c.a, c.b, got)
		}
	}
}

// sessionFrom is a session with a peer at an address, who has said HELLO.
func sessionFrom(t *testing.T, addr string, cfg sessionConfig) *session {
	a := newFake(nil)
	a.peer.Handshake = netip.AddrPortFrom(netip.MustParseAddr(addr), 9899)
	cfg.log = slog.New(slog.DiscardHandler)
	s := newSession(a, cfg)
	t.Cleanup(func() {
		a.Abort("over")
		s.running.Wait()
	})
	return s
}

// A peer that opens connections which nobody accepts leaves room for the others,
// with as many associations as it likes, and gets its own back with each that is
// taken.
func TestBacklogIsShared(t *testing.T) {
	l, err := Listen(nil, nil)
	must(t, err)
	defer l.Shutdown(context.Background())
	cfg := sessionConfig{accept: l.take}
	greedy := []*session{sessionFrom(t, "2001:db8::1", cfg), sessionFrom(t, "2001:db8::2", cfg)}
	open := func(s *session, sid int) error {
		return l.take(&Open{conn: newConn(s, uint16(sid), 1, earlyCredit, 0)})
	}
	for i := range maxUnacceptedPeer {
		must(t, open(greedy[i%2], i))
	}
	for _, s := range greedy {
		wantIs(t, "one more", open(s, 9999), syscall.EAGAIN)
	}
	for i := range maxUnaccepted - maxUnacceptedPeer {
		must(t, open(sessionFrom(t, fmt.Sprintf("192.0.2.%d", i%200), cfg), i))
	}
	wantIs(t, "more than all", open(sessionFrom(t, "192.0.2.201", cfg), 1), syscall.EAGAIN)
	if _, err := l.AcceptOpen(t.Context()); err != nil {
		t.Fatal(err)
	}
	must(t, open(greedy[0], 1))
	wantIs(t, "one more", open(greedy[0], 2), syscall.EAGAIN)
	l.backlog.refuse(CodeAway)
	if n := len(l.backlog.peers.used); n > 0 {
		t.Errorf("%d peers of an empty backlog are remembered", n)
	}
}

// A peer whose windows have reached its part of the process's is refused, over
// any association of its; others are not, and grow.
func TestWindowsAreShared(t *testing.T) {
	w := &Windows{Process: 4 << 20}
	sum := func(addr string) *windowSum { return &windowSum{of: w, peer: sharerOf(netip.MustParseAddr(addr))} }
	greedy := []*windowSum{sum("192.0.2.1"), sum("192.0.2.1")}
	taken := 0
	var sizes []int
	for ; greedy[taken%2].open(); taken++ {
		sizes = append(sizes, greedy[taken%2].grow(earlyCredit, 1<<20, 1))
	}
	if used := w.used.Load(); used > w.peer() || used < w.peer()-earlyCredit {
		t.Errorf("%d connections of one peer have windows of %d octets, it may have %d", taken, used, w.peer())
	}
	other := sum("192.0.2.2")
	if !other.open() {
		t.Fatal("another peer is refused")
	}
	if size := other.grow(earlyCredit, initialWindow, 1); size != initialWindow {
		t.Errorf("another peer gets a window of %d octets", size)
	}
	other.shrink(initialWindow, 0)
	for i, size := range sizes {
		greedy[i%2].shrink(size, 0)
	}
	if n := len(w.peers.used); n > 0 || w.used.Load() != 0 {
		t.Errorf("%d peers are remembered that have nothing, %d octets", n, w.used.Load())
	}
}
