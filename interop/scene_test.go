package interop

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sctpmh/mh/interop/pattern"
	"github.com/sctpmh/mh/sctpmh"
)

// A scenario is a row of results.md.
type scenario struct {
	name  string
	needs []feature
	time  time.Duration // that it may take; 0: patience
	run   func(*scene) (figures string)
}

const patience = 40 * time.Second

// id is its name without what paths and -run do not like.
func (sc scenario) id() string {
	return strings.NewReplacer(" ", "-", ",", "", "%", "percent").Replace(sc.name)
}

// captureFile is where the capture of a scenario goes.
func captureFile(peer string, sc scenario) string {
	return filepath.Join(outDir, peer, sc.id()+".pcap")
}

// scenarios are all of them, in the order of the rows.
func scenarios() (all []scenario) {
	for _, part := range [][]scenario{setupScenarios, dataScenarios, failoverScenarios, endScenarios, networkScenarios, futureScenarios} {
		all = append(all, part...)
	}
	return all
}

// A scene is a scenario on stage: one test, in one world.
type scene struct {
	*testing.T
	w       *world
	ctx     context.Context // ends with the scenario's time
	e       *sctpmh.Endpoint
	failure string
	remarks []string // to be added to the figures
}

// play runs a scenario and returns the scene as it was left.
func (w *world) play(t *testing.T, sc scenario) (s *scene, figures string) {
	s = &scene{w: w}
	t.Run(sc.id(), func(t *testing.T) {
		s.T = t
		limit := sc.time
		if limit == 0 {
			limit = patience
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), limit*w.stack.slow(), fmt.Errorf("the scenario's time of %v is over", limit*w.stack.slow()))
		defer cancel()
		s.ctx = ctx
		c, err := newCapture(captureFile(w.stack.name(), sc))
		s.must(err)
		w.watcher.reset()
		w.ports.reset()
		w.lay(rule{})
		w.capture.Store(c)
		defer func() {
			if t.Failed() {
				t.Log(w.state())
			}
			if s.e != nil {
				s.e.Close()
			}
			w.capture.Store(nil)
			if err := c.close(); err != nil {
				s.fail("%v", err)
			}
			s.dissect(c)
		}()
		w.peer.forgetEvents()
		s.command("mode sink")
		s.listen()
		figures = strings.Join(append([]string{sc.run(s)}, s.remarks...), "; ")
	})
	return s, figures
}

// fail fails the test; the first failure becomes the cell.
func (s *scene) fail(format string, args ...any) {
	s.Helper()
	text := fmt.Sprintf(format, args...)
	if s.failure == "" {
		s.failure, _, _ = strings.Cut(text, "; it said last")
		s.failure = strings.ReplaceAll(s.failure, "\n", " ")
	}
	s.Error(text)
}

// must ends the scenario on an error.
func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.fail("%v", err)
		s.FailNow()
	}
}

// command has the peer obey.
func (s *scene) command(text string) {
	s.Helper()
	_, err := s.w.peer.ask(s.ctx, text, "")
	s.must(err)
}

// event waits for one of the peer's.
func (s *scene) event(words string) line {
	s.Helper()
	l, err := s.w.peer.wait(s.ctx, words, "")
	s.must(err)
	return l
}

// listen opens our end.
func (s *scene) listen() {
	s.Helper()
	var err error
	s.e, err = s.w.listen()
	s.must(err)
}

// A talk is an association as both ends see it.
type talk struct {
	*sctpmh.Assoc
	came *receiver
	up   line // what the peer said of it
}

// talk waits until the peer has the association, too.
func (s *scene) talk(a *sctpmh.Assoc) talk {
	s.Helper()
	a.Permit(peerAddrs[:s.w.stack.paths()])
	return talk{a, receive(a), s.event("up")}
}

// dial makes an association from here.
func (s *scene) dial() talk {
	s.Helper()
	a, err := s.w.dial(s.ctx, s.e)
	s.must(err)
	return s.talk(a)
}

// dialled has the peer make one.
func (s *scene) dialled() talk {
	s.Helper()
	s.command(s.w.command("dial"))
	return s.accept()
}

