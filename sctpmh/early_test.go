package sctpmh

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// rtt is the round trip time of joined.
const rtt = 20 * time.Millisecond

// joined returns endpoints that a link joins. They belong into a bubble.
func joined(t *testing.T, cfgE, cfgF Config, rate int) (e, f *Endpoint) {
	n := netsim.NewLive(1)
	from, to := n.AddHost(), n.AddHost()
	c := netsim.Config{Delay: rtt / 2, Rate: rate, Queue: 64_000}
	n.Do(func(n *netsim.Net) {
		n.Join("link", from, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, to, []netip.Addr{netip.MustParseAddr("192.0.2.2")}, c, c)
	})
	cfgE.Socket, cfgF.Socket = from.Listen, to.Listen
	return listen(t, &cfgE, "192.0.2.1:0"), listen(t, &cfgF, "192.0.2.2:0")
}

// ask is an early message.
func ask(t *testing.T, question string) func(*Assoc) {
	return func(a *Assoc) {
		if ok, err := a.TrySend(Message{Stream: 1, Data: []byte(question)}); !ok || err != nil {
			t.Errorf("early message: %v, %v", ok, err)
		}
	}
}

// The answer to what is sent with a dial is there after two round trips.
func TestDialEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, f := joined(t, Config{Adaptation: 7}, Config{Adaptation: 7}, 0)
		go func() { // ends with the answer
			b, err := f.Accept(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			m, _ := b.Recv(t.Context())
			_ = b.Send(t.Context(), m)
		}()
		start := time.Now()
		a, err := e.DialEarly(t.Context(), f.Addrs(), ask(t, "question"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Recv(t.Context())
		if took := time.Since(start); string(m.Data) != "question" || err != nil || took > 2*rtt {
			t.Errorf("%q, %v after %v, want an answer after %v", m.Data, err, took, 2*rtt)
		}
	})
}

// A peer of another adaptation layer gets nothing, and is known to the error.
func TestDialEarlyToAnotherLayer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, f := joined(t, Config{Adaptation: 7}, Config{Adaptation: 8}, 0)
		var early *Assoc
		_, err := e.DialEarly(t.Context(), f.Addrs(), func(a *Assoc) {
			ask(t, "secret")(a)
			early = a
		})
		if err == nil || !strings.Contains(err.Error(), "0x8") || early.Peer().Adaptation != 8 {
			t.Errorf("dialled: %v, the peer is %+v", err, early.Peer())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if b, err := f.Accept(ctx); err == nil {
			m, err := b.Recv(ctx)
			t.Errorf("an association, and %q, %v", m.Data, err)
		}
		// Without data to be sent who dials decides himself.
		if a, err := e.Dial(t.Context(), f.Addrs()); err != nil || a.Peer().Adaptation != 8 {
			t.Errorf("dialled without data: %v", err)
		}
	})
}

// Streams share a slow path as their weights are.
func TestWeights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, f := joined(t, Config{}, Config{}, 250_000)
		a, b := connect(t, e, f, f.Addrs())
		a.SetWeight(1, 3)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sizes := map[uint16]int{1: 500, 2: 1200}
		for stream, size := range sizes {
			go func() { // ends with ctx
				for a.Send(ctx, Message{Stream: stream, Data: make([]byte, size)}) == nil {
				}
			}()
		}
		got := make(map[uint16]int)
		for got[1]+got[2] < 3_000_000 {
			m, err := b.Recv(ctx)
			if err != nil {
				t.Fatal(err)
			}
			got[m.Stream] += len(m.Data)
		}
		if share := float64(got[1]) / float64(got[2]); share < 2.8 || share > 3.2 {
			t.Errorf("stream 1 of weight 3 got %.2f times what stream 2 got", share)
		}
	})
}

// What was discarded does not hold up what is sent after it.
func TestDiscardOvertakesBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, f := joined(t, Config{}, Config{}, 125_000)
		a, b := connect(t, e, f, f.Addrs())
		for ok := true; ok; {
			ok, _ = a.TrySend(Message{Stream: 1, Group: 5, Data: make([]byte, 1000)})
		}
		blocked := make(chan error)
		go func() { blocked <- a.Send(t.Context(), Message{Stream: 1, Group: 5, Data: make([]byte, 1000)}) }() // ends with Discard
		synctest.Wait()
		a.Discard(1, 5)
		if err := <-blocked; err != nil {
			t.Error(err)
		}
		if err := a.Send(t.Context(), Message{Stream: 1, Data: []byte("end")}); err != nil {
			t.Fatal(err)
		}
		before := 0
		for {
			m, err := b.Recv(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Data) == 3 {
				break
			}
			before++
		}
		if before > 20 {
			t.Errorf("%d messages of what was discarded arrived", before)
		}
	})
}
