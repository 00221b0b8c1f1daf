package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/gate"
	"github.com/sctpmh/mh/internal/lab"
	"github.com/sctpmh/mh/internal/testnet"
)

// serve runs the site's server: it reads a request of two numbers, how many
// octets follow and how many it shall send, does both at once, and answers the
// hash of what it got at the end.
func (s *scene) serve() {
	s.t.Helper()
	l, err := s.Site.Listen("127.0.0.1:8080")
	s.must(err)
	var wg sync.WaitGroup
	wg.Go(func() { // ends when the test closes l
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { // ends with the connection
				defer c.Close()
				_ = serveOne(c.(*net.TCPConn))
			})
		}
	})
	s.t.Cleanup(func() { l.Close(); wg.Wait() })
}

func serveOne(c *net.TCPConn) error {
	var head [16]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	up, down := int64(binary.BigEndian.Uint64(head[:])), int64(binary.BigEndian.Uint64(head[8:]))
	sent := make(chan error, 1)
	go func() { // ends when all is sent
		_, err := io.CopyN(c, stream(2), down)
		sent <- err
	}()
	h := sha256.New()
	if n, err := io.Copy(h, c); err != nil || n != up {
		return fmt.Errorf("%d of %d octets came, %w", n, up, err)
	}
	if err := <-sent; err != nil {
		return err
	}
	_, err := c.Write(h.Sum(nil))
	return err
}

// stream is an endless sequence of octets that depends on seed only.
func stream(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// hash is the hash of the first n octets of a stream.
func hash(seed byte, n int64) []byte {
	h := sha256.New()
	io.CopyN(h, stream(seed), n)
	return h.Sum(nil)
}

// transfer sends and receives through both daemons at once, ends its own
// direction first, and checks every octet of both. progress is told how many
// octets have come.
func (s *scene) transfer(up, down int64, progress *meter) error {
	c, err := s.DialSocks(lab.SiteName, lab.ServicePort)
	if err != nil {
		return err
	}
	return exchange(c, up, down, progress)
}

// exchange is transfer over a connection to the site's server.
func exchange(c *net.TCPConn, up, down int64, progress *meter) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(40 * time.Second))
	sent := make(chan error, 1)
	go func() { // ends when all is sent
		head := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(up)), uint64(down))
		_, err := c.Write(head)
		if err == nil {
			_, err = io.CopyN(c, stream(1), up)
		}
		sent <- errors.Join(err, c.CloseWrite())
	}()
	h := sha256.New()
	if n, err := io.CopyN(io.MultiWriter(h, progress), c, down); err != nil {
		return fmt.Errorf("after %d of %d octets: %w", n, down, err)
	}
	if err := <-sent; err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if !bytes.Equal(h.Sum(nil), hash(2, down)) {
		return errors.New("the download's hash is wrong")
	}
	tail, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(tail, hash(1, up)) {
		return fmt.Errorf("the upload's hash is wrong: %x, %w", tail, err)
	}
	return nil
}

// meter counts octets that have come, for those who wait for a moment of the
// transfer.
type meter struct {
	mu      sync.Mutex
	octets  int64
	changed gate.Signal
}

func (m *meter) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.octets += int64(len(b))
	m.changed.Notify()
	return len(b), nil
}

