package interop

import (
	"fmt"
	"time"
)

var failoverScenarios = []scenario{
	{name: "failover from us", needs: []feature{multihomed}, time: failoverTime, run: failoverOut},
	{name: "failover from the peer", needs: []feature{multihomed}, time: failoverTime, run: failoverIn},
}

const (
	failoverTime = 90 * time.Second

	// beforeCut is how many DATA chunks pass before the path in use goes dark.
	beforeCut = 1500

	failoverOctets = 24 << 20
)

// ready waits until either end has confirmed both paths: the peer's address with
// us, and ours with the peer, which our answer to its HEARTBEAT shows.
func (s *scene) ready(t talk) {
	s.Helper()
	for {
		changed, confirmed := t.PathsChanged(), map[int]bool{}
		for _, p := range t.Paths() {
			for i, a := range peerAddrs {
				if p.Confirmed && p.Remote.Addr() == a {
					confirmed[i] = true
				}
			}
		}
		if len(confirmed) == len(peerAddrs) {
			break
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			s.fail("not all paths are confirmed: %+v", t.Paths())
			s.FailNow()
		}
	}
	s.await("an answer of ours to the peer's HEARTBEAT on wire 1", func(c counts) bool {
		return c.chunks[1][toPeer][chunkHEARTBEATACK] > 0
	})
}

// cutInUse waits until data flows in a direction and cuts the wire that it is
// on, both ways and without a sign.
func (s *scene) cutInUse(d int) {
	s.Helper()
	before := s.w.watcher.now()
	s.await("data "+directions[d], func(c counts) bool { return c.total(d, chunkDATA)-before.total(d, chunkDATA) > beforeCut })
	c := s.w.watcher.now()
	used := 0
	if c.chunks[1][d][chunkDATA] > c.chunks[0][d][chunkDATA] {
		used = 1
	}
	s.w.watcher.measure()
	dark := *s.w.wires[used].rule.Load()
	dark.cut = true
	s.w.wires[used].rule.Store(&dark)
}

func failoverOut(s *scene) string {
	s.w.lay(rule{delay: 2 * time.Millisecond})
	t := s.dial()
	s.ready(t)
	l := bulk(failoverOctets, 1)
	sent := make(chan error, 1)
	go func() { sent <- l.send(s.ctx, t.Assoc) }() // ends with the load or the scenario
	s.cutInUse(toPeer)
	s.must(<-sent)
	s.end(t)
	s.arrived(l)
	return s.stalled(toPeer)
}

func failoverIn(s *scene) string {
	s.w.lay(rule{delay: 2 * time.Millisecond})
	t := s.dial()
	s.ready(t)
	l := bulk(failoverOctets, 1)
	s.begin(l)
	s.cutInUse(toUs)
	s.taken(l)
	s.receive(t, l)
	figures := s.stalled(toUs)
	s.end(t)
	return figures
}

// stalled tells the longest time without data since the cut.
func (s *scene) stalled(d int) string {
	return fmt.Sprintf("stall %v", round(s.w.watcher.now().stalls[d]))
}