// accept waits for one that the peer makes.
func (s *scene) accept() talk {
	s.Helper()
	a, err := s.e.Accept(s.ctx)
	s.must(err)
	return s.talk(a)
}

// send sends loads from here.
func (s *scene) send(t talk, loads ...load) {
	s.Helper()
	for _, l := range loads {
		s.must(l.send(s.ctx, t.Assoc))
	}
}

// order has the peer send loads, and returns when its stack has taken them.
func (s *scene) order(loads ...load) {
	s.Helper()
	for _, l := range loads {
		s.begin(l)
		s.taken(l)
	}
}

// begin has the peer begin to send a load.
func (s *scene) begin(l load) {
	s.Helper()
	s.must(s.w.peer.tell(l.command()))
}

// taken waits until the peer's stack has taken a load.
func (s *scene) taken(l load) {
	s.Helper()
	got, err := s.w.peer.wait(s.ctx, "sent", "send")
	s.must(err)
	if n, err := got.number("count", 10); err != nil || n != uint64(l.count) {
		s.fail("the peer sent %d of %d messages", n, l.count)
	}
}

// receive waits for loads from the peer and compares them.
func (s *scene) receive(t talk, loads ...load) {
	s.Helper()
	octets := 0
	for _, l := range loads {
		octets += l.octets()
	}
	s.must(t.came.await(s.ctx, octets))
	s.must(t.came.compare(loads...))
}

// end shuts the association down from here and waits until it is over at both
// ends: the peer has then all that was sent.
//
// When the answer to a HEARTBEAT arrives after the end, our end answers in turn
// as to a packet out of the blue (RFC 9260 section 8.4, rule 8), and over
// another wire that ABORT may overtake the SHUTDOWN COMPLETE. The peer has then
// acknowledged all data, and calls the end an abort all the same.
func (s *scene) end(t talk) {
	s.Helper()
	s.must(t.Shutdown(s.ctx))
	if s.event("down").values["reason"] == "shutdown" {
		return
	}
	s.await("SHUTDOWN COMPLETE to the peer", func(c counts) bool { return c.total(toPeer, chunkSHUTDOWNCOMPLETE) > 0 })
	s.remarks = append(s.remarks, "an ABORT for a late HEARTBEAT ACK overtook our SHUTDOWN COMPLETE")
}

// down waits for the end at the peer.
func (s *scene) down(reason string) {
	s.Helper()
	if l := s.event("down"); l.values["reason"] != reason {
		s.fail("for the peer the association ended by %q, want %q", l.values["reason"], reason)
	}
}

// arrived compares what the peer got in its latest association.
func (s *scene) arrived(loads ...load) {
	s.Helper()
	lines, err := s.w.peer.ask(s.ctx, "sums", "sum")
	s.must(err)
	got := make(map[uint16]pattern.Sum)
	for _, l := range lines {
		stream, sum, err := parseSum(l)
		s.must(err)
		got[stream] = sum
	}
	s.must(compare(got, loads...))
}

func parseSum(l line) (stream uint16, sum pattern.Sum, err error) {
	number, err := l.number("stream", 10)
	for _, v := range []struct {
		key  string
		base int
		to   *uint64
	}{{"messages", 10, &sum.Messages}, {"octets", 10, &sum.Octets}, {"chain", 16, &sum.Chain}, {"set", 16, &sum.Set}} {
		n, nerr := l.number(v.key, v.base)
		*v.to, err = n, errors.Join(err, nerr)
	}
	return uint16(number), sum, err
}

// both proves an association by a little data each way.
func (s *scene) both(t talk) {
	s.Helper()
	out, in := load{size: 1, count: 3, seed: 1}, load{first: 1, size: 1000, count: 3, seed: 2}
	s.send(t, out)
	s.order(in)
	s.receive(t, in)
	s.end(t)
	s.arrived(out)
}

// await waits for something on the wires.
func (s *scene) await(what string, wanted func(counts) bool) {
	s.Helper()
	s.must(s.w.watcher.await(s.ctx, what, wanted))
}

// Either end has done its part when its packets of a type have passed.
func (c *counts) total(d, chunk int) int {
	return c.chunks[0][d][chunk] + c.chunks[1][d][chunk]
}
