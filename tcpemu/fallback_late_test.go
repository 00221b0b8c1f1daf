package tcpemu

import (
	"context"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
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

// Addresses that come late are tried beside those that were there: where there
// were none, and where those refuse. That there are no further ones ends the
// dial.
func TestLateAddresses(t *testing.T) {
	closed, open := newLegacyServer(t), newLegacyServer(t)
	closed.l.Close()
	for _, first := range [][]netip.AddrPort{nil, {closed.addr()}} {
		dialer := func(later ...[]netip.AddrPort) *Dialer {
			tell := make(chan []netip.AddrPort, len(later))
			for _, to := range later {
				tell <- to
			}
			close(tell)
			more := func(context.Context) ([]netip.AddrPort, error) { return <-tell, nil }
			return newFallbackDialer(t, answers{targets: Targets{Legacy: first, Reason: "it has no record", More: more}})
		}
		open.echo()
		dialLegacy(t, dialer([]netip.AddrPort{closed.addr()}, []netip.AddrPort{closed.addr(), open.addr()}), "tcp", "it has no record")
		_, err := dialer([]netip.AddrPort{closed.addr()}).DialContext(t.Context(), "tcp", "www.example:80")
		wantIs(t, "no further ones", err, syscall.ECONNREFUSED)
	}
	open.wantNobody()
}

// A set of addresses of which none is of the network asked for is not the end of
// them.
func TestLateAddressesOfAnotherFamily(t *testing.T) {
	open := newLegacyServer(t)
	open.echo()
	later := make(chan []netip.AddrPort, 2)
	later <- []netip.AddrPort{netip.MustParseAddrPort("[::1]:9")}
	later <- []netip.AddrPort{netip.MustParseAddrPort("[::1]:9"), open.addr()}
	close(later)
	more := func(context.Context) ([]netip.AddrPort, error) { return <-later, nil }
	d := newFallbackDialer(t, answers{targets: Targets{Reason: "it has no record", More: more}})
	dialLegacy(t, d, "tcp4", "it has no record")
	open.wantNobody()
}

// When the host has refused, nobody waits for addresses that may never come.
func TestRefusalEndsTheWaitForMore(t *testing.T) {
	closed := newLegacyServer(t)
	closed.l.Close()
	waited := make(chan struct{})
	more := func(ctx context.Context) ([]netip.AddrPort, error) {
		<-ctx.Done()
		close(waited)
		return nil, ctx.Err()
	}
	d := newFallbackDialer(t, answers{targets: Targets{Legacy: []netip.AddrPort{closed.addr()}, Reason: "it has no record", More: more}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := d.DialContext(ctx, "tcp", "www.example:80")
	wantIs(t, "a host that refuses", err, syscall.ECONNREFUSED)
	<-waited
	if ctx.Err() != nil || strings.Contains(err.Error(), errNoMore.Error()) {
		t.Errorf("the dial failed with %v", err)
	}
}
