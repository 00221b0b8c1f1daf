package sctpmh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrs(s ...string) (out []netip.AddrPort) {
	for _, a := range s {
		out = append(out, netip.MustParseAddrPort(a))
	}
	return out
}

// listen opens an endpoint that is closed with the test.
func listen(t testing.TB, cfg *Config, local ...string) *Endpoint {
	t.Helper()
	e, err := Listen(addrs(local...), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// connect joins two endpoints.
func connect(t testing.TB, from, to *Endpoint, remote []netip.AddrPort) (a, b *Assoc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := from.Dial(ctx, remote)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = to.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	return a, b
}

// transfer sends size octets in messages over two streams and compares hashes.
func transfer(t testing.TB, a, b *Assoc, size, message int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	sent := make(chan [32]byte, 1)
	fail := make(chan error, 1)
	go func() { // ends when all is sent or ctx ends
		h := sha256.New()
		rng := rand.NewChaCha8([32]byte{1})
		for left := size; left > 0; {
			m := make([]byte, min(left, message))
			rng.Read(m)
			h.Write(m)
			left -= len(m)
			if err := a.Send(ctx, Message{Stream: 3, PPID: 9, Data: m}); err != nil {
				fail <- err
				return
			}
		}
		sent <- [32]byte(h.Sum(nil))
	}()
	h := sha256.New()
	for got := 0; got < size; {
		m, err := b.Recv(ctx)
		if err != nil {
			select {
			case err = <-fail:
			default:
			}
			t.Fatalf("after %d of %d octets: %v\na: %+v\nb: %+v", got, size, err, a.Stats(), b.Stats())
		}
		if m.Stream != 3 || m.PPID != 9 {
			t.Fatalf("message on stream %d, PPID %d", m.Stream, m.PPID)
		}
		h.Write(m.Data)
		got += len(m.Data)
	}
	if want := <-sent; want != [32]byte(h.Sum(nil)) {
		t.Fatal("hashes differ")
	}
}

//rfc:6951 5.3-3
func TestTransfer(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		e, f := listen(t, nil, local), listen(t, nil, local)
		a, b := connect(t, e, f, f.Addrs())
		transfer(t, a, b, 8<<20, 1200)
		transfer(t, b, a, 1<<20, 100_000)
		transfer(t, a, b, 1000, 1)
	}
}

func TestShutdownThenEOF(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	ctx := t.Context()
	for i := range 100 {
		if err := a.Send(ctx, Message{Data: []byte{byte(i), 0}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Shutdown(ctx); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	for i := range 100 {
		if m, err := b.Recv(ctx); err != nil || m.Data[0] != byte(i) {
			t.Fatalf("message %d: %v %v", i, m, err)
		}
	}
	if _, err := b.Recv(ctx); err != io.EOF {
		t.Errorf("after the last message: %v", err)
	}
	if err := a.Send(ctx, Message{Data: []byte("x")}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send after Shutdown: %v", err)
	}
}

//rfc:9260 9.1-3 9.1-6 9.1-7
func TestAbort(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	a.Abort("enough")
	_, err := b.Recv(t.Context())
	var abort *AbortError
	if !errors.As(err, &abort) || !abort.Remote || abort.Reason != "enough" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Recv: %v", err)
	}
	if _, err := a.Recv(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("own Recv: %v", err)
	}
}

func TestRefusedByClosedEndpoint(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, &Config{MaxAssociations: 1}, "127.0.0.1:0")
	connect(t, e, f, f.Addrs())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	a, err := e.Dial(ctx, f.Addrs())
	if err == nil {
		_, err = a.Recv(ctx) // the handshake is complete before the limit is looked at
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("beyond the limit: %v", err)
	}
}

func TestDialTimeoutNamesWhatWasTried(t *testing.T) {
	e := listen(t, nil, "127.0.0.1:0")
	hole, err := net.ListenPacket("udp", "127.0.0.9:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = e.Dial(ctx, addrs(hole.LocalAddr().String()))
	if !errors.Is(err, syscall.ETIMEDOUT) || !bytes.Contains([]byte(err.Error()), []byte("127.0.0.9")) {
		t.Errorf("Dial: %v", err)
	}
	if _, err := e.Dial(ctx, addrs("[2001:db8::1]:9899")); !errors.Is(err, syscall.ENETUNREACH) {
		t.Errorf("Dial without a local address of the family: %v", err)
	}
}

func TestIdleReaderClosesTheWindow(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, &Config{ReceiveBuffer: 128 << 10}, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	sent := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := a.Send(ctx, Message{Stream: 3, PPID: 9, Data: make([]byte, 10_000)})
		cancel()
		if err != nil {
			break
		}
		if sent += 10_000; sent > 8<<20 {
			t.Fatal("no back pressure")
		}
	}
	for got := 0; got < sent; {
		m, err := b.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got += len(m.Data)
	}
}

// A message that the peer cannot put together is refused, not lost.
//
//rfc:9260 3.3.1-5 6.2-32
func TestTooBigForThePeer(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, &Config{ReceiveBuffer: 32 << 10}, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	if err := a.Send(t.Context(), Message{Data: make([]byte, 100_000)}); !errors.Is(err, ErrTooBig) {
		t.Errorf("Send: %v", err)
	}
	if err := a.Send(t.Context(), Message{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("Send of nothing: %v", err)
	}
	transfer(t, a, b, 100_000, a.Peer().MaxMessage)
}

// relay passes datagrams between one client and a server, until silent.
type relay struct {
	conn   *net.UDPConn
	silent atomic.Bool
}

func newRelay(t *testing.T, at string, server netip.AddrPort) *relay {
	t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{conn: c}
	done := make(chan struct{})
	go func() { // ends when the test closes the socket
		defer close(done)
		var client netip.AddrPort
		buf := make([]byte, 1<<16)
		for {
			n, src, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			to := server
			if src == server {
				to = client
			} else {
				client = src
			}
			if !r.silent.Load() && to.IsValid() {
				c.WriteToUDPAddrPort(buf[:n], to)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return r
}

func (r *relay) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

//rfc:6951 5.5-2
func TestTransferSurvivesASilentPath(t *testing.T) {
	f := listen(t, nil, "127.0.0.1:0")
	e := listen(t, nil, "127.0.0.1:0")
	r1, r2 := newRelay(t, "127.0.1.1:0", f.Addrs()[0]), newRelay(t, "127.0.1.2:0", f.Addrs()[0])
	a, b := connect(t, e, f, []netip.AddrPort{r1.addr()})
	// The second relay has another port, which only a dial could know: permit
	// its address and let the other end be heard over it.
	b.Permit([]netip.Addr{r2.addr().Addr()})
	a.Permit([]netip.Addr{r2.addr().Addr()})
	l := loopOf(a)
	l.do(func() { l.engine.AddPath(userOf(e).now(), enginePair(e.Addrs()[0], r2.addr())) })
	awaitConfirmed(t, a, 2)
	awaitConfirmed(t, b, 2)
	stop := time.AfterFunc(20*time.Millisecond, func() { r1.silent.Store(true) })
	defer stop.Stop()
	for range 20 {
		transfer(t, a, b, 1<<20, 1200)
		if r1.silent.Load() && len(a.Failovers()) > 0 {
			break
		}
	}
	fo := a.Failovers()
	// The data's timer tells, or the question that went to the silent path with
	// the tail loss probe: they run out within moments of each other.
	if len(fo) != 1 || fo[0].Cause != "timeout" && fo[0].Cause != "probe" || fo[0].To.Remote != r2.addr() {
		t.Fatalf("failovers %v", fo)
	}
	t.Logf("stall %v", fo[0].Stall)
}

func confirmed(a *Assoc) (n int) {
	for _, p := range a.Paths() {
		if p.Confirmed {
			n++
		}
	}
	return n
}

// awaitConfirmed waits until an association has so many confirmed paths.
func awaitConfirmed(t *testing.T, a *Assoc, n int) {
	t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		changed := a.PathsChanged()
		if confirmed(a) >= n {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%d paths are confirmed, want %d: %+v", confirmed(a), n, a.Paths())
		}
	}
}

func TestCloseWithTraffic(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	ctx := t.Context()
	done := make(chan error, 2)
	for _, x := range []*Assoc{a, b} {
		go func() { // ends when its association does
			for {
				if err := x.Send(ctx, Message{Data: make([]byte, 1000)}); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range 1000 {
		if _, err := b.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	e.Close()
	f.Close()
	for range 2 {
		if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Send: %v", err)
		}
	}
}

func TestManyStreams(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	const streams, each = 500, 4
	go func() { // ends when all is sent
		for i := range each {
			for s := range streams {
				a.Send(t.Context(), Message{Stream: uint16(s), Data: fmt.Append(nil, s, i)})
			}
		}
	}()
	next := make([]int, streams)
	for range streams * each {
		m, err := b.Recv(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Append(nil, m.Stream, next[m.Stream]); !bytes.Equal(m.Data, want) {
			t.Fatalf("stream %d: %q, want %q", m.Stream, m.Data, want)
		}
		next[m.Stream]++
	}
	if err := a.Send(t.Context(), Message{Stream: 60000, Data: []byte("x")}); !errors.Is(err, ErrStream) {
		t.Errorf("stream beyond the limit: %v", err)
	}
}

func BenchmarkBulk(b *testing.B) {
	e, f := listen(b, nil, "127.0.0.1:0"), listen(b, nil, "127.0.0.1:0")
	x, y := connect(b, e, f, f.Addrs())
	const size = 1200
	b.SetBytes(size)
	b.ReportAllocs()
	go func() { // ends after b.N messages
		m := make([]byte, size)
		for range b.N {
			x.Send(context.Background(), Message{Data: m})
		}
	}()
	for range b.N {
		if _, err := y.Recv(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}
