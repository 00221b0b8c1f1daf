package tcpemu

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/sctpmh/mh/sctpmh"
)

func TestNettest(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		w := newWorld(t, names{})
		a, b := w.pipe()
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestHalfCloseIsExact(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	_, err := a.Write([]byte("question"))
	must(t, err)
	must(t, a.CloseWrite())
	q, err := io.ReadAll(b)
	if string(q) != "question" || err != nil {
		t.Fatalf("read %q, %v", q, err)
	}
	if _, err := a.Write([]byte("more")); err == nil {
		t.Error("Write after CloseWrite succeeds")
	}
	answer := make([]byte, 2<<20)
	rand.Read(answer)
	go func() { // ends when the other side has read all
		b.Write(answer)
		b.Close()
	}()
	got, err := io.ReadAll(a)
	if !bytes.Equal(got, answer) || err != nil {
		t.Errorf("read %d octets, %v", len(got), err)
	}
	must(t, a.Close())
}

func TestBulkBothWays(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	data := make([]byte, 16<<20)
	rand.Read(data)
	var wg sync.WaitGroup
	for _, c := range []*Conn{a, b} {
		wg.Go(func() { // ends when all is written
			c.Write(data)
			c.CloseWrite()
		})
		wg.Go(func() { // ends at EOF
			h := sha256.New()
			n, err := io.Copy(h, c)
			if n != int64(len(data)) || err != nil || sha256.Sum256(data) != [32]byte(h.Sum(nil)) {
				t.Errorf("read %d octets, %v", n, err)
			}
		})
	}
	wg.Wait()
}

func TestResetIsSeenAsSuch(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	a.Reset()
	_, err := b.Read(make([]byte, 1))
	wantIs(t, "Read after the peer's reset", err, syscall.ECONNRESET)
	_, err = b.Write([]byte("x"))
	wantIs(t, "Write after the peer's reset was told", err, syscall.EPIPE)
	_, err = a.Read(make([]byte, 1))
	wantIs(t, "Read after own reset", err, net.ErrClosed)
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	_, err := a.Write([]byte("never read"))
	must(t, err)
	must(t, b.SetReadDeadline(time.Now().Add(5*time.Second)))
	_, err = b.Read(make([]byte, 1))
	must(t, err)
	must(t, b.Close())
	_, err = a.Read(make([]byte, 1))
	wantIs(t, "Read", err, syscall.ECONNRESET)
}

func TestAStalledReaderStallsOnlyItsOwnStream(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	must(t, a.SetWriteDeadline(time.Now().Add(500*time.Millisecond)))
	n, err := a.Write(make([]byte, 8<<20))
	wantIs(t, "Write into a full window", err, os.ErrDeadlineExceeded)
	if n > initialWindow {
		t.Errorf("%d octets written, credit was %d", n, initialWindow)
	}
	c, d := w.pipe()
	_, err = c.Write([]byte("ping"))
	must(t, err)
	buf := make([]byte, 4)
	_, err = io.ReadFull(d, buf)
	must(t, err)
	// And the stalled one goes on.
	go io.Copy(io.Discard, b) // ends when a closes
	must(t, a.SetWriteDeadline(time.Time{}))
	_, err = a.Write(make([]byte, 1<<20))
	must(t, err)
	must(t, a.Close())
}

func TestStreamNumbersAreReused(t *testing.T) {
	w := newWorld(t, names{})
	seen := make(map[uint16]bool)
	for range 200 {
		a, b := w.pipe()
		seen[a.sid] = true
		_, err := a.Write([]byte("x"))
		must(t, err)
		must(t, a.CloseWrite())
		_, err = io.ReadAll(b)
		must(t, err)
		must(t, b.Close())
		_, err = io.ReadAll(a)
		must(t, err)
		must(t, a.Close())
	}
	if len(seen) > 3 {
		t.Errorf("200 connections one after the other used %d stream numbers", len(seen))
	}
}

func TestRefusedAndUnknown(t *testing.T) {
	w := newWorld(t, names{})
	go func() { // ends with one refusal
		o, err := w.l.AcceptOpen(context.Background())
		if err == nil {
			o.Reject(CodeDenied, "port 22 is not served")
		}
	}()
	_, err := w.dialer.DialContext(t.Context(), "mh", "server.example:22")
	wantIs(t, "denied dial", err, syscall.EACCES)
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("port 22 is not served")) {
		t.Errorf("the peer's words are lost: %v", err)
	}
	_, err = w.dialer.DialContext(t.Context(), "mh", "legacy.example:22")
	wantIs(t, "dial of a legacy host", err, syscall.EPROTONOSUPPORT)
}

