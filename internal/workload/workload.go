// Package workload is what programs do with connections: HTTP/1.1, HTTP/2,
// TLS and RPC of the standard library and SSH of golang.org/x/crypto, each
// with a client and a server that check one another to the octet. Nothing of
// them knows what carries them:
//
//	workload.HTTP(t, func(t *testing.T) workload.Net {
//		l, d := ...
//		return workload.Net{Listener: l, Dial: d.DialContext}
//	})
//
// Over TCP they show that the workloads are right, over another transport that
// it is. They wait for what happens and not for time to pass: however slow the
// network is, what they see is the same.
package workload

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// A Net is a listener and what connects to it.
type Net struct {
	Listener net.Listener
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// Open returns a listener that nobody has used yet. What it makes ends with t.
type Open func(t *testing.T) Net

// All is every workload, by name.
var All = map[string]func(*testing.T, Open){
	"HTTP": HTTP, "HTTPConn": HTTPConn, "HTTP2": HTTP2, "TLS": TLS, "RPC": RPC, "SSH": SSH,
}

// Address is what the workloads dial.
const Address = "server.example:80"

// patience bounds each wait: what takes longer hangs, even on a machine that has
// much else to do.
const patience = 3 * time.Minute

// connect dials, for a test that speaks the protocol by hand.
func (n Net) connect(t *testing.T) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := n.Dial(ctx, "tcp", Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// closeWrite ends one direction of a connection.
func closeWrite(c net.Conn) error { return c.(interface{ CloseWrite() error }).CloseWrite() }

// wait fails the test when a channel is not closed, and nothing comes from it,
// in time.
func wait[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("not seen within %v: %s", patience, what)
	}
	return v
}

// content is n octets, those of the seed.
func content(seed uint64, n int64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return io.LimitReader(rand.NewChaCha8(key), n)
}

// A digest is what two ends compare of a content.
type digest struct {
	octets int64
	hash   string
}

// digestOf reads to the end.
func digestOf(r io.Reader) (d digest, err error) {
	h := sha256.New()
	d.octets, err = io.Copy(h, r)
	d.hash = hex.EncodeToString(h.Sum(nil))
	return d, err
}

// wantContent fails unless r has the seed's n octets and then ends.
func wantContent(t *testing.T, what string, r io.Reader, seed uint64, n int64) {
	t.Helper()
	want, _ := digestOf(content(seed, n)) // it has no errors
	got, err := digestOf(r)
	if err != nil || got != want {
		t.Errorf("%s: read %v, %v, want %v", what, got, err, want)
	}
}
