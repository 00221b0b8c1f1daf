package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// packets cuts fuzz input into packets: two octets of length before each.
func packets(b []byte) (out [][]byte) {
	for len(b) > 2 {
		n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
		out = append(out, b[2:2+n])
		b = b[2+n:]
	}
	return out
}

// chunkInput is seed input: one packet after the other, given as text.
func chunkInput(f *testing.F, texts ...string) []byte {
	var b []byte
	for _, s := range texts {
		p, err := wire.ParseText(s)
		if err != nil {
			f.Fatal(err)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
	}
	return b
}

// FuzzEndpoint is a listener whose peers send whatever they like, with an
// association in some state or without. The checksum is made right, or nothing
// else would be tested.
//
//rfc:9260 12.4-5
func FuzzEndpoint(f *testing.F) {
	f.Add(chunkInput(f, goodInit, "4000>5000 tag=7 SHUTDOWN-ACK{}", "4000>5000 tag=7 COOKIE-ECHO{value=00}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newListener()
		now := Time(1e9)
		var tcb *TCB
		if len(b) > 0 && b[len(b)-1]%16 <= byte(Closed) {
			tcb = &TCB{
				State: State(b[len(b)-1] % 16), LocalTag: 7, PeerTag: 10, ties: tieTags{8, 9},
				handshake: client, untouched: b[len(b)-1]&16 != 0, addrs: []netip.Addr{client.Remote.Addr()},
			}
		}
		for _, p := range packets(b) {
			now = now.Add(time.Millisecond)
			if len(p) < wire.HeaderLen {
				continue
			}
			p = append([]byte(nil), p...)
			wire.SetChecksum(p)
			made, verdict := e.Handle(now, client, p, tcb)
			if made != nil || verdict != Keep {
				t.Error("an association, or the end of one, without a cookie of ours")
			}
			for n := 0; ; n++ {
				out, _, ok := e.Poll(now, nil)
				if !ok {
					break
				}
				if n > 0 || len(out) > max(maxInitAck, len(p)) {
					t.Errorf("%s\nprovokes %s", wire.Text(p), wire.Text(out))
				}
			}
		}
	})
}

// FuzzAssoc is an association whose peer sends whatever it likes behind the
// right header. Nothing may panic, the invariants hold, and Poll ends.
//
//rfc:9260 6.1-18
func FuzzAssoc(f *testing.F) {
	f.Add(chunkInput(f, "4000>5000 tag=0 SACK{cum=99 rwnd=1000}", "4000>5000 tag=0 DATA{flags=B tsn=100 sid=1 ssn=0 ppid=0 data=00} DATA{flags=E tsn=101 sid=1 ssn=0 ppid=0 data=00}"))
	f.Add(chunkInput(f, "4000>5000 tag=0 SHUTDOWN{cum=1}", "4000>5000 tag=0 SHUTDOWN-ACK{}", "4000>5000 tag=0 ABORT{flags=T}"))
	f.Add(chunkInput(f, "4000>5000 tag=0 HEARTBEAT{info=00}", "4000>5000 tag=0 ERROR{c0003=00}", "4000>5000 tag=0 COOKIE-ACK{}", "4000>5000 tag=0 INIT-ACK{tag=1 rwnd=2000 os=1 is=1 tsn=1}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, now := established(t), Time(1e9)
		for i := range 5 {
			if err := a.Send(now, Message{Stream: wire.StreamID(i), Data: make([]byte, 3000)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range packets(b) {
			now = now.Add(20 * time.Millisecond)
			if len(p) < wire.HeaderLen {
				continue
			}
			h := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: a.tag})
			p = append(h, p[wire.HeaderLen:]...)
			rebase(a, p)
			wire.SetChecksum(p)
			a.Handle(now, client, p)
			drain(t, a, now)
			if at, ok := a.NextDeadline(); ok && at <= now.Add(50*time.Millisecond) {
				now = max(now, at)
				a.Expire(now)
				drain(t, a, now)
			}
		}
	})
}

// rebase moves the TSNs of DATA and SACK near those that the association
// expects, so that the fuzzer need not guess 32 bits.
func rebase(a *Assoc, p []byte) {
	for rest := p[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok {
			return
		}
		if len(c.Value) >= 4 {
			v := binary.BigEndian.Uint32(c.Value) % 256
			switch c.Type {
			case wire.TypeData:
				binary.BigEndian.PutUint32(c.Value, uint32(a.rcv.cum)+v)
			case wire.TypeSack, wire.TypeShutdown:
				binary.BigEndian.PutUint32(c.Value, uint32(a.flight.first)-1+v%16)
			}
		}
		rest = next
	}
}

// established returns an accepted association.
func established(t testing.TB) *Assoc {
	e := NewEndpoint(1e9, Config{Port: 5000, Accept: true, ReceiveBuffer: 16 << 10, Locals: bLocals}, rand.NewPCG(1, 2))
	p, err := wire.ParseText(goodInit)
	if err != nil {
		t.Fatal(err)
	}
	e.Handle(1e9, client, p, nil)
	b, _, _ := e.Poll(1e9, nil)
	c, _, _ := wire.NextChunk(b[wire.HeaderLen:])
	in, _ := wire.ParseInit(c)
	s, _ := parseSetup(in.Params)
	echo := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: in.Tag})
	echo = wire.AppendChunk(echo, wire.TypeCookieEcho, 0, s.cookie)
	wire.SetChecksum(echo)
	a, _ := e.Handle(1e9, client, echo, nil)
	if a == nil {
		t.Fatal("no association")
	}
	return a
}

// drain takes everything that the association has to give.
func drain(t testing.TB, a *Assoc, now Time) {
	for n := 0; ; n++ {
		out, _, ok := a.Poll(now, nil)
		if !ok {
			break
		}
		if n > 1000 || len(out) > maxPMTU {
			t.Fatalf("packet %d of %d octets", n, len(out))
		}
	}
	for _, ok := a.NextEvent(); ok; _, ok = a.NextEvent() {
	}
	if err := a.Check(); err != nil {
		t.Fatal(err)
	}
}
