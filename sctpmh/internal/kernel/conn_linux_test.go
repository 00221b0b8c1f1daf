package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Messages arrive as they were sent, over all kinds of addresses.
func TestKernelEcho(t *testing.T) {
	for _, c := range []struct {
		name  string
		local []netip.Addr
		encap uint16
	}{
		{"IPv4", loopback, 0},
		{"IPv4 over UDP", loopback, udpPort},
		{"IPv6", addrs("::1"), 0},
		{"IPv6 over UDP", addrs("::1"), udpPort},
		{"both", addrs("::1", "127.0.0.1"), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, c.local, c.local, c.encap, nil)
			for i, m := range []Message{
				{Data: []byte("first")},
				{Stream: 16383, PPID: 0xdecafbad, Data: filled(70_000)},
				{Stream: 3, PPID: 1, Unordered: true, Data: []byte{0}},
			} {
				send(t, a, m)
				got := wantMessage(t, b)
				if got.Stream != m.Stream || got.PPID != m.PPID || got.Unordered != m.Unordered || !bytes.Equal(got.Data, m.Data) {
					t.Errorf("message %d: %d octets arrive as %d %x %v with %d", i, len(m.Data), got.Stream, got.PPID, got.Unordered, len(got.Data))
				}
				send(t, b, got)
				if back := wantMessage(t, a); !bytes.Equal(back.Data, m.Data) {
					t.Errorf("message %d does not come back", i)
				}
			}
			for _, p := range a.Paths() {
				if p.EncapPort != c.encap {
					t.Errorf("path %v has UDP port %d, want %d", p.Addr, p.EncapPort, c.encap)
				}
			}
		})
	}
}

// What the handshake said is known at both ends.
func TestKernelPeer(t *testing.T) {
	l := listen(t, loopback, &Config{MaxStreams: 100, Adaptation: 0xcafe})
	a, b := join(t, l, loopback, loopback, 0, &Config{MaxStreams: 200})
	for _, c := range []struct {
		name string
		got  Peer
		want Peer
	}{
		{"client", a.Peer(), Peer{Handshake: loopback[0], Port: 5000, Adaptation: 0xcafe, OutStreams: 100, InStreams: 100}},
		{"server", b.Peer(), Peer{Handshake: loopback[0], Adaptation: 0, OutStreams: 100, InStreams: 100}},
	} {
		if c.got.Handshake != c.want.Handshake || c.got.Adaptation != c.want.Adaptation || c.got.OutStreams != c.want.OutStreams ||
			c.got.InStreams != c.want.InStreams || len(c.got.Addrs) != 2 || (c.want.Port != 0 && c.got.Port != c.want.Port) {
			t.Errorf("%s: %+v, want %+v", c.name, c.got, c.want)
		}
	}
	if got := l.Addrs(); len(got) != 2 {
		t.Errorf("listens at %v", got)
	}
	if got := a.Local(); len(got) != 2 {
		t.Errorf("dialled from %v", got)
	}
	if err := a.Send(soon(t), Message{Stream: 100, Data: []byte("x")}); err != ErrStream {
		t.Errorf("a stream too many: %v", err)
	}
	if err := a.Send(soon(t), Message{}); err != ErrEmpty {
		t.Errorf("no data: %v", err)
	}
}

// Messages that exceed the window come in parts, and whole here; other streams
// go on behind them.
func TestKernelLargeMessages(t *testing.T) {
	cfg := &Config{ReceiveBuffer: 64 << 10, SendBuffer: MaxMessage}
	a, b := pair(t, loopback, loopback, 0, cfg)
	if got := a.MaxMessage(); got != MaxMessage {
		t.Fatalf("largest message: %d", got)
	}
	var sending sync.WaitGroup
	sizes := []int{256 << 10, 1, MaxMessage, 63 << 10, 64 << 10, 65 << 10}
	sending.Go(func() {
		for i, n := range sizes {
			if err := a.Send(soon(t), Message{Stream: uint16(i), Data: filled(n)}); err != nil {
				t.Error(err)
			}
		}
	})
	for i, n := range sizes {
		if m := wantMessage(t, b); int(m.Stream) != i || !bytes.Equal(m.Data, filled(n)) {
			t.Errorf("message %d of %d octets arrives on stream %d with %d", i, n, m.Stream, len(m.Data))
		}
	}
	sending.Wait()
	if err := a.Send(soon(t), Message{Data: filled(MaxMessage + 1)}); err != ErrTooBig {
		t.Errorf("a message too big: %v", err)
	}
}

