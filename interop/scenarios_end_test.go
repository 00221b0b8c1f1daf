package interop

import (
	"errors"
	"time"

	"github.com/sctpmh/mh/sctpmh"
)

var endScenarios = []scenario{
	{name: "shutdown by us, data in flight", run: weShutDown},
	{name: "shutdown by the peer, data in flight", run: peerShutsDown},
	{name: "abort by us", run: weAbort},
	{name: "abort by the peer", needs: []feature{aborts}, run: peerAborts},
}

// inFlight is more than a window holds at first: most of it is not yet sent when
// the end begins.
var inFlight = load{first: 1, streams: 3, size: 4000, count: 500, seed: 5}

const farAway = 20 * time.Millisecond

// RFC 9260 section 9.2: "the endpoint enters the SHUTDOWN-PENDING state and
// remains there until all outstanding data has been acknowledged by its peer."
func weShutDown(s *scene) string {
	s.w.lay(rule{delay: farAway})
	t := s.dial()
	s.send(t, inFlight)
	start := time.Now()
	s.end(t)
	took := time.Since(start)
	s.arrived(inFlight)
	return round(took).String()
}

func peerShutsDown(s *scene) string {
	s.w.lay(rule{delay: farAway})
	t := s.dial()
	s.order(inFlight)
	start := time.Now()
	s.command("shutdown")
	s.down("shutdown")
	took := time.Since(start)
	s.receive(t, inFlight)
	s.ended(t)
	if t.came.err != nil {
		s.fail("the end is %v, want that of a shutdown", t.came.err)
	}
	return round(took).String()
}

// ended waits until all that came is there and the association over.
func (s *scene) ended(t talk) {
	s.Helper()
	for _, over := range []<-chan struct{}{t.came.done, t.Done()} {
		select {
		case <-over:
		case <-s.ctx.Done():
			s.fail("for us the association goes on")
			s.FailNow()
		}
	}
}

func weAbort(s *scene) string {
	t := s.dial()
	s.send(t, load{size: 100, count: 10, seed: 1})
	start := time.Now()
	t.Abort("enough")
	s.down("abort")
	return round(time.Since(start)).String()
}

func peerAborts(s *scene) string {
	t := s.dial()
	start := time.Now()
	s.command("abort")
	s.ended(t)
	took := time.Since(start)
	var abort *sctpmh.AbortError
	if err := t.Err(); !errors.As(err, &abort) || !abort.Remote {
		s.fail("the end is %v, want an abort by the peer", err)
	}
	s.event("down")
	return round(took).String()
}
