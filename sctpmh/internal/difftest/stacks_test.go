package difftest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/engine"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// A stack is asked what it answers to a packet, at once.
type stack interface {
	reset() // it listens at port 5000, and there is no association
	feed(packet []byte) (answers [][]byte)
}

// here is where packets come from and go to.
var here = engine.Pair{Local: netip.MustParseAddrPort("10.1.0.2:9899"), Remote: netip.MustParseAddrPort("10.1.0.1:9899")}

// ours is an endpoint of our engine and its association.
type ours struct {
	now      engine.Time
	endpoint *engine.Endpoint
	assoc    *engine.Assoc
}

func (o *ours) reset() {
	cfg := engine.Config{Port: 5000, Locals: []netip.AddrPort{here.Local}, Accept: true, MaxPMTU: 1400}
	*o = ours{now: 1e9, endpoint: engine.NewEndpoint(1e9, cfg, rand.NewPCG(1, 2))}
}

func (o *ours) feed(packet []byte) (answers [][]byte) {
	o.now = o.now.Add(time.Microsecond)
	packet = append([]byte(nil), packet...)
	wire.SetChecksum(packet)
	if r, ok := engine.Route(packet); ok {
		o.handle(r, packet)
	}
	polls := []func(engine.Time, []byte) ([]byte, engine.Pair, bool){o.endpoint.Poll}
	if o.assoc != nil {
		o.obey()
		polls = append(polls, o.assoc.Poll)
	}
	for _, poll := range polls {
		for b, _, ok := poll(o.now, nil); ok; b, _, ok = poll(o.now, nil) {
			answers = append(answers, b)
		}
	}
	return answers
}

// handle gives a packet to the association or the endpoint, as a driver does.
func (o *ours) handle(r engine.RouteKey, packet []byte) {
	var tcb *engine.TCB
	if a := o.assoc; a != nil && !a.Closed() {
		local, peer := a.Ports()
		ports := r.LocalPort == local && r.PeerPort == peer
		if ports && !r.Setup && (r.Tag == a.LocalTag() || r.Reflected && r.Tag == a.PeerTag()) {
			a.Handle(o.now, here, packet)
			return
		}
		if ports {
			tcb = a.TCB()
		}
	}
	made, verdict := o.endpoint.Handle(o.now, here, packet, tcb)
	switch verdict {
	case engine.Complete:
		o.assoc.CookieEchoed(o.now, here, packet)
	case engine.Restart:
		o.assoc.Restarted()
	}
	if made != nil {
		o.assoc = made
	}
}

// obey does what the user of the association does: it ends it when the peer
// does.
func (o *ours) obey() {
	for e, ok := o.assoc.NextEvent(); ok; e, ok = o.assoc.NextEvent() {
		if e.Kind == engine.EventPeerShutdown {
			o.assoc.Shutdown(o.now)
		}
	}
}

// theirs is usrsctp in a process of its own: see interop/usrsctp/codec.c.
type theirs struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
}

// startTheirs starts the program. It ends with the test, which fails if the
// sanitizer found something.
func startTheirs(t *testing.T) *theirs {
	t.Helper()
	u, cmd := launch(t)
	t.Cleanup(func() {
		u.in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("usrsctp: %v", err)
		}
	})
	return u
}

func launch(t *testing.T) (*theirs, *exec.Cmd) {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), program)
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0") // it ends with what it has
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &theirs{t, in, bufio.NewReader(out)}, cmd
}

func (u *theirs) reset() { u.ask(nil) }

func (u *theirs) feed(packet []byte) [][]byte {
	if len(packet) == 0 {
		return nil // it would begin anew
	}
	return u.ask(packet)
}

func (u *theirs) ask(packet []byte) [][]byte {
	u.t.Helper()
	answers, err := u.exchange(packet)
	if err != nil {
		u.t.Fatalf("usrsctp, given %x, %s: %v", packet, wire.Text(packet), err)
	}
	return answers
}

func (u *theirs) exchange(packet []byte) (answers [][]byte, err error) {
	if _, err := u.in.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)); err != nil {
		return nil, err
	}
	for {
		var length [2]byte
		if _, err := io.ReadFull(u.out, length[:]); err != nil {
			return nil, err
		}
		answer := make([]byte, binary.BigEndian.Uint16(length[:]))
		if len(answer) == 0 {
			return answers, nil
		}
		if _, err := io.ReadFull(u.out, answer); err != nil {
			return nil, err
		}
		answers = append(answers, answer)
	}
}

// A bond is an association of a stack with the test as its peer.
type bond struct {
	tag wire.Tag // of the stack
	tsn wire.TSN // its first
}

const (
	placeholder = 7 // the stack's tag, in packets of the corpus
	setupText   = "4000>5000 tag=00000000 INIT{tag=0000000a rwnd=65536 os=10 is=10 tsn=100}"
)

// establish sets an association up.
func establish(s stack) (b bond, err error) {
	s.reset()
	init, err := wire.ParseText(setupText)
	if err != nil {
		return b, err
	}
	answers := s.feed(init)
	if len(answers) != 1 {
		return b, fmt.Errorf("%d answers to INIT", len(answers))
	}
	c, _, _ := wire.NextChunk(answers[0][wire.HeaderLen:])
	in, ok := wire.ParseInit(c)
	if !ok || c.Type != wire.TypeInitAck {
		return b, fmt.Errorf("INIT is answered by %s", wire.Text(answers[0]))
	}
	b = bond{in.Tag, in.TSN}
	echo := wire.AppendHeader(nil, wire.Header{SrcPort: 4000, DstPort: 5000, Tag: b.tag})
	for rest := in.Params; len(rest) > 0; {
		p, next, ok := wire.NextParam(rest)
		if !ok {
			break
		}
		if rest = next; p.Type == wire.ParamStateCookie {
			echo = wire.AppendChunk(echo, wire.TypeCookieEcho, 0, p.Value)
		}
	}
	if answers = s.feed(echo); len(answers) == 0 || chunks(answers[0])[0].Type != wire.TypeCookieAck {
		return b, fmt.Errorf("COOKIE ECHO is answered by %d packets, and no COOKIE ACK", len(answers))
	}
	return b, nil
}

// address makes a packet of the corpus one for this association: it gets its tag
// instead of the placeholder, and its TSNs.
func (b bond) address(packet []byte) []byte {
	packet = append([]byte(nil), packet...)
	if len(packet) >= wire.HeaderLen && binary.BigEndian.Uint32(packet[4:]) == placeholder {
		binary.BigEndian.PutUint32(packet[4:], uint32(b.tag))
	}
	for _, c := range chunks(packet) {
		if (c.Type == wire.TypeSack || c.Type == wire.TypeShutdown) && len(c.Value) >= 4 {
			binary.BigEndian.PutUint32(c.Value, binary.BigEndian.Uint32(c.Value)+uint32(b.tsn))
		}
	}
	return packet
}

// chunks are a packet's whole chunks.
func chunks(packet []byte) (all []wire.Chunk) {
	if len(packet) < wire.HeaderLen {
		return nil
	}
	for rest := packet[wire.HeaderLen:]; len(rest) > 0; {
		c, next, ok := wire.NextChunk(rest)
		if !ok {
			break
		}
		all, rest = append(all, c), next
	}
	return all
}
