package daemon

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/internal/config"
	"github.com/sctpmh/mh/sctpmh"
)

// started is a host at two addresses of the loopback device.
func started(t *testing.T, mode config.Mode, addrs ...string) *Host {
	t.Helper()
	c := &config.DefaultSocks().Common
	c.Transport.Mode = mode
	for _, a := range addrs {
		c.Transport.Local = append(c.Transport.Local, config.Address{Addr: netip.MustParseAddr(a)})
	}
	h, err := Start(c, io.Discard, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// With transport.mode = "aggregate" data takes all paths, else one.
func TestMode(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	peer := started(t, "", "127.0.2.1", "127.0.2.2")
	for mode, want := range map[config.Mode]int{"": 1, config.ModeFailover: 1, config.ModeAggregate: 4} {
		h := started(t, mode, "127.0.1.1", "127.0.1.2")
		a, err := h.Endpoint.Dial(ctx, peer.Endpoint.Addrs())
		if err != nil {
			t.Fatal(err)
		}
		b, err := peer.Endpoint.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Each address has a port of its own.
		a.SetCandidates(peer.Endpoint.Addrs())
		b.SetCandidates(h.Endpoint.Addrs())
		// A path is used once its round trip is measured and it has stayed for a
		// while, which no event tells: messages go to and fro until it is.
		for active, used := 0, 0; ; active, used = 0, 0 {
			if err := a.Send(ctx, sctpmh.Message{Data: []byte("x")}); err != nil {
				t.Fatalf("mode %q: %v: %+v", mode, err, a.Paths())
			}
			if _, err := b.Recv(ctx); err != nil {
				t.Fatalf("mode %q: %v: %+v", mode, err, a.Paths())
			}
			for _, p := range a.Paths() {
				if p.State == sctpmh.Active && p.SRTT > 0 {
					active++
				}
				if p.InUse {
					used++
				}
			}
			if used > want {
				t.Fatalf("mode %q: %d paths are in use, want %d: %+v", mode, used, want, a.Paths())
			}
			if active == 4 && used == want {
				break
			}
		}
		a.Abort("over")
	}
}

// The kernel takes one path at a time, and a daemon that is to do otherwise says
// so instead of starting.
func TestModeOverTheKernel(t *testing.T) {
	c := &config.DefaultSocks().Common
	c.Transport.Mode, c.Transport.Backend = config.ModeAggregate, config.BackendKernel
	c.Transport.Local = []config.Address{{Addr: netip.MustParseAddr("127.0.0.1")}}
	_, err := Start(c, io.Discard, false)
	var usage *UsageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "transport.mode") {
		t.Errorf("%v", err)
	}
}
