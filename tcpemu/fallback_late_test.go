package tcpemu

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
)

// A record that comes after the race has begun joins it: the host refuses TCP
// and speaks mh. Where only mh will do it is waited for.
func TestLateRecord(t *testing.T) {
	closed := newLegacyServer(t)
	closed.l.Close()
	w := newWorld(t, names{})
	w.dialer.Fallback = new(Fallback)
	record := make(chan error)
	late := func(ctx context.Context) ([]Endpoint, error) {
		err := <-record
		if err != nil {
			return nil, err
		}
		all, err := names{server: w.server}.Resolve(ctx, "server.example", 80)
		return all.MH, err
	}
	w.dialer.Resolver = answers{targets: Targets{Legacy: []netip.AddrPort{closed.addr()}, Reason: "the record is late", Late: late}}
	go func() { // ends with the listener
		for {
			if _, err := w.l.Accept(); err != nil {
				return
			}
		}
	}()
	for _, network := range []string{"tcp", "mh"} {
		go func() { record <- nil }() // ends with the dial
		c, err := w.dialer.DialContext(t.Context(), network, "server.example:80")
		must(t, err)
		if _, ok := c.(*Conn); !ok {
			t.Errorf("%s: connected by a %T", network, c)
		}
		c.Close()
	}
	for network, want := range map[string]error{"tcp": syscall.ECONNREFUSED, "mh": syscall.EPROTONOSUPPORT} {
		go func() { record <- errNoRecord }() // ends with the dial
		_, err := w.dialer.DialContext(t.Context(), network, "server.example:80")
		wantIs(t, network+" without a record", err, want)
	}
}
