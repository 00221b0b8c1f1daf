package sctpmh

import (
	"net/netip"
	"testing"

	"github.com/sctpmh/mh/sctpmh/internal/udp"
)

// What waits is bounded in memory, comes out in order, and wakes the loop as
// long as there is something.
func TestInboxIsBounded(t *testing.T) {
	s, err := udp.Listen(netip.MustParseAddrPort("127.0.0.1:0"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(make([]byte, 100), 100, s.Local(), udp.Marks{}, nil); err != nil {
		t.Fatal(err)
	}
	batch, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	b, put := newInbox(), 0
	for b.put(arrival{s.Local(), batch.Copy(make([]byte, 1+put%1000))}) {
		put++
	}
	if put*batch.Memory() > inboxLimit || (put+1)*batch.Memory() < inboxLimit {
		t.Errorf("%d batches of %d octets fit %d", put, batch.Memory(), inboxLimit)
	}
	got := 0
	for range b.filled {
		for _, in := range b.take(nil) {
			if len(in.batch.Data) != 1+got%1000 {
				t.Fatalf("batch %d has %d octets", got, len(in.batch.Data))
			}
			got++
		}
		if got == put {
			break
		}
	}
	b.end()
	if b.put(arrival{s.Local(), batch}) {
		t.Error("taken after the end")
	}
}
