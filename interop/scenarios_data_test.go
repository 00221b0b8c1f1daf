package interop

import (
	"fmt"
	"time"
)

var dataScenarios = []scenario{
	{name: "messages of all sizes", run: allSizes},
	{name: "messages of 256 KiB", needs: []feature{large}, run: largeMessages},
	{name: "unordered", needs: []feature{unordered}, run: unorderedMessages},
	{name: "many streams", needs: []feature{manyStreams}, run: streams},
	{name: "echo", run: echo},
	{name: "bulk from us", time: bulkTime, run: bulkOut},
	{name: "bulk from the peer", time: bulkTime, run: bulkIn},
	{name: "bulk both ways at once", time: bulkTime, run: bulkBoth},
}

const bulkTime = 3 * time.Minute

// each makes loads of one message of each size, on a stream for each.
func each(seed uint64, sizes ...int) (loads []load) {
	for i, n := range sizes {
		loads = append(loads, load{first: uint16(i % 8), size: n, count: 1, seed: seed + uint64(i)})
	}
	return loads
}

// Sizes that fill one packet, or need two, with the MTU of 1,500 octets and
// with pion's 1,191, and those around the padding.
var sizes = []int{1, 2, 3, 4, 5, 1000, 1162, 1163, 1164, 1165, 1415, 1416, 1417, 1440, 1441, 1443, 1444, 1445, 1472, 2888, 65536}

func allSizes(s *scene) string {
	return exchange(s, each(1, sizes...), each(100, sizes...))
}

func largeMessages(s *scene) string {
	const n = 256 << 10
	return exchange(s, each(1, n, n, n, n), each(100, n, n, n, n))
}

// fit makes messages no larger than what we send to this peer: half of its
// window, lest one that is not complete fills it.
func fit(t talk, loads []load) (fitting []load, limited bool) {
	for _, l := range loads {
		if most := t.Peer().MaxMessage; l.size > most {
			l.size, limited = most, true
		}
		fitting = append(fitting, l)
	}
	return fitting, limited
}

func unorderedMessages(s *scene) string {
	out := load{first: 2, size: 700, count: 3000, unordered: true, seed: 1}
	in := load{first: 3, size: 3000, count: 1000, unordered: true, seed: 2}
	return exchange(s, []load{out}, []load{in})
}

// exchange sends loads one way, then the other, and compares.
func exchange(s *scene, out, in []load) string {
	t := s.dial()
	out, limited := fit(t, out)
	start := time.Now()
	s.send(t, out...)
	s.order(in...)
	s.receive(t, in...)
	s.end(t)
	figures := round(time.Since(start)).String()
	s.arrived(out...)
	if limited {
		figures += fmt.Sprintf("; from us %d octets at most, half of its window", t.Peer().MaxMessage)
	}
	return figures
}

// As many streams as the two ends have agreed on, up to a thousand.
func streams(s *scene) string {
	t := s.dial()
	const most = 1000
	n := min(most, t.Peer().OutStreams)
	m := min(most, t.Peer().InStreams)
	out := load{streams: n, size: 300, count: 4 * int(n), seed: 1}
	in := load{streams: m, size: 300, count: 4 * int(m), seed: 2}
	s.send(t, out)
	s.order(in)
	s.receive(t, in)
	s.end(t)
	s.arrived(out)
	return fmt.Sprintf("%d out, %d in", n, m)
}

// What the peer sends back is what it got.
func echo(s *scene) string {
	s.command("mode echo")
	t := s.dial()
	l := load{first: 1, streams: 4, size: 5000, count: 400, seed: 1}
	start := time.Now()
	s.send(t, l)
	s.receive(t, l)
	took := time.Since(start)
	s.end(t)
	return round(took).String()
}

// bulkMessage is the size of the messages of a bulk.
const bulkMessage = 32 << 10

// bulk is a load of about so many octets.
func bulk(octets int, stream uint16) load {
	return load{first: stream, size: bulkMessage, count: max(1, octets/bulkMessage), seed: 7 + uint64(stream)}
}

func bulkOut(s *scene) string {
	t := s.dial()
	l := bulk(s.w.stack.bulk(), 1)
	start := time.Now()
	s.send(t, l)
	s.end(t)
	took := time.Since(start)
	s.arrived(l)
	return rate(l.octets(), took)
}

func bulkIn(s *scene) string {
	t := s.dial()
	l := bulk(s.w.stack.bulk(), 1)
	start := time.Now()
	s.begin(l)
	s.must(t.came.await(s.ctx, l.octets()))
	took := time.Since(start)
	s.taken(l)
	s.receive(t, l)
	s.end(t)
	return rate(l.octets(), took)
}

func bulkBoth(s *scene) string {
	t := s.dial()
	out, in := bulk(s.w.stack.bulk()/8, 1), bulk(s.w.stack.bulk()/8, 2)
	start := time.Now()
	s.begin(in)
	s.send(t, out)
	s.must(t.came.await(s.ctx, in.octets()))
	s.taken(in)
	s.end(t)
	took := time.Since(start)
	s.receive(t, in)
	s.arrived(out)
	return rate(out.octets()+in.octets(), took)
}
