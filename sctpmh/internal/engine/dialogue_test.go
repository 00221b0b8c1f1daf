package engine

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A dialogue is an endpoint whose peer is scripted by the test, packet by
// packet, in text form. The endpoint listens on port 5000; the peer has port
// 4000 and two addresses. Probes of paths are left out of what it sends.
type dialogue struct {
	t     *testing.T
	now   Time
	ep    *Endpoint
	assoc *Assoc // the present one, or the last
	sent  []seen // not read yet

	got                 []string
	up, restarts, downs int
}

var (
	peerA = addrPort("10.1.0.1:5001")
	peerB = addrPort("10.2.0.1:5001")
)

// seen is a packet that the endpoint sent.
type seen struct {
	to           netip.AddrPort
	text         string // long octet strings in full
	tag          uint32
	chunks       []string
	flags        []uint8
	init         seenInit
	cookie       string
	unrecognized []string
	causes       []uint16
	cause        []string
}

type seenInit struct {
	Tag, ARwnd, TSN       uint32
	OutStreams, InStreams uint16
}

func newDialogue(t *testing.T) *dialogue {
	cfg := Config{Port: 5000, Locals: bLocals, Accept: true, RTOMin: time.Second, RTOMax: time.Minute, MaxPMTU: basePMTU}
	return &dialogue{t: t, now: 1e9, ep: NewEndpoint(1e9, cfg, rand.NewPCG(5, 6))}
}

func (d *dialogue) dial() {
	d.assoc = d.ep.Dial(d.now, []Pair{{bLocals[0], peerA}}, 5000, 4000)
	d.settle()
}

func (d *dialogue) send(format string, args ...any) {
	d.t.Helper()
	d.sendFrom(peerA, format, args...)
}

func (d *dialogue) sendFrom(from netip.AddrPort, format string, args ...any) {
	d.t.Helper()
	b, err := wire.ParseText(fmt.Sprintf(format, args...))
	if err != nil {
		d.t.Fatal(err)
	}
	local := bLocals[0]
	if from.Addr().As4()[1] == 2 {
		local = bLocals[1]
	}
	d.arrive(Pair{local, from}, b)
	d.settle()
}

// arrive does what a driver does with a packet.
func (d *dialogue) arrive(on Pair, b []byte) {
	r, ok := Route(b)
	a := d.assoc
	live := a != nil && !a.Closed()
	mine := live && a.owns(r)
	switch {
	case !ok:
		return
	case mine && !r.Setup:
		a.Handle(d.now, on, b)
		return
	}
	var tcb *TCB
	if mine || live && a.peerAt(r, on) {
		tcb = a.TCB()
	}
	made, verdict := d.ep.Handle(d.now, on, b, tcb)
	switch verdict {
	case Complete:
		a.CookieEchoed(d.now, on, b)
	case Restart:
		a.Restarted()
	}
	d.collect()
	if made != nil {
		d.assoc = made
	}
}

// settle reads everything that the endpoint has to give.
func (d *dialogue) settle() {
	d.t.Helper()
	d.collect()
	for _, poll := range []func(Time, []byte) ([]byte, Pair, bool){d.ep.Poll, d.poll} {
		for b, on, ok := poll(d.now, nil); ok; b, on, ok = poll(d.now, nil) {
			if s := see(on, b); len(s.chunks) != 1 || s.chunks[0] != "HEARTBEAT" {
				d.sent = append(d.sent, s)
			}
		}
	}
	d.collect()
}

func (d *dialogue) poll(now Time, buf []byte) ([]byte, Pair, bool) {
	if d.assoc == nil {
		return buf, Pair{}, false
	}
	b, on, ok := d.assoc.Poll(now, buf)
	if err := d.assoc.Check(); err != nil && !ok {
		d.t.Fatal(err)
	}
	return b, on, ok
}

func (d *dialogue) collect() {
	a := d.assoc
	if a == nil {
		return
	}
	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
		switch e.Kind {
		case EventEstablished:
			d.up++
		case EventPeerShutdown:
			a.Shutdown(d.now)
		case EventClosed:
			if abort, ok := e.Err.(*AbortError); ok && abort.Restart {
				d.restarts++
			} else {
				d.downs++
			}
		}
	}
	for m, ok := a.Recv(d.now); ok; m, ok = a.Recv(d.now) {
		d.got = append(d.got, string(m.Data))
	}
}

