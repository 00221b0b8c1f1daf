package tcpemu

import (
	"context"
	"errors"
	"net/netip"
	"testing"
)

// A server connects back to its client, over the association on which the
// client has come to it, and to no client that takes no connections.
func TestDialBack(t *testing.T) {
	w := newWorld(t, names{})
	at := netip.MustParseAddrPort("192.0.2.7:50000")
	l, err := Listen(nil, nil)
	must(t, err)
	w.dialer.Listener = l
	t.Cleanup(func() {
		w.dialer.Close(t.Context())
		must(t, l.Shutdown(context.Background()))
	})
	client, server := w.pipe()
	opens := make(chan *Open, 1)
	go func() { // ends with the open
		if o, err := l.AcceptOpen(t.Context()); err == nil {
			opens <- o
			_, _ = o.Accept(netip.AddrPort{})
		}
	}()
	back, err := server.DialBack(t.Context(), at)
	must(t, err)
	defer back.Close()
	o := <-opens
	if o.Target.Addr != at.Addr() || o.Target.Port != at.Port() || back.RemoteAddr().String() != at.String() {
		t.Errorf("asked for %v, by %v, want %v", o.Target, back.RemoteAddr(), at)
	}
	other, _ := newWorld(t, names{}).pipe()
	if !o.Over(client) || o.Over(other) {
		t.Errorf("over the association of the client's connection: %v, of another: %v", o.Over(client), o.Over(other))
	}
	_, deaf := newWorld(t, names{}).pipe()
	var refused *RefusedError
	if _, err := deaf.DialBack(t.Context(), at); !errors.As(err, &refused) || refused.Code != CodeUnsupported {
		t.Errorf("a client that takes no connections: %v", err)
	}
}

// A listener without an endpoint leaves the associations of peers alone, and its
// dialers' endpoint to whoever accepts there.
func TestListenWithoutEndpoint(t *testing.T) {
	w := newWorld(t, names{})
	l, err := Listen(nil, nil)
	must(t, err)
	w.dialer.Listener = l
	a, err := w.server.Dial(t.Context(), w.dialer.Endpoint.Addrs())
	must(t, err)
	defer a.Abort("")
	_, err = w.dialer.Endpoint.Accept(t.Context())
	must(t, err)
	if all := l.Associations(); len(all) > 0 {
		t.Errorf("it has taken %v", all)
	}
	must(t, l.Shutdown(t.Context()))
}
