package sctpmh

import (
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/udp"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// awaitMTU waits until the only path of an association carries mtu octets.
func awaitMTU(t *testing.T, a *Assoc, mtu int) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.Tick(5 * time.Millisecond)
	for {
		got := a.Paths()[0].MTU
		if got == mtu {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("the path carries %d octets, want %d", got, mtu)
		}
	}
}

// An ICMP message concerns the association whose packet it quotes, ports and
// tag of the peer included, and nobody when there is none such (RFC 9260
// section 10). The loopback device carries more than is ever tried.
//
//rfc:9260 10-1 10-3 10-4 10-5 10-6
func TestHintFindsTheAssociation(t *testing.T) {
	e, f := listen(t, nil, "127.0.0.1:0"), listen(t, nil, "127.0.0.1:0")
	a, b := connect(t, e, f, f.Addrs())
	awaitMTU(t, a, 9000)
	awaitMTU(t, b, 9000)
	var h wire.Header
	l := loopOf(a)
	l.do(func() {
		local, peer := l.engine.Ports()
		h = wire.Header{SrcPort: local, DstPort: peer, Tag: l.engine.PeerTag()}
	})
	blackHoles := func() (n uint64) {
		l.do(func() { n = l.engine.Stats().BlackHoles })
		return n
	}
	wrong := h
	wrong.Tag++
	for _, quoted := range [][]byte{nil, wire.AppendHeader(nil, h)[:11], wire.AppendHeader(nil, wrong)} {
		userOf(e).hint(e.Addrs()[0], udp.Hint{Remote: f.Addrs()[0], MTU: 1400, Packet: quoted})
	}
	userOf(e).hint(e.Addrs()[0], udp.Hint{Remote: f.Addrs()[0], Unreachable: true, Packet: wire.AppendHeader(nil, h)})
	if n := blackHoles(); n != 0 {
		t.Errorf("%d sizes given up for hints without the right tag", n)
	}
	userOf(e).hint(e.Addrs()[0], udp.Hint{Remote: f.Addrs()[0], MTU: 1400, Packet: wire.AppendHeader(nil, h)})
	if n := blackHoles(); n != 1 {
		t.Errorf("%d sizes given up for a hint with the right tag", n)
	}
	awaitMTU(t, a, 1400) // probed, and it passes
}
