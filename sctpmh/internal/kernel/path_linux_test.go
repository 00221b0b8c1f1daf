package kernel

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
)

// The first address is dead: the next one is dialled after 250 ms.
func TestKernelDialNextAddress(t *testing.T) {
	for _, encap := range []uint16{0, udpPort} {
		w := newWorld(t)
		left, right := ipv4(w.left), ipv4(w.right)
		if err := w.isps[0].Cut(); err != nil {
			t.Fatal(err)
		}
		l := w.listen(t, right, nil)
		begin := time.Now()
		a, b := w.join(t, l, left, right, encap, nil)
		took := time.Since(begin)
		t.Logf("UDP port %d: connected after %v", encap, took)
		if took < 200*time.Millisecond || took > 2*time.Second {
			t.Errorf("connected after %v", took)
		}
		if a.Peer().Handshake != right[1] || b.Peer().Handshake != left[1] {
			t.Errorf("handshake over %v and %v", a.Peer().Handshake, b.Peer().Handshake)
		}
		send(t, a, Message{Data: []byte("over the second")})
		wantMessage(t, b)
	}
}

// Nobody answers: the context ends the dial, and the error names who was tried.
func TestKernelDialSilence(t *testing.T) {
	w := newWorld(t)
	for _, p := range w.isps {
		if err := p.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 600*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := dialAt(w.left, ctx, ipv4(w.left), ipv4(w.right), 0, nil)
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	op, ok := errors.AsType[*OpError](err)
	if !ok || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, syscall.ETIMEDOUT) || !slices.Equal(op.Addrs, ipv4(w.right)) {
		t.Errorf("silence: %v", err)
	} else {
		t.Log(err)
	}
}

