package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func listen(t *testing.T, addr string) *Socket {
	t.Helper()
	s, err := Listen(netip.MustParseAddrPort(addr), true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// receive returns the next count packets.
func receive(t *testing.T, s *Socket, count int) (packets [][]byte) {
	t.Helper()
	for len(packets) < count {
		b, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		for p, ok := b.Next(); ok; p, ok = b.Next() {
			packets = append(packets, bytes.Clone(p))
		}
		b.Release()
	}
	return packets
}

//rfc:6951 5.3-1 5.3-2
func TestTrainArrivesAsItsPackets(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		for _, gso := range []bool{true, false} {
			a, b := listen(t, addr), listen(t, addr)
			if !gso {
				a.gso.Store(false)
			}
			var train Train
			for i, n := range []int{1200, 1200, 1200, 300} {
				if !train.Fits(n, a, b.Local(), Marks{}) {
					t.Fatalf("packet %d does not fit", i)
				}
				train.Buf = append(train.Buf, bytes.Repeat([]byte{byte(i)}, n)...)
				if last := train.Push(n, a, b.Local(), Marks{}); last != (n == 300) {
					t.Errorf("packet %d: last %v", i, last)
				}
			}
			if train.Fits(1201, a, b.Local(), Marks{}) || train.Fits(10, a, a.Local(), Marks{}) {
				t.Error("a larger packet, or one to elsewhere, fits")
			}
			if err := train.Leave(); err != nil {
				t.Fatal(err)
			}
			for i, p := range receive(t, b, 4) {
				if want := []int{1200, 1200, 1200, 300}[i]; len(p) != want || p[0] != byte(i) {
					t.Errorf("%s gso %v: packet %d has %d octets of %d", addr, gso, i, len(p), p[0])
				}
			}
		}
	}
}

func TestMarksDoNotShareATrain(t *testing.T) {
	a := listen(t, "127.0.0.1:0")
	for _, c := range []struct {
		first, next Marks
		last, fits  bool
	}{
		{Marks{}, Marks{}, false, true},
		{Marks{ECT: true}, Marks{ECT: true}, false, true},
		{Marks{ECT: true}, Marks{}, false, false},
		{Marks{}, Marks{ECT: true}, false, false},
		{Marks{}, Marks{Fragment: true}, false, false},
		{Marks{Fragment: true}, Marks{}, true, false},
		{Marks{Fragment: true}, Marks{Fragment: true}, true, false},
	} {
		var train Train
		if !train.Fits(100, a, a.Local(), c.first) {
			t.Errorf("%+v does not fit an empty train", c.first)
		}
		if last := train.Push(100, a, a.Local(), c.first); last != c.last {
			t.Errorf("%+v: last %v", c.first, last)
		}
		if fits := train.Fits(100, a, a.Local(), c.next); fits != c.fits {
			t.Errorf("%+v behind %+v: fits %v", c.next, c.first, fits)
		}
	}
}

func TestLonePacketDoesNotHoldABigBuffer(t *testing.T) {
	a, b := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	if err := a.Send([]byte("hello"), 5, b.Local(), Marks{}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := b.Receive()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.buf) != smallBatch || got.Src != a.Local() {
		t.Errorf("buffer of %d octets from %v", len(got.buf), got.Src)
	}
}

//rfc:9260 8.4-1
func TestWildcardIsRefused(t *testing.T) {
	if _, err := Listen(netip.MustParseAddrPort("0.0.0.0:0"), false); err == nil {
		t.Error("no error")
	}
}

func TestCloseEndsReceive(t *testing.T) {
	s := listen(t, "127.0.0.1:0")
	done := make(chan error)
	go func() { // ends when Close makes Receive fail
		_, err := s.Receive()
		done <- err
	}()
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Receive: %v", err)
	}
}