// The largest message is what the send buffer takes, in one piece.
func TestKernelLargestMessage(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, &Config{SendBuffer: 64 << 10})
	n := a.MaxMessage()
	if n < 64<<10 || n > 256<<10 {
		t.Errorf("largest message: %d", n)
	}
	send(t, a, Message{Data: filled(n)})
	if m := wantMessage(t, b); !bytes.Equal(m.Data, filled(n)) {
		t.Errorf("%d octets arrive", len(m.Data))
	}
	if err := a.Send(soon(t), Message{Data: filled(n + 1)}); err != ErrTooBig {
		t.Errorf("one more: %v", err)
	}
	if p, mtu := a.MaxPayload(), a.Paths()[0].MTU; p < mtu-100 || p >= mtu {
		t.Errorf("%d octets fit a packet of %d", p, mtu)
	}
}

// An association is not lost because who accepts has just given up.
func TestKernelAcceptGivenUp(t *testing.T) {
	l := listen(t, loopback, nil)
	a, err := dialAt(here, soon(t), nil, loopback, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	var b *Conn
	for range 20 { // whether it looks at all is open
		if b, err = l.Accept(over); err == nil {
			break
		}
		if err != context.Canceled {
			t.Fatal(err)
		}
	}
	if b == nil {
		if b, err = l.Accept(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	defer b.Close()
	send(t, a, Message{Data: []byte("still there")})
	wantMessage(t, b)
}

// A message that exceeds what is put together ends the association.
func TestKernelMessageTooLong(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, &Config{SendBuffer: 3 << 20})
	a.largest = 2 << 20 // as somebody else's sender
	var sending sync.WaitGroup
	sending.Go(func() { _ = a.Send(soon(t), Message{Data: filled(MaxMessage + 1)}) })
	err := wantEnd(t, b)
	if a, ok := errors.AsType[*AbortError](err); !ok || a.Remote || a.Reason != "message too long" {
		t.Errorf("receiver: %v", err)
	}
	if err := wantEnd(t, a); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("sender: %v", err)
	}
	sending.Wait()
}

// Send waits for room, as long as its context says, and is woken by room.
func TestKernelSendWaits(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, &Config{ReceiveBuffer: 64 << 10, SendBuffer: 64 << 10})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	sent := 0
	var err error
	for ; err == nil; sent++ {
		if sent > 1000 {
			t.Fatal("the send buffer does not fill")
		}
		err = a.Send(ctx, Message{Data: filled(10_000)})
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("full: %v", err)
	}
	sent-- // the last one was not
	done := make(chan error, 1)
	go func() { done <- a.Send(soon(t), Message{Stream: 1, Data: []byte("last")}) }() // ends with the room
	for range sent {
		if m := wantMessage(t, b); m.Stream != 0 || len(m.Data) != 10_000 {
			t.Fatalf("%d octets on stream %d", len(m.Data), m.Stream)
		}
	}
	if m := wantMessage(t, b); m.Stream != 1 {
		t.Errorf("a message that was given up arrives")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Who waits for a message takes no thread of the system's.
func TestKernelWaitingTakesNoThread(t *testing.T) {
	const n = 20
	l := listen(t, loopback, &Config{MaxStreams: 16})
	threads := func() int {
		list, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	var conns []*Conn
	for range n {
		a, b := join(t, l, nil, loopback[:1], 0, &Config{MaxStreams: 16})
		conns = append(conns, a, b)
	}
	before := threads()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for _, c := range conns {
		waiting.Go(func() { // ends with ctx
			if m, err := receive(ctx, c); err != context.Canceled {
				t.Errorf("%v, %v", m, err)
			}
		})
		for len(c.sock.in.turn) == 0 {
			runtime.Gosched() // until it has the direction
		}
	}
	if after := threads(); after > before+n/2 {
		t.Errorf("%d threads before %d waited, %d then", before, len(conns), after)
	}
	cancel()
	waiting.Wait()
}

// A context ends one Recv, not the association.
func TestKernelRecvContext(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for {
		_, e, err := b.Recv(ctx)
		if err == nil && e.Kind != NoEvent {
			continue
		}
		if err != context.DeadlineExceeded {
			t.Fatalf("deadline: %v", err)
		}
		break
	}
	ctx, cancel = context.WithCancel(t.Context())
	canceled := make(chan error, 2)
	for range 2 { // the second one waits for its turn
		go func() { _, _, err := b.Recv(ctx); canceled <- err }() // ends with ctx
	}
	cancel()
	for range 2 {
		if err := <-canceled; err != context.Canceled {
			t.Errorf("canceled: %v", err)
		}
	}
	send(t, a, Message{Data: []byte("still there")})
	if m := wantMessage(t, b); string(m.Data) != "still there" {
		t.Errorf("%q", m.Data)
	}
}

// Close wakes who waits.
func TestKernelCloseWakes(t *testing.T) {
	l := listen(t, loopback, nil)
	a, b := join(t, l, loopback, loopback, 0, nil)
	ends := make(chan error, 3)
	go func() { _, err := l.Accept(t.Context()); ends <- err }() // these end with Close
	for _, c := range []*Conn{a, b} {
		go func() {
			for {
				if _, _, err := c.Recv(t.Context()); err != nil {
					ends <- err
					return
				}
			}
		}()
	}
	l.Close()
	if err := <-ends; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	b.Close()
	for range 2 {
		if err := <-ends; !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Recv: %v", err)
		}
	}
	if !errors.Is(b.Err(), net.ErrClosed) || !errors.Is(a.Err(), syscall.ECONNRESET) {
		t.Errorf("ends: %v and %v", b.Err(), a.Err())
	}
	if err := b.Send(soon(t), Message{Data: []byte("x")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("send after Close: %v", err)
	}
	if err := b.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

// Nobody listens: refused, at once, with the address.
func TestKernelRefused(t *testing.T) {
	for _, encap := range []uint16{0, udpPort} {
		_, err := dialAt(here, soon(t), nil, loopback, encap, &Config{Port: 5999})
		if op, ok := errors.AsType[*OpError](err); !ok || !errors.Is(err, syscall.ECONNREFUSED) || len(op.Addrs) != 2 || op.Port != 5999 {
			t.Errorf("UDP port %d: %v", encap, err)
		} else {
			t.Log(err)
		}
	}
}

func TestKernelWrongAddresses(t *testing.T) {
	listenHere := func(local []netip.Addr) error {
		return here.Do(func() error {
			l, err := Listen(local, nil)
			if err == nil {
				l.Close()
			}
			return err
		})
	}
	err := listenHere(addrs("127.0.0.1", "192.0.2.1"))
	if op, ok := errors.AsType[*OpError](err); !ok || !errors.Is(err, syscall.EADDRNOTAVAIL) || len(op.Addrs) != 1 || op.Addrs[0] != addrs("192.0.2.1")[0] {
		t.Errorf("a foreign address: %v", err)
	} else {
		t.Log(err)
	}
	listen(t, loopback, nil)
	if err := listenHere(loopback); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	if err := listenHere(nil); err == nil {
		t.Error("listens nowhere")
	}
	if _, err := dialAt(here, soon(t), nil, nil, 0, nil); err == nil {
		t.Error("dials nobody")
	}
}

// Many associations at once, over one listener, each with its own messages.
func TestKernelManyAssociations(t *testing.T) {
	const n = 50
	l := listen(t, loopback, &Config{MaxStreams: 16})
	var all sync.WaitGroup
	all.Go(func() {
		for range n {
			c, err := l.Accept(soon(t))
			if err != nil {
				t.Error(err)
				return
			}
			all.Go(func() { // ends with the association
				defer c.Close()
				for {
					m, e, err := c.Recv(soon(t))
					switch {
					case err == io.EOF:
						return
					case err != nil:
						t.Error(err)
						return
					case e.Kind == NoEvent:
						if err := c.Send(soon(t), m); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	})
	for i := range n {
		all.Go(func() {
			c, err := dialAt(here, soon(t), nil, loopback[:1], 0, &Config{MaxStreams: 16})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for j := range 10 {
				want := fmt.Sprint(i, j)
				if err := c.Send(soon(t), Message{Stream: uint16(j), Data: []byte(want)}); err != nil {
					t.Error(err)
				}
				if m, err := receive(soon(t), c); err != nil || string(m.Data) != want {
					t.Errorf("%q comes back as %q, %v", want, m.Data, err)
				}
			}
			c.Shutdown()
			if _, err := receive(soon(t), c); err != io.EOF {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// An association that ends before it is accepted is not handed out.
func TestKernelEndBeforeAccept(t *testing.T) {
	l := listen(t, loopback, nil)
	gone, err := dialAt(here, soon(t), nil, loopback, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone.Abort("changed my mind")
	a, b := join(t, l, nil, loopback, 0, nil)
	send(t, a, Message{Data: []byte("second")})
	if m := wantMessage(t, b); string(m.Data) != "second" {
		t.Errorf("%q", m.Data)
	}
}

// The kernel has what it was told.
func TestKernelOptions(t *testing.T) {
	a, b := pair(t, loopback, loopback, 0, &Config{RTOMin: 80 * time.Millisecond, SACKDelay: 30 * time.Millisecond, PathMaxRetrans: 4, MaxRetrans: 7, HeartbeatInterval: 3 * time.Second})
	for name, c := range map[string]*Conn{"client": a, "server": b} {
		var rto rtoInfo
		var assoc assocParams
		var sack sackInfo
		path := peerAddrParams{addr: toStorage(c.handshake, c.port)}
		limits := thresholds{addr: toStorage(c.handshake, c.port)}
		for num, value := range map[int][]byte{optRTOInfo: octets(&rto), optAssocInfo: octets(&assoc), optDelayedSACK: octets(&sack), optPeerAddrParams: octets(&path), optThresholds: octets(&limits)} {
			if n, err := c.sock.get(num, value); err != nil || n != len(value) {
				t.Errorf("%s: option %d: %d octets, %v", name, num, n, err)
			}
		}
		// The kernel counts in ticks of up to 10 ms, and rounds up.
		is := func(got, want uint32) bool { return got >= want && got < want+10 }
		if !is(rto.min, 80) || !is(rto.initial, 250) || !is(rto.max, 5000) || assoc.maxRetrans != 7 || !is(sack.delay, 30) || sack.freq != 2 {
			t.Errorf("%s: %+v %+v %+v", name, rto, assoc, sack)
		}
		if path.maxRetrans != 4 || !is(path.heartbeat, 3000) || limits.maxRetrans != 4 || limits.pf != 0 {
			t.Errorf("%s: %+v %+v", name, path, limits)
		}
	}
	for name, err := range map[string]error{
		"SetRTOMin": a.SetRTOMin(200 * time.Millisecond), "SetMaxRetrans": a.SetMaxRetrans(6), "SetSACKDelay": a.SetSACKDelay(10 * time.Millisecond),
		"SetThresholds": a.SetThresholds(loopback[1], 8, 1), "SetHeartbeats": a.SetHeartbeats(loopback[1], time.Second),
		"SetPrimary": a.SetPrimary(loopback[1]), "Probe": a.Probe(loopback[1]), "SetEncapPort": a.SetEncapPort(loopback[1], 40000),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, p := range a.Paths() {
		if second := p.Addr == loopback[1]; p.Primary != second || (p.EncapPort == 40000) != second {
			t.Errorf("%+v", p)
		}
	}
	err := a.SetPrimary(addrs("192.0.2.1")[0])
	if op, ok := errors.AsType[*OpError](err); !ok || len(op.Addrs) != 1 {
		t.Errorf("an address that is not the peer's: %v", err)
	}
}

func TestKernelAvailable(t *testing.T) {
	available := func(port uint16) error { return here.Do(func() error { return Available(port) }) }
	if err := errors.Join(available(0), available(udpPort)); err != nil {
		t.Error(err)
	}
	err := available(udpPort + 1)
	want := fmt.Sprintf("kernel SCTP: net.sctp.udp_port is %d, wanted %d: sysctl -w net.sctp.udp_port=%d before the daemon starts", udpPort, udpPort+1, udpPort+1)
	if err == nil || err.Error() != want {
		t.Errorf("another port: %v", err)
	}
	set := func(v int) {
		t.Helper()
		if err := here.Do(func() error { return sysctlWrite("pf_enable", v) }); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	defer set(1)
	if available(0) == nil {
		t.Error("slow failover is not noticed")
	}
}
