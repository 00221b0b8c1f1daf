package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"testing"
)

// rawPair returns two raw sockets on addresses of the loopback device.
func rawPair(t *testing.T) (a, b *Socket) {
	t.Helper()
	for _, p := range []struct {
		into **Socket
		addr string
	}{{&a, "127.0.0.3"}, {&b, "127.0.0.4"}} {
		s, err := ListenRaw(netip.MustParseAddr(p.addr), false)
		if errors.Is(err, os.ErrPermission) {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		*p.into = s
	}
	return a, b
}

func TestRawCarriesPackets(t *testing.T) {
	a, b := rawPair(t)
	for _, n := range []int{12, 1400, 9000} {
		want := bytes.Repeat([]byte{byte(n)}, n)
		if err := a.Send(want, n, b.Local(), Marks{ECT: n == 1400}, make([]byte, 0, 64)); err != nil {
			t.Fatal(err)
		}
		batch, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		got, _ := batch.Next()
		if batch.Src != a.Local() || !bytes.Equal(got, want) {
			t.Errorf("%d octets from %v, want %d from %v", len(got), batch.Src, n, a.Local())
		}
		batch.Release()
	}
}

// Several packets leave one by one: there is no offload.
func TestRawSendsApart(t *testing.T) {
	a, b := rawPair(t)
	data := bytes.Repeat([]byte{1}, 2500)
	if err := a.Send(data, 1000, b.Local(), Marks{}, nil); err != nil {
		t.Fatal(err)
	}
	for i, p := range receive(t, b, 3) {
		if want := []int{1000, 1000, 500}[i]; len(p) != want {
			t.Errorf("packet %d has %d octets, want %d", i, len(p), want)
		}
	}
}

func TestPastHeader(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"\x45" + string(make([]byte, 19)) + "payload", "payload"},
		{"\x46" + string(make([]byte, 23)) + "payload", "payload"},
		{"\x4fshort", ""},
	} {
		if got := pastHeader([]byte(c.in)); string(got) != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}
