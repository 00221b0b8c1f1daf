package sctpmh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// awaitPath waits until a path from a local to a remote address is active.
func awaitPath(t *testing.T, a *Assoc, local, remote netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		changed := a.PathsChanged()
		if slices.ContainsFunc(a.Paths(), func(p PathInfo) bool {
			return p.Local.Addr() == local && p.Remote.Addr() == remote && p.State == Active
		}) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("no path from %v to %v: %+v", local, remote, a.Paths())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An endpoint moves to another address in the middle of a transfer.
func TestMove(t *testing.T) {
	old, fresh := netip.MustParseAddr("127.78.0.1"), netip.MustParseAddr("127.78.0.2")
	e, f := listen(t, nil, "127.78.0.1:0"), listen(t, nil, "127.78.1.1:0")
	at := f.Addrs()[0].Addr()
	a, b := connect(t, e, f, f.Addrs())
	b.Permit([]netip.Addr{fresh})
	moved := make(chan error, 1)
	go func() { // ends with the test at the latest
		moved <- func() error {
			if err := e.AddLocal(netip.AddrPortFrom(fresh, 0)); err != nil {
				return err
			}
			awaitPath(t, a, fresh, at)
			return e.RemoveLocal(old)
		}()
	}()
	transfer(t, a, b, 32<<20, 1200)
	must(t, <-moved)
	transfer(t, a, b, 1<<20, 1200)
	transfer(t, b, a, 1<<20, 1200)
	if got := e.Addrs(); len(got) != 1 || got[0].Addr() != fresh {
		t.Errorf("the endpoint's addresses are %v, want %v", got, fresh)
	}
	// A dial leaves from the new address, and finds one that a listener gets.
	more := netip.MustParseAddr("127.78.1.2")
	must(t, f.AddLocal(netip.AddrPortFrom(more, 0)))
	if got := f.Addrs(); len(got) != 2 || got[0].Port() != got[1].Port() {
		t.Errorf("the addresses are %v, want two with one port", got)
	}
	c, d := connect(t, e, f, f.Addrs()[1:])
	transfer(t, c, d, 1<<20, 1200)
	for _, p := range c.Paths() {
		if p.Local.Addr() != fresh || p.Remote.Addr() != more {
			t.Errorf("path %v to %v, want %v to %v", p.Local, p.Remote, fresh, more)
		}
	}
}

// Where the port is taken the address has another, and paths all the same.
func TestPortOfNewLocalIsTaken(t *testing.T) {
	fresh := netip.MustParseAddr("127.78.0.3")
	e, f := listen(t, nil, "127.78.0.1:0"), listen(t, nil, "127.78.1.1:0")
	taken, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(fresh, e.Addrs()[0].Port())))
	must(t, err)
	defer taken.Close()
	if err := e.AddLocal(netip.AddrPortFrom(fresh, e.Addrs()[0].Port())); err == nil {
		t.Error("a port that was asked for and is taken is no error")
	}
	a, b := connect(t, e, f, f.Addrs())
	must(t, e.AddLocal(netip.AddrPortFrom(fresh, 0)))
	b.Permit([]netip.Addr{fresh})
	awaitPath(t, a, fresh, f.Addrs()[0].Addr())
	must(t, e.RemoveLocal(e.Addrs()[0].Addr()))
	transfer(t, a, b, 1<<20, 1200)
}

func TestLocalsThatCannotBe(t *testing.T) {
	e := listen(t, nil, "127.78.0.1:0")
	usual := e.Addrs()[0]
	for _, l := range []netip.AddrPort{{}, netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("192.0.2.1:0")} {
		if err := e.AddLocal(l); err == nil {
			t.Errorf("%v was added", l)
		}
	}
	must(t, e.AddLocal(netip.AddrPortFrom(usual.Addr(), 0))) // it is there
	if err := e.RemoveLocal(usual.Addr()); !errors.Is(err, errLastLocal) {
		t.Errorf("the last address: %v", err)
	}
	if err := e.RemoveLocal(netip.MustParseAddr("127.78.0.9")); !errors.Is(err, errNoLocal) {
		t.Errorf("a stranger: %v", err)
	}
	for i := 1; i < localLimit; i++ {
		must(t, e.AddLocal(netip.MustParseAddrPort(fmt.Sprintf("127.78.2.%d:0", i))))
	}
	if err := e.AddLocal(netip.MustParseAddrPort("127.78.3.1:0")); !errors.Is(err, errLocals) {
		t.Errorf("one more than the limit: %v", err)
	}
	if got := len(e.Addrs()); got != localLimit {
		t.Errorf("%d addresses, want %d", got, localLimit)
	}
	e.Close()
	if err := e.AddLocal(netip.MustParseAddrPort("127.78.0.2:0")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := e.RemoveLocal(usual.Addr()); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// Addresses change while associations are made, used and ended, and while the
// endpoint closes. The race detector and the leak check look on.
func TestLocalsBesideEverything(t *testing.T) {
	e, f := listen(t, nil, "127.78.0.1:0"), listen(t, nil, "127.78.1.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var dialling, moving sync.WaitGroup
	dialling.Go(func() { // ends when f closes
		for {
			b, err := f.Accept(ctx)
			if err != nil {
				return
			}
			b.Permit([]netip.Addr{netip.MustParseAddr("127.78.0.10"), netip.MustParseAddr("127.78.0.11")})
		}
	})
	for i := range 2 {
		fresh := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 78, 0, byte(10 + i)}), 0)
		moving.Go(func() { // ends when e closes
			for range 10_000 {
				if e.AddLocal(fresh) != nil || e.RemoveLocal(fresh.Addr()) != nil {
					return
				}
			}
		})
	}
	for range 20 {
		a, err := e.Dial(ctx, f.Addrs())
		must(t, err)
		for range 50 {
			must(t, a.Send(ctx, Message{Data: make([]byte, 1000)}))
		}
		a.Abort("over")
	}
	e.Close()
	moving.Wait()
	f.Close()
	dialling.Wait()
	if err := e.AddLocal(netip.MustParseAddrPort("127.78.0.12:0")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
