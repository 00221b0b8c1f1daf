package sctpmh

import (
	"context"
	"testing"
	"time"
)

// "An acknowledgement SHOULD be generated for at least every second packet
// received" (RFC 9260 section 6.2), also of those that wait together for a loop
// that was kept busy.
func TestEverySecondPacketIsAcknowledged(t *testing.T) {
	server := listen(t, nil, "127.0.0.2:0")
	a, b := connect(t, listen(t, nil, "127.0.0.1:0"), server, server.Addrs())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before := b.Stats().PacketsSent
	held, release := make(chan struct{}), make(chan struct{})
	go loopOf(b).do(func() { // ends when b is released
		close(held)
		<-release
	})
	<-held
	const packets = 16
	for range packets { // each leaves before the next one is there
		sent := a.Stats().PacketsSent
		if err := a.Send(ctx, Message{Data: make([]byte, 100)}); err != nil {
			t.Fatal(err)
		}
		for a.Stats().PacketsSent == sent && ctx.Err() == nil {
		}
	}
	close(release)
	for range packets {
		if _, err := b.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.Stats().PacketsSent - before; n < packets/2 {
		t.Errorf("%d packets answer %d with DATA", n, packets)
	}
}