// await waits until n octets have come. It reports false when the test ends
// before that.
func (m *meter) await(ctx context.Context, n int64) bool {
	for {
		m.mu.Lock()
		reached, changed := m.octets >= n, m.changed.Wait()
		m.mu.Unlock()
		if reached {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// when runs f once n octets have come.
func when(t *testing.T, m *meter, n int64, f func()) (done <-chan struct{}) {
	c := make(chan struct{})
	go func() { // ends with f, or with the test
		defer close(c)
		if m.await(t.Context(), n) {
			f()
		}
	}()
	return c
}

// cuts are the ways in which the first provider fails in the middle of a
// download and upload at once.
func TestTransferSurvives(t *testing.T) {
	for _, test := range []struct {
		what string
		cut  func(s *scene) error
		seen string // the end whose kernel sees it: no timeout is needed there
	}{
		{"cut in both directions", func(s *scene) error { return s.ISP[0].Cut() }, ""},
		{"cut towards the site", func(s *scene) error { return s.ISP[0].Cut(s.Site) }, ""},
		{"cut towards the laptop", func(s *scene) error { return s.ISP[0].Cut(s.Laptop) }, ""},
		{"carrier lost at the laptop", func(s *scene) error { return s.ISP[0].Carrier(s.Laptop, false) }, "laptop"},
		{"device switched off at the laptop", func(s *scene) error { return s.ISP[0].Device(s.Laptop, false) }, "laptop"},
		{"addresses taken from the laptop", func(s *scene) error { return s.ISP[0].Unaddress(s.Laptop) }, "laptop"},
		{"routes taken from the laptop", func(s *scene) error { return s.ISP[0].Unroute(s.Laptop) }, "laptop"},
		{"device switched off at the site", func(s *scene) error { return s.ISP[0].Device(s.Site, false) }, "site"},
		{"carrier lost at the site", func(s *scene) error { return s.ISP[0].Carrier(s.Site, false) }, "site"},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil)
			var progress meter
			cut := when(t, &progress, 3<<20, func() {
				if err := test.cut(s); err != nil {
					t.Error(err)
				}
			})
			s.must(s.transfer(8<<20, 12<<20, &progress))
			<-cut
			moved := append(s.gw.Failovers(), s.socks.Failovers()...)
			if len(moved) == 0 {
				t.Error("no failover: the cut came too late")
			}
			for _, f := range moved {
				if f.StallMS > 1000 {
					t.Errorf("stall of %.0f ms", f.StallMS)
				}
			}
			s.wantSeen(test.seen)
			s.wantExactEnd()
		})
	}
}

// wantSeen checks that the program at one end, or none, heard from its kernel
// that an address leads nowhere. On a busy machine a timeout may have come first,
// so the cause of the failover says nothing.
func (s *scene) wantSeen(end string) {
	s.t.Helper()
	for name, p := range map[string]*lab.Proc{"site": s.gw, "laptop": s.socks} {
		if name != end {
			if l := p.Lines("local address"); len(l) > 0 {
				s.t.Errorf("%s: %v", name, l)
			}
			continue
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		defer cancel()
		s.must(p.Await(ctx, "local address", 1))
	}
}

// wantExactEnd checks the line that each daemon logs of the stream.
func (s *scene) wantExactEnd() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	for _, p := range []*lab.Proc{s.gw, s.socks} {
		s.must(p.Await(ctx, "stream finished", 1))
		if e := p.Lines("stream finished")[0]["error"]; e != nil {
			s.t.Errorf("%s: the stream ended with %v", p.Name, e)
		}
	}
}

func TestFirstPathDeadBeforeConnect(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.must(s.ISP[0].Cut())
	start := time.Now()
	var progress meter
	s.must(s.transfer(1<<10, 1<<10, &progress))
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("connect and a small transfer took %v", took)
	}
}

