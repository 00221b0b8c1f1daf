package kernel

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// soon bounds what is to succeed.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// listen listens until the test ends.
func listen(t testing.TB, local []netip.Addr, cfg *Config) *Listener {
	t.Helper()
	l, err := Listen(local, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pair dials and accepts an association, which ends with the test.
func pair(t testing.TB, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	l := listen(t, remote, cfg)
	return join(t, l, local, remote, encap, cfg)
}

func join(t testing.TB, l *Listener, local, remote []netip.Addr, encap uint16, cfg *Config) (client, server *Conn) {
	t.Helper()
	client, err := Dial(soon(t), local, remote, encap, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// loopback is two addresses of this host.
var loopback = addrs("127.0.0.1", "127.0.0.2")

func send(t testing.TB, c *Conn, m Message) {
	t.Helper()
	if err := c.Send(soon(t), m); err != nil {
		t.Fatalf("send: %v", err)
	}
}

// wantMessage receives the next message; events before it are let pass.
func wantMessage(t testing.TB, c *Conn) Message {
	t.Helper()
	for {
		m, e, err := c.Recv(soon(t))
		if err != nil {
			t.Fatalf("receive: %v", err)
		}
		if e.Kind == NoEvent {
			return m
		}
	}
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

func describe(paths []Path) (s string) {
	for _, p := range paths {
		s += fmt.Sprintf("\n%+v", p)
	}
	return s
}
