package interop

import (
	"errors"
	"fmt"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

var setupScenarios = []scenario{
	{name: "handshake, we dial", run: weDial},
	{name: "data with COOKIE ECHO", run: weDialEarly},
	{name: "handshake, the peer dials", needs: []feature{dials}, run: peerDials},
	{name: "INIT collision", needs: []feature{dials, collides}, run: collide},
	{name: "restart of the peer", needs: []feature{dials, forgets}, run: peerRestarts},
	{name: "restart of us", needs: []feature{restarted}, run: weRestart},
}

func weDial(s *scene) string {
	start := time.Now()
	t := s.dial()
	took := time.Since(start)
	s.both(t)
	return "up in " + round(took).String()
}

// RFC 9260 section 5.1: "The COOKIE ECHO chunk MAY be bundled with any pending
// outbound DATA chunks". With the delay DATA that came behind COOKIE ACK would
// have passed only when the dial was over.
func weDialEarly(s *scene) string {
	const delay = 50 * time.Millisecond
	s.w.lay(rule{delay: delay})
	out, in := load{size: 200, count: 3, seed: 1}, load{first: 1, size: 1000, count: 3, seed: 2}
	var a *sctpmh.Assoc
	s.must(s.w.us.Do(func() (err error) {
		var sent error
		a, err = s.e.DialEarly(s.ctx, s.w.theirs(), func(a *sctpmh.Assoc) { sent = out.send(s.ctx, a) })
		return errors.Join(err, sent)
	}))
	ahead := time.Since(s.w.watcher.now().data[toPeer])
	if ahead < delay/2 || ahead > time.Minute {
		s.fail("DATA passed %v before COOKIE ACK came, want it with COOKIE ECHO", ahead)
	}
	s.w.lay(rule{})
	t := s.talk(a)
	s.order(in)
	s.receive(t, in)
	s.end(t)
	s.arrived(out)
	return "DATA " + round(ahead).String() + " ahead of COOKIE ACK"
}

func peerDials(s *scene) string {
	start := time.Now()
	t := s.dialled()
	took := time.Since(start)
	s.both(t)
	return "up in " + round(took).String()
}

// Both INITs are on their way at the same time. RFC 9260 section 5.2.1: "Upon
// receipt of an INIT chunk in the COOKIE-WAIT state, an endpoint MUST respond
// with an INIT ACK chunk using the same parameters it sent in its original INIT
// chunk (including its Initiate Tag, unchanged)."
func collide(s *scene) string {
	s.w.ports.on.Store(true)
	s.w.lay(rule{delay: 50 * time.Millisecond})
	s.command(s.w.command("dial"))
	t := s.dial()
	s.w.lay(rule{})
	c := s.w.watcher.now()
	if c.total(toPeer, chunkINIT) == 0 || c.total(toUs, chunkINIT) == 0 {
		s.fail("there was no collision: %d INIT to the peer, %d to us", c.total(toPeer, chunkINIT), c.total(toUs, chunkINIT))
	}
	s.both(t)
	return fmt.Sprintf("one association; INIT %d out, %d in", c.total(toPeer, chunkINIT), c.total(toUs, chunkINIT))
}

// The peer loses its state and dials. RFC 9260 section 5.2.4 calls it action
// A: the association of before is over for our user, and another one begins.
func peerRestarts(s *scene) string {
	old := s.dialled()
	s.command("forget")
	start := time.Now()
	t := s.dialled()
	took := time.Since(start)
	select {
	case <-old.Done():
	case <-s.ctx.Done():
		s.fail("the association from before the restart lives on")
	}
	s.both(t)
	return "new in " + round(took).String()
}

// We lose our state and dial: what our end says when it closes, and to packets
// that are late, does not get through.
func weRestart(s *scene) string {
	s.w.ports.on.Store(true)
	s.dial()
	s.w.lay(rule{crash: true})
	s.e.Close()
	s.listen()
	start := time.Now()
	a, err := s.w.dial(s.ctx, s.e)
	s.must(err)
	s.event("restart")
	took := time.Since(start)
	a.Permit(peerAddrs[:s.w.stack.paths()])
	s.both(talk{Assoc: a, came: receive(a)})
	return "new in " + round(took).String()
}
