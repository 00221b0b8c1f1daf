package workload

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// overTCP is a listener on loopback.
func overTCP(t *testing.T) Net {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return Net{Listener: l, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, l.Addr().String())
	}}
}

// What is expected of other transports TCP does.
func TestOverTCP(t *testing.T) {
	for name, load := range All {
		t.Run(name, func(t *testing.T) { load(t, overTCP) })
	}
}
