package interop

import (
	"fmt"
	"time"
)

var networkScenarios = []scenario{
	{name: "smaller path MTU, from us", run: smallMTUOut},
	{name: "smaller path MTU, from the peer", needs: []feature{blackHoles}, run: smallMTUIn},
	{name: "10 % loss, from us", time: lossTime, run: lossOut},
	{name: "10 % loss, from the peer", time: lossTime, run: lossIn},
	{name: "ECN, from us", needs: []feature{acceptsECN}, run: ecnOut},
	{name: "ECN, from the peer", needs: []feature{sendsECN}, run: ecnIn},
}

const (
	lossTime   = 2 * time.Minute
	lossOctets = 4 << 20

	// Some peers wait for a second and more whenever a packet is lost twice.
	lossOctetsIn = 512 << 10
)

// A link somewhere takes 1,300 octets, from a moment on at which both ends may
// have learnt that 1,500 pass. Its router fragments what it may, and drops the
// rest without a word: a black hole (RFC 8899 section 1.1).
func smallMTUOut(s *scene) string {
	t := s.dial()
	first, then := bulk(1<<20, 1), bulk(4<<20, 2)
	s.send(t, first)
	s.await("a megabyte to the peer", func(c counts) bool { return c.total(toPeer, chunkDATA) > (1<<20)/1500 })
	s.w.lay(rule{mtu: both(1300)})
	s.w.watcher.measure()
	start := time.Now()
	s.send(t, then)
	s.end(t)
	took := time.Since(start)
	s.arrived(first, then)
	return fmt.Sprintf("%s, %s", rate(then.octets(), took), s.stalled(toPeer))
}

func smallMTUIn(s *scene) string {
	t := s.dial()
	first, then := bulk(1<<20, 1), bulk(4<<20, 2)
	s.order(first)
	s.must(t.came.await(s.ctx, first.octets()))
	s.w.lay(rule{mtu: both(1300)})
	s.w.watcher.measure()
	start := time.Now()
	s.order(then)
	s.receive(t, first, then)
	took := time.Since(start)
	figures := fmt.Sprintf("%s, %s", rate(then.octets(), took), s.stalled(toUs))
	s.end(t)
	return figures
}

func lossOut(s *scene) string {
	t := s.dial()
	s.w.lay(rule{loss: both(0.1), seed: 1})
	l := bulk(lossOctets, 1)
	start := time.Now()
	s.send(t, l)
	s.end(t)
	took := time.Since(start)
	s.arrived(l)
	return rate(l.octets(), took)
}

func lossIn(s *scene) string {
	t := s.dial()
	s.w.lay(rule{loss: both(0.1), seed: 2})
	l := bulk(lossOctetsIn, 1)
	start := time.Now()
	s.order(l)
	s.receive(t, l)
	took := time.Since(start)
	s.w.lay(rule{})
	s.end(t)
	return rate(l.octets(), took)
}

// ecnOut has a router mark packets of ours. RFC 4960 appendix A, to which RFC
// 9260 leaves the numbers of the chunks: the mark is told "by including the ECNE
// chunk", and the sender answers with "the TSN number that was sent in the ECNE
// chunk" in a CWR chunk.
func ecnOut(s *scene) string {
	t := s.dial()
	s.w.lay(rule{mark: both(0.02), seed: 3, delay: time.Millisecond})
	l := bulk(lossOctets, 1)
	s.send(t, l)
	s.end(t)
	s.arrived(l)
	return s.echoed(toPeer)
}

func ecnIn(s *scene) string {
	t := s.dial()
	s.w.lay(rule{mark: both(0.02), seed: 4, delay: time.Millisecond})
	l := bulk(lossOctets, 1)
	s.order(l)
	s.receive(t, l)
	s.end(t)
	return s.echoed(toUs)
}

// echoed checks that marks of packets in a direction were told and
// acknowledged.
func (s *scene) echoed(d int) string {
	c := s.w.watcher.now()
	marked, ecne, cwr := c.marked[0][d]+c.marked[1][d], c.total(1-d, chunkECNE), c.total(d, chunkCWR)
	if marked == 0 || ecne == 0 || cwr == 0 {
		s.fail("%d packets were marked, ECNE came %d times, CWR went %d times", marked, ecne, cwr)
	}
	return fmt.Sprintf("%d marked, %d ECNE, %d CWR", marked, ecne, cwr)
}

// futureScenarios are extensions that this SCTP has not.
var futureScenarios = []scenario{
	{name: "ASCONF", needs: []feature{notBuilt}},
	{name: "AUTH", needs: []feature{notBuilt}},
	{name: "RE-CONFIG", needs: []feature{notBuilt}},
	{name: "PR-SCTP", needs: []feature{notBuilt}},
	{name: "I-DATA", needs: []feature{notBuilt}},
}