// What was dialled is probed at once, what was only listed is not.
func TestKernelListedAddressesStayAlone(t *testing.T) {
	w := newWorld(t)
	left, right := ipv4(w.left), ipv4(w.right)
	l := w.listen(t, right, &Config{HeartbeatInterval: 100 * time.Millisecond})
	a, b := w.join(t, l, left, right[:1], 0, &Config{HeartbeatInterval: 100 * time.Millisecond})
	// Both are idle, so what passes over the first path are its probes.
	probes := make(chan struct{}, 64)
	w.watch(t, 0, func(byte) {
		select {
		case probes <- struct{}{}:
		default:
		}
	})
	var strays atomic.Int64
	w.watch(t, 1, func(byte) { strays.Add(1) })
	for range 12 {
		select {
		case <-probes:
		case <-soon(t).Done():
			t.Fatal("the permitted path is not probed")
		}
	}
	for name, c := range map[string]*Conn{"client": a, "server": b} {
		for _, p := range c.Paths() {
			if want := p.Addr == c.Peer().Handshake; p.Permitted != want || p.Confirmed() != want {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
	if n := strays.Load(); n != 0 {
		t.Errorf("%d packets over a path that nobody permitted", n)
	}
}

// A permitted address is confirmed by a probe of its own, and used when the
// first one dies. The stall at the receiver is what the goal bounds, beside what
// an association over the other provider alone has at the same time: emulated
// machines stop now and then.
func TestKernelFailover(t *testing.T) {
	const goal = 300 * time.Millisecond
	for _, encap := range []uint16{0, udpPort} {
		w := newWorld(t)
		left, right := ipv4(w.left), ipv4(w.right)
		l := w.listen(t, right, nil)
		a, b := w.join(t, l, left, right, encap, nil)
		control, controlled := w.join(t, l, left[1:], right[1:], encap, nil)
		if err := errors.Join(b.Restrict(left, true), a.Restrict(right, true)); err != nil {
			t.Fatal(err)
		}
		wantEvent(t, b, "the second address is confirmed", func(e Event) bool {
			return e.Kind == PathChanged && e.Addr == left[1] && e.Change == PathConfirmed
		})
		var inTime int
		const rounds = 3
		for range rounds {
			other := make(chan gap, 1)
			go func() { other <- w.flow(t, control, controlled, nil) }() // ends with its messages
			got := w.flow(t, a, b, w.isps[0].Cut)
			own := <-other
			if err := errors.Join(got.err, own.err); err != nil {
				t.Fatal(err)
			}
			t.Logf("UDP port %d: stall %v at a timeout of %v, while the other association had %v", encap, got.longest, got.rto, own.longest)
			if got.longest-own.longest <= goal {
				inTime++
			}
			wantEvent(t, a, "the first address is left", func(e Event) bool {
				return e.Kind == PathChanged && e.Addr == right[0] && e.Change == PathPotentiallyFailed
			})
			// It comes back, and is found by the heartbeats.
			if err := w.isps[0].Restore(); err != nil {
				t.Fatal(err)
			}
			wantEvent(t, a, "the first address is back", func(e Event) bool {
				return e.Kind == PathChanged && e.Addr == right[0] && e.Change == PathAvailable
			})
		}
		if inTime <= rounds/2 {
			t.Errorf("UDP port %d: %d of %d stalls within %v", encap, inTime, rounds, goal)
		}
		if err := a.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := wantEnd(t, b); err != io.EOF {
			t.Error(err)
		}
	}
}

// A gap is the longest time without a message at a receiver.
type gap struct {
	longest time.Duration
	rto     time.Duration // of the sender's primary path when it was cut
	err     error
}

// flow sends a message every 10 ms, calls cut in between, and waits for all of
// them.
func (w *world) flow(t *testing.T, a, b *Conn, cut func(...*testnet.Host) error) (g gap) {
	const count = 100
	ctx := soon(t)
	sent := make(chan error, 1)
	go func() { // ends after count messages
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := range count {
			<-tick.C
			if i == count/4 && cut != nil {
				g.rto = a.Paths()[0].RTO
				if err := cut(); err != nil {
					sent <- err
					return
				}
			}
			if err := a.Send(ctx, Message{Data: filled(100)}); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	last := time.Now()
	for range count {
		if _, g.err = receive(ctx, b); g.err != nil {
			break
		}
		now := time.Now()
		g.longest = max(g.longest, now.Sub(last))
		last = now
	}
	g.err = errors.Join(g.err, <-sent)
	return g
}

// An address that was dialled and does not answer is found out, without any data
// on it, within a heartbeat interval.
func TestKernelDialledAddressIsProbed(t *testing.T) {
	w := newWorld(t)
	if err := w.isps[1].Cut(); err != nil {
		t.Fatal(err)
	}
	right := ipv4(w.right)
	l := w.listen(t, right, nil)
	a, _ := w.join(t, l, ipv4(w.left), right, 0, nil)
	wantEvent(t, a, "the second address does not answer", func(e Event) bool {
		return e.Kind == PathChanged && e.Addr == right[1] && e.Change == PathPotentiallyFailed
	})
}

// Both paths die: the association ends, and says that nobody answers.
func TestKernelLost(t *testing.T) {
	w := newWorld(t)
	l := w.listen(t, ipv4(w.right), nil)
	a, b := w.join(t, l, ipv4(w.left), ipv4(w.right), 0, &Config{MaxRetrans: 2})
	send(t, a, Message{Data: []byte("x")})
	wantMessage(t, b)
	for _, p := range w.isps {
		if err := p.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	send(t, a, Message{Stream: 3, PPID: 7, Data: []byte("y")})
	failed := wantEvent(t, a, "the message is lost", func(e Event) bool { return e.Kind == SendFailed })
	if failed.Stream != 3 || failed.PPID != 7 || !failed.Sent {
		t.Errorf("lost: %+v", failed)
	}
	if err := wantEnd(t, a); err != syscall.ETIMEDOUT {
		t.Errorf("end: %v", err)
	}
}

// A peer that lost its state and dials again from the same port is the same
// association, restarted.
func TestKernelRestart(t *testing.T) {
	w := newWorld(t)
	left, right := ipv4(w.left), ipv4(w.right)
	l := w.listen(t, right, nil)
	dial := func() (c *Conn) {
		t.Helper()
		err := w.left.Do(func() (err error) {
			c, err = dialFrom(soon(t), left, 6000, right, 0, &Config{MaxStreams: 10})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	first := dial()
	b, err := l.Accept(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	send(t, first, Message{Data: []byte("before")})
	wantMessage(t, b)
	for _, p := range w.isps {
		if err := p.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	first.Close() // the ABORT does not arrive
	for _, p := range w.isps {
		if err := p.Restore(); err != nil {
			t.Fatal(err)
		}
	}
	second := dial()
	wantEvent(t, b, "the peer restarted", func(e Event) bool { return e.Kind == Restarted })
	send(t, second, Message{Data: []byte("after")})
	if m := wantMessage(t, b); string(m.Data) != "after" {
		t.Errorf("%q", m.Data)
	}
	if err := b.Err(); err != nil {
		t.Errorf("ended: %v", err)
	}
}

// An address that was only listed gets no data even when nothing else works:
// the association ends first.
func TestKernelListedAddressGetsNoData(t *testing.T) {
	w := newWorld(t)
	left, right := ipv4(w.left), ipv4(w.right)
	l := w.listen(t, right, &Config{MaxRetrans: 3})
	var data, other atomic.Int64
	w.watch(t, 1, func(chunk byte) {
		if chunk == 0 {
			data.Add(1)
		} else {
			other.Add(1)
		}
	})
	a, b := w.join(t, l, left, right, 0, nil)
	send(t, b, Message{Data: []byte("x")})
	wantMessage(t, a)
	if err := w.isps[0].Cut(); err != nil {
		t.Fatal(err)
	}
	send(t, b, Message{Data: []byte("nowhere to go")})
	if err := wantEnd(t, b); err != syscall.ETIMEDOUT {
		t.Errorf("end: %v", err)
	}
	if n := data.Load(); n != 0 {
		t.Errorf("%d packets with data went to an address that nobody permitted", n)
	}
	if err := w.isps[0].Restore(); err != nil {
		t.Fatal(err)
	}
	if other.Load() == 0 {
		t.Error("not even the probe of the peer, which may use this address, is seen")
	}
}

// Strictly: an address that is not permitted ends the association.
func TestKernelRestrictStrictly(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	err := b.Restrict(nil, true)
	no, ok := errors.AsType[*NotPermittedError](err)
	if !ok || !slices.Equal(no.Addrs, loopback[1:]) {
		t.Errorf("restrict: %v", err)
	}
	if err := wantEnd(t, a); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("peer: %v", err)
	}
	if _, _, err := b.Recv(soon(t)); !errors.As(err, &no) {
		t.Errorf("receive: %v", err)
	}
	if err := b.Send(soon(t), Message{Data: []byte("x")}); !errors.As(err, &no) {
		t.Errorf("send: %v", err)
	}
}

// An address that was usable and is not permitted any more does not get data:
// when only it is left, the association ends.
func TestKernelRestrictWithdrawn(t *testing.T) {
	w := newWorld(t)
	left, right := ipv4(w.left), ipv4(w.right)
	l := w.listen(t, right, nil)
	a, b := w.join(t, l, left, right, 0, nil)
	if err := a.SetPrimary(right[1]); err != nil {
		t.Fatal(err)
	}
	if err := a.Restrict(nil, false); err != nil { // only the handshake's is left
		t.Fatal(err)
	}
	for _, p := range a.Paths() {
		if p.Primary != (p.Addr == right[0]) {
			t.Errorf("%+v", p)
		}
	}
	send(t, a, Message{Data: []byte("over the first")})
	wantMessage(t, b)
	if err := w.isps[0].Cut(); err != nil {
		t.Fatal(err)
	}
	send(t, a, Message{Data: []byte("nowhere to go")})
	err := wantEnd(t, a)
	if no, ok := errors.AsType[*NotPermittedError](err); !ok || !slices.Equal(no.Addrs, right[1:]) {
		t.Errorf("end: %v", err)
	}
}

// Nobody has decided yet which addresses may be used, and that of the handshake
// misses an answer: the association lives to hear the decision, and ends when
// there is none.
func TestKernelUndecided(t *testing.T) {
	begin := func(limit time.Duration) (a, b *Conn, right []netip.Addr) {
		t.Helper()
		w := newWorld(t)
		left := ipv4(w.left)
		right = ipv4(w.right)
		l := w.listen(t, right, nil)
		a, b = w.join(t, l, left, right, 0, nil)
		if err := b.Restrict(left, false); err != nil { // it answers over either path
			t.Fatal(err)
		}
		wantEvent(t, b, "the second address is confirmed", func(e Event) bool {
			return e.Kind == PathChanged && e.Addr == left[1] && e.Change == PathConfirmed
		})
		a.Undecided(limit)
		for _, p := range a.Paths() {
			if p.Permitted != (p.Addr == right[0]) {
				t.Errorf("undecided: %+v", p)
			}
		}
		if err := w.isps[0].Cut(); err != nil {
			t.Fatal(err)
		}
		send(t, a, Message{Data: []byte("over whatever works")})
		return a, b, right
	}
	a, b, right := begin(time.Hour)
	wantEvent(t, a, "the first address is left", func(e Event) bool {
		return e.Kind == PathChanged && e.Addr == right[0] && e.Change == PathPotentiallyFailed
	})
	if err := a.Restrict(right, false); err != nil {
		t.Fatal(err)
	}
	wantMessage(t, b)

	a, _, right = begin(time.Second)
	err := wantEnd(t, a)
	if no, ok := errors.AsType[*NotPermittedError](err); !ok || !slices.Equal(no.Addrs, right[1:]) {
		t.Errorf("without a decision it ended with %v", err)
	}
}

func TestKernelStats(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	for range 10 {
		send(t, a, Message{Data: filled(100)})
		wantMessage(t, b)
	}
	s, r := a.Stats(), b.Stats()
	if s.ChunksSent != 10 || r.ChunksReceived != 10 || s.PacketsSent < 10 || s.SACKsReceived == 0 || r.SACKsSent == 0 {
		t.Errorf("sender %+v, receiver %+v", s, r)
	}
}