func TestViaGatewayCarriesTheTarget(t *testing.T) {
	w := newWorld(t, names{})
	w.dialer.Via = "gw.example"
	for _, want := range []string{"www.example:443", "192.0.2.1:80", "[2001:db8::1]:80"} {
		got := make(chan string, 1)
		go func() { // ends with one accept
			if o, err := w.l.AcceptOpen(context.Background()); err == nil {
				got <- o.Target.String()
				o.Accept(netip.AddrPort{})
			}
		}()
		c, err := w.dialer.DialContext(t.Context(), "tcp", want)
		must(t, err)
		if g := <-got; g != want {
			t.Errorf("gateway was asked for %q, want %q", g, want)
		}
		if c.RemoteAddr().String() != want {
			t.Errorf("RemoteAddr %v", c.RemoteAddr())
		}
		c.Close()
	}
}

func TestClaimIsVerifiedAndAddressesPermitted(t *testing.T) {
	w := newWorld(t, names{verify: func(src netip.Addr, claim string) (Identity, []netip.Addr, error) {
		return Identity{Name: claim, Binding: "claim"}, []netip.Addr{netip.MustParseAddr("127.0.0.77")}, nil
	}})
	_, b := w.pipe()
	id, err := b.s.identity.wait(t.Context())
	if id.Name != "client.example" || err != nil {
		t.Errorf("identity %+v, %v", id, err)
	}
	probed := slices.ContainsFunc(b.Paths(), func(p sctpmh.PathInfo) bool { return p.Remote.Addr() == netip.MustParseAddr("127.0.0.77") })
	switch {
	case backends.listener == sctpmh.Kernel: // it knows only what the peer listed
		if probed {
			t.Errorf("an address that was not listed is probed: %+v", b.Paths())
		}
	case backends.dialer == sctpmh.Kernel:
		// The kernel's UDP port is open on all addresses of the host, this one
		// included, and it answers a probe there with an ABORT: the path is gone
		// again, sooner or later than this.
	case !probed:
		t.Errorf("the permitted address is not probed: %+v", b.Paths())
	}
}

func TestPeerAbortResetsEveryStream(t *testing.T) {
	w := newWorld(t, names{})
	a, b := w.pipe()
	c, _ := w.pipe()
	b.s.assoc.Abort("crash")
	for _, x := range []*Conn{a, c} {
		_, err := x.Read(make([]byte, 1))
		wantIs(t, "Read", err, syscall.ECONNRESET)
	}
	// The next dial makes a new association.
	d, e := w.pipe()
	if d.AssocID() == a.AssocID() {
		t.Error("the dead association is used again")
	}
	d.Close()
	e.Close()
}

func TestCloseUnblocksEverything(t *testing.T) {
	w := newWorld(t, names{})
	a, _ := w.pipe()
	read, write := make(chan error, 1), make(chan error, 1)
	go func() { // ends when Close unblocks it
		_, err := a.Read(make([]byte, 1))
		read <- err
	}()
	go func() { // ends when Close unblocks it
		_, err := a.Write(make([]byte, 8<<20))
		write <- err
	}()
	_, err := a.s.identity.wait(t.Context())
	must(t, err)
	must(t, a.Close())
	wantIs(t, "Read", <-read, net.ErrClosed)
	wantIs(t, "Write", <-write, net.ErrClosed)
}

func TestManyConcurrentDialsShareOneAssociation(t *testing.T) {
	w := newWorld(t, names{})
	go func() { // ends when the listener closes
		for {
			c, err := w.l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }() // ends at EOF
		}
	}()
	var wg sync.WaitGroup
	ids := make(chan uint64, 100)
	for range 100 {
		wg.Go(func() { // ends when its echo is back
			c, err := w.dialer.DialContext(context.Background(), "mh", "server.example:7")
			if err != nil {
				t.Error(err)
				return
			}
			msg := make([]byte, 10_000)
			rand.Read(msg)
			go func() { c.Write(msg); c.(*Conn).CloseWrite() }()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, msg) {
				t.Errorf("echo of %d octets, %v", len(got), err)
			}
			c.Close()
			ids <- c.(*Conn).AssocID()
		})
	}
	wg.Wait()
	first := <-ids
	for range 99 {
		if id := <-ids; id != first {
			t.Errorf("association %d beside %d", id, first)
		}
	}
}

// A thousand readers that stall hold no more memory than the association's
// sum of windows and what each may send early.
func TestManyStalledReadersAreBounded(t *testing.T) {
	w := newWorld(t, names{})
	go func() { // ends when the listener closes
		for {
			if _, err := w.l.Accept(); err != nil {
				return
			}
		}
	}()
	var first *Conn
	sent := 0
	for range 1000 {
		x, err := w.dialer.DialContext(t.Context(), "mh", "server.example:7")
		must(t, err)
		c := x.(*Conn)
		if first == nil {
			first = c
		}
		must(t, c.SetWriteDeadline(time.Now().Add(time.Millisecond)))
		n, _ := c.Write(make([]byte, 1<<20))
		sent += n
	}
	if limit := int(first.s.windows.of.assoc()) + 1000*earlyCredit; sent > limit {
		t.Errorf("%d octets are held for readers that stall, limit %d", sent, limit)
	}
	if got := first.s.windows.beyond.Load(); got > first.s.windows.of.assoc() || got <= 0 {
		t.Errorf("windows of %d octets", got)
	}
}