// The providers die in turn while data flows both ways.
func TestAlternatingCuts(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var progress meter
	var wg sync.WaitGroup
	for i := range int64(6) { // 4 MiB dark, 1 MiB in between, in turn
		isp, from := s.ISP[i%2], (1+5*i)<<20
		wg.Go(func() { // ends with the transfer
			for n, do := range []func(...*testnet.Host) error{isp.Cut, isp.Restore} {
				if !progress.await(t.Context(), from+int64(n)*4<<20) {
					return
				}
				if err := do(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	s.must(s.transfer(32<<20, 32<<20, &progress))
	wg.Wait()
	if n := len(s.gw.Failovers()) + len(s.socks.Failovers()); n < 4 {
		t.Errorf("%d failovers", n)
	}
}

// A name that holds a stranger's address: the stranger gets no data and at
// most three probes.
func TestStrangerIsLeftAlone(t *testing.T) {
	t.Parallel()
	var heard sync.Map // chunk type -> *atomic.Int64
	s := newScene(t, func(l *lab.Lab) {
		stranger, err := l.Net.Host("stranger")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.ISP[0].Attach(stranger); err != nil {
			t.Fatal(err)
		}
		addr := stranger.Addrs()[0]
		c, err := stranger.ListenPacket(net.JoinHostPort(addr.String(), "9899"))
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // ends when the test closes c
			defer close(done)
			buf := make([]byte, 2048)
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				if n > 12 {
					count, _ := heard.LoadOrStore(buf[12], new(atomic.Int64))
					count.(*atomic.Int64).Add(1)
				}
			}
		}()
		t.Cleanup(func() { c.Close(); <-done })
		if err := l.SetZone(l.Zone(addr)); err != nil {
			t.Fatal(err)
		}
	})
	var progress meter
	// The gateway's path dies, so that there is every reason to try others.
	cut := when(t, &progress, 2<<20, func() {
		if err := s.ISP[1].Cut(); err != nil {
			t.Error(err)
		}
		if err := s.ISP[0].Cut(s.Site); err != nil {
			t.Error(err)
		}
	})
	restored := when(t, &progress, 2<<20, func() {
		<-cut
		<-time.After(4 * time.Second)
		if err := errors.Join(s.ISP[0].Restore(s.Site), s.ISP[1].Restore()); err != nil {
			t.Error(err)
		}
	})
	s.must(s.transfer(8<<20, 8<<20, &progress))
	<-restored
	total := int64(0)
	heard.Range(func(k, v any) bool {
		n := v.(*atomic.Int64).Load()
		t.Logf("chunk type %d: %d packets", k, n)
		if typ := k.(byte); typ != 1 && typ != 4 {
			t.Errorf("the stranger got %d packets with chunk type %d", n, typ)
		}
		total += n
		return true
	})
	if total == 0 || total > 3 {
		t.Errorf("the stranger got %d probes, want 1 to 3", total)
	}
}

// Random and truncated packets and requests harm nothing.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var progress meter
	s.must(s.transfer(1000, 1000, &progress))
	rng := rand.New(rand.NewPCG(1, 2))
	udp, err := s.Laptop.ListenPacket(net.JoinHostPort(s.Laptop.Addrs()[0].String(), "0"))
	s.must(err)
	defer udp.Close()
	gw := net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.Site.Addrs()[0], 9899))
	for range 2000 {
		b := make([]byte, rng.IntN(1300))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if len(b) > 16 {
			binary.BigEndian.PutUint16(b[2:], 5000)
			b[12] = byte(rng.IntN(16))
			binary.BigEndian.PutUint16(b[14:], uint16(rng.IntN(len(b))))
		}
		_, err := udp.WriteTo(b, gw)
		s.must(err)
	}
	for range 50 {
		c, err := s.Laptop.Dial("tcp", "127.0.0.1:1080")
		s.must(err)
		b := make([]byte, rng.IntN(300))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if len(b) > 0 {
			b[0] = []byte{5, 4, 'C', byte(rng.Uint32())}[rng.IntN(4)]
		}
		c.Write(b)
		c.Close()
	}
	s.must(s.transfer(100_000, 100_000, &progress))
}

// What cannot work says which step failed, and where.
func TestErrorsSayWhatFailed(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	expect := func(host string, port int, reply byte, words ...string) {
		t.Helper()
		before := len(s.socks.Lines("connection failed"))
		_, err := s.DialSocks(host, port)
		if err != lab.SocksError(reply) {
			t.Errorf("%s:%d: %v, want reply %d", host, port, err, reply)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s.must(s.socks.Await(ctx, "connection failed", before+1))
		text := fmt.Sprint(s.socks.Lines("connection failed")[before]["error"])
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("%s:%d: %q does not say %q", host, port, text, w)
			}
		}
	}
	expect("nowhere.example.net", 80, 4, "nowhere.example.net", "no such name", "10.")
	expect(lab.SiteName, 99, 2, "not authorised", "port 99", "no such service")
	expect("localhost", 80, 4, "localhost", "special-use")
	s.gw.Stop()
	expect(lab.SiteName, 80, 5, lab.GatewayName, "timed out", "10.1.2.2:9899", "10.1.2.2:80: connect: connection refused")
	for _, d := range s.DNS {
		d.Close()
	}
	s.DNS = nil
	expect("fresh.example.net", 80, 4, "fresh.example.net", "no answer")
}
