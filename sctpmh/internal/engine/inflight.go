package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// xmitNum numbers the transmissions of DATA chunks of an association, first
// sends and repetitions alike. It orders what TSNs cannot: repetitions.
type xmitNum uint64

// sentState is what became of a chunk that was sent.
type sentState uint8

const (
	inFlight sentState = iota // on its path's list, counted in its flight
	lost                      // to be sent again; on no list
	acked                     // by a gap report; freed when the cumulative TSN passes it
)

// A sentChunk is a DATA chunk that the peer has not acknowledged
// cumulatively.
type sentChunk struct {
	msg       *outMessage
	off, size int32 // the payload is msg.Data[off : off+size]
	state     sentState
	doubled   bool // the peer has it twice
	scattered bool // sent over more than one path: an acknowledgement proves none of them
	retries   uint16
	lossEvent lossEvent // when it was taken for lost
	lostOn    *path     // and the path whose window that reduced

	// Of the last transmission.
	path   *path
	sentAt Time
	xmit   xmitNum

	// Neighbours on the path's list while inFlight, as TSNs.
	prev, next       wire.TSN
	hasPrev, hasNext bool
}

// cost is what the chunk counts in flight: payload, header and padding.
func (c *sentChunk) cost() int { return dataHeader + int(c.size+3)&^3 }

// inflightRing holds the chunks from the cumulative TSN on.
//
// Invariant: it holds exactly the TSNs in [first, next), at index TSN modulo
// the ring's size, which is a power of two.
type inflightRing struct {
	ring        []sentChunk
	first, next wire.TSN
	lostCount   int
	ackedCount  int      // by gap reports
	lostHint    wire.TSN // no lost chunk comes before it
	payload     int      // octets of payload in chunks that are inFlight
	xmits       xmitNum
	repeatedAt  Time // when a chunk was last sent again
}

func newInflight(tsn wire.TSN) inflightRing {
	return inflightRing{ring: make([]sentChunk, 64), first: tsn, next: tsn}
}

func (f *inflightRing) len() int { return int(f.next.Sub(f.first)) }

// at returns the chunk of a TSN within [first, next).
func (f *inflightRing) at(t wire.TSN) *sentChunk {
	return &f.ring[uint32(t)&uint32(len(f.ring)-1)]
}

// push gives a chunk the next TSN. It counts as lost until sent is told the
// path it took.
func (f *inflightRing) push(c sentChunk) wire.TSN {
	if f.len() == len(f.ring) {
		f.grow()
	}
	t := f.next
	f.next = t.Add(1)
	c.state = lost
	*f.at(t) = c
	f.addLost(t)
	return t
}

func (f *inflightRing) grow() {
	bigger := make([]sentChunk, 2*len(f.ring))
	for t := f.first; t != f.next; t = t.Add(1) {
		bigger[uint32(t)&uint32(len(bigger)-1)] = *f.at(t)
	}
	f.ring = bigger
}

// sent puts a chunk onto a path's list as its last transmission.
func (f *inflightRing) sent(now Time, t wire.TSN, p *path) {
	c := f.at(t)
	if c.state == lost {
		f.lostCount--
	}
	if c.retries > 0 {
		f.repeatedAt = now
	}
	f.xmits++
	c.scattered = c.scattered || c.path != nil && c.path != p
	c.state, c.path, c.sentAt, c.xmit = inFlight, p, now, f.xmits
	l := &p.loss
	c.prev, c.hasPrev, c.hasNext = l.tail, l.count > 0, false
	if l.count > 0 {
		last := f.at(l.tail)
		last.next, last.hasNext = t, true
	} else {
		l.head = t
	}
	l.tail = t
	l.count++
	p.flight += c.cost()
	p.withdrawal.dataAt = now
	f.payload += int(c.size)
}

// remove takes a chunk off its path's list.
func (f *inflightRing) remove(t wire.TSN) {
	c := f.at(t)
	l := &c.path.loss
	if c.hasPrev {
		q := f.at(c.prev)
		q.next, q.hasNext = c.next, c.hasNext
	} else {
		l.head = c.next
	}
	if c.hasNext {
		q := f.at(c.next)
		q.prev, q.hasPrev = c.prev, c.hasPrev
	} else {
		l.tail = c.prev
	}
	l.count--
	c.path.flight -= c.cost()
	f.payload -= int(c.size)
}

// markLost has a chunk in flight sent again.
func (f *inflightRing) markLost(t wire.TSN) {
	f.remove(t)
	f.at(t).state = lost
	f.addLost(t)
}

func (f *inflightRing) addLost(t wire.TSN) {
	if f.lostCount == 0 || t.Less(f.lostHint) {
		f.lostHint = t
	}
	f.lostCount++
}

// markAcked notes that a chunk arrived.
func (f *inflightRing) markAcked(t wire.TSN) {
	c := f.at(t)
	switch c.state {
	case inFlight:
		f.remove(t)
	case lost:
		f.lostCount--
	}
	c.state = acked
	f.ackedCount++
}

// unack has a chunk sent again whose acknowledgement was withdrawn.
func (f *inflightRing) unack(t wire.TSN) {
	f.at(t).state = lost
	f.ackedCount--
	f.addLost(t)
}

// free drops the first chunk, which is acknowledged.
func (f *inflightRing) free() {
	*f.at(f.first) = sentChunk{}
	f.ackedCount--
	f.first = f.first.Add(1)
}

// firstLost returns the lowest TSN to be sent again.
func (f *inflightRing) firstLost() (wire.TSN, bool) {
	if f.lostCount == 0 {
		return 0, false
	}
	if f.lostHint.Less(f.first) {
		f.lostHint = f.first
	}
	for f.at(f.lostHint).state != lost {
		f.lostHint = f.lostHint.Add(1)
	}
	return f.lostHint, true
}
