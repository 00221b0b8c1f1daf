package kernel

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/testnet"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// soon bounds what is to succeed, in an emulated machine on a busy one.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// listen listens until the test ends.
func listen(t testing.TB, local []netip.Addr, cfg *Config) *Listener {
	t.Helper()
	return listenAt(t, here, local, cfg)
}

func listenAt(t testing.TB, h *testnet.Host, local []netip.Addr, cfg *Config) (l *Listener) {
	t.Helper()
	err := h.Do(func() (err error) { l, err = Listen(local, cfg); return err })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair dials and accepts an association, which ends with the test.
func pair(t testing.TB, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	return join(t, listen(t, remote, cfg), local, remote, encap, cfg)
}

func join(t testing.TB, l *Listener, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	return joinFrom(t, here, l, local, remote, encap, cfg)
}

func joinFrom(t testing.TB, h *testnet.Host, l *Listener, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	client, err := dialAt(h, soon(t), local, remote, encap, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(soon(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func dialAt(h *testnet.Host, ctx context.Context, local, remote []netip.Addr, encap uint16, cfg *Config) (c *Conn, err error) {
	err = h.Do(func() (err error) { c, err = Dial(ctx, local, remote, encap, cfg); return err })
	return c, err
}

// loopback is two addresses of this host.
var loopback = addrs("127.0.0.1", "127.0.0.2")

func send(t testing.TB, c *Conn, m Message) {
	t.Helper()
	if err := c.Send(soon(t), m); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// receive receives the next message; events before it are let pass.
func receive(ctx context.Context, c *Conn) (Message, error) {
	for {
		m, e, err := c.Recv(ctx)
		if err != nil || e.Kind == NoEvent {
			return m, err
		}
	}
}

func wantMessage(t testing.TB, c *Conn) Message {
	t.Helper()
	m, err := receive(soon(t), c)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return m
}

// wantEvent receives until an event that is as wanted.
func wantEvent(t testing.TB, c *Conn, why string, is func(Event) bool) Event {
	t.Helper()
	for {
		_, e, err := c.Recv(soon(t))
		if err != nil {
			t.Fatalf("%s: instead of an event: %v", why, err)
		}
		if is(e) {
			return e
		}
	}
}

// wantEnd receives until the association's end.
func wantEnd(t testing.TB, c *Conn) error {
	t.Helper()
	for {
		if _, _, err := c.Recv(soon(t)); err != nil {
			return err
		}
	}
}

// filled is n octets that differ from place to place.
func filled(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>9)
	}
	return b
}