// see reads a packet.
func see(on Pair, b []byte) seen {
	h, _ := wire.ParseHeader(b)
	s := seen{to: on.Remote, text: fullText(b), tag: uint32(h.Tag)}
	for rest := b[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok {
			break
		}
		rest = next
		s.chunks, s.flags = append(s.chunks, c.Type.String()), append(s.flags, c.Flags)
		switch c.Type {
		case wire.TypeInit, wire.TypeInitAck:
			in, _ := wire.ParseInit(c)
			s.init = seenInit{uint32(in.Tag), in.ARwnd, uint32(in.TSN), in.OutStreams, in.InStreams}
			s.params(in.Params)
		case wire.TypeAbort, wire.TypeError:
			for v := c.Value; len(v) > 0 && s.causes == nil; {
				x, after, ok := wire.NextCause(v)
				if !ok {
					break
				}
				s.causes, s.cause, v = append(s.causes, uint16(x.Code)), append(s.cause, hex.EncodeToString(x.Info)), after
			}
		}
	}
	return s
}

// fullText is wire.Text, but for a COOKIE ECHO with all of the cookie.
func fullText(b []byte) string {
	c, rest, ok := wire.NextChunk(b[wire.HeaderLen:])
	if h, _ := wire.ParseHeader(b); ok && c.Type == wire.TypeCookieEcho && len(rest) == 0 {
		return fmt.Sprintf("%d>%d tag=%08x COOKIE-ECHO{value=%x}", h.SrcPort, h.DstPort, uint32(h.Tag), c.Value)
	}
	return wire.Text(b)
}

func (s *seen) params(b []byte) {
	for len(b) > 0 {
		p, rest, ok := wire.NextParam(b)
		if !ok {
			return
		}
		b = rest
		switch p.Type {
		case wire.ParamStateCookie:
			s.cookie = hex.EncodeToString(p.Value)
		case wire.ParamUnrecognized:
			s.unrecognized = append(s.unrecognized, hex.EncodeToString(p.Value))
		}
	}
}

func (d *dialogue) next() seen {
	d.t.Helper()
	if len(d.sent) == 0 {
		d.t.Fatal("nothing was sent")
	}
	s := d.sent[0]
	d.sent = d.sent[1:]
	return s
}

func (d *dialogue) none() {
	d.t.Helper()
	if len(d.sent) > 0 {
		d.t.Fatalf("sent: %s", d.sent[0].text)
	}
}

func (d *dialogue) skip() { d.sent = nil }

func (d *dialogue) advance(by time.Duration) {
	d.t.Helper()
	for end := d.now.Add(by); d.now < end; d.settle() {
		next := end
		if d.assoc != nil {
			if at, ok := d.assoc.NextDeadline(); ok {
				next = min(end, max(at, d.now))
			}
		}
		d.now = next
		if d.assoc != nil {
			d.assoc.Expire(d.now)
		}
	}
}

func (d *dialogue) state() string {
	names := map[State]string{
		CookieWait: "COOKIE-WAIT", CookieEchoed: "COOKIE-ECHOED", Established: "ESTABLISHED", ShutdownPending: "SHUTDOWN-PENDING",
		ShutdownReceived: "SHUTDOWN-RECEIVED", ShutdownSent: "SHUTDOWN-SENT", ShutdownAckSent: "SHUTDOWN-ACK-SENT", Closed: "CLOSED",
	}
	if d.assoc == nil {
		return "CLOSED"
	}
	return names[d.assoc.state]
}

func (d *dialogue) localTag() uint32 { return uint32(d.assoc.LocalTag()) }
func (d *dialogue) peerTag() uint32  { return uint32(d.assoc.PeerTag()) }
func (d *dialogue) made() int        { return d.up }
func (d *dialogue) restarted() int   { return d.restarts }
func (d *dialogue) ended() int       { return d.downs }

func (d *dialogue) received() []string { return d.got }

func (d *dialogue) submit(msg string) {
	d.t.Helper()
	if err := d.assoc.Send(d.now, Message{Data: []byte(msg)}); err != nil {
		d.t.Fatal(err)
	}
	d.settle()
}

func (d *dialogue) shutdown() { d.assoc.Shutdown(d.now); d.settle() }
func (d *dialogue) abort()    { d.assoc.Abort(d.now, wire.CauseUserAbort, ""); d.settle() }
