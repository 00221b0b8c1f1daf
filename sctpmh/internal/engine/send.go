package engine

import "github.com/sctpmh/mh/sctpmh/internal/wire"

// Poll appends the next packet that is to be sent to buf and says over which
// pair. The driver calls it after every step until it reports false.
func (a *Assoc) Poll(now Time, buf []byte) (out []byte, on Pair, ok bool) {
	a.marks = Marks{}
	if out, on, ok = a.pollReply(buf); ok {
		return out, on, true
	}
	switch a.state {
	case Closed:
		return buf, Pair{}, false
	case CookieWait, CookieEchoed:
		return a.pollHandshake(now, buf)
	}
	if out, on, ok = a.pollHeartbeat(now, buf); ok {
		return out, on, true
	}
	if out, on, ok = a.pollPMTU(now, buf); ok {
		return out, on, true
	}
	if out, on, ok = a.pollData(now, buf); ok {
		return out, on, true
	}
	if out, on, ok = a.pollShutdown(now, buf); ok {
		return out, on, true
	}
	return a.pollSack(buf)
}

// Marks is how a packet has to leave.
type Marks struct {
	Alone    bool // it may be too large for its path: what fails with it must not take others along
	Fragment bool // the network may fragment it
	ECT      bool // it is ECN-capable
}

// Marks returns how the packet that Poll returned last has to leave.
func (a *Assoc) Marks() Marks { return a.marks }

// oversize is how DATA leaves that exceeds what its path is known to carry.
func oversize(yes bool) Marks { return Marks{Alone: yes, Fragment: yes} }

// beginPacket appends a common header.
func (a *Assoc) beginPacket(b []byte, tag wire.Tag) []byte {
	return wire.AppendHeader(b, wire.Header{SrcPort: a.cfg.Port, DstPort: a.peer.port, Tag: tag})
}

// endPacket completes the packet that starts at b[start:].
func (a *Assoc) endPacket(b []byte, start int, p *path) []byte {
	wire.SetChecksum(b[start:])
	a.stats.PacketsSent++
	if p != nil {
		p.stats.txBytes += uint64(len(b) - start)
	}
	return b
}

// pollData builds a packet of DATA chunks for the path in use: first what
// was lost, then what is new (RFC 9260 section 6.1 rule C). A pending SACK
// goes ahead of them if it fits.
func (a *Assoc) pollData(now Time, buf []byte) ([]byte, Pair, bool) {
	if !a.maySendData() {
		return buf, Pair{}, false
	}
	p, cost := a.dataPath(now)
	if p == nil {
		return buf, Pair{}, false
	}
	ok := true
	p.loss.rush = false
	p.cc.use(now, p.flight == 0, p.rto.rto, p.pmdcs(&a.cfg))
	start, limit := len(buf), p.packetLimit(&a.cfg)
	b := a.beginPacket(buf, a.peer.tag)
	if room := limit - commonHeader - cost; a.sack.pending() && room >= a.sackLen() && a.sackPath() == p {
		b = a.appendSack(b, p, room)
	}
	last := 0        // where the last chunk starts
	restart := false // T3-rtx: a TSN below those outstanding on the path is sent again (section 6.1)
	for first := true; ok && (first || p.flight < p.cc.cwnd && len(b)-start+cost <= limit); first = false {
		last = len(b)
		if t, repeat := a.flight.firstLost(); repeat && p.loss.count > 0 && t.Less(p.loss.head) {
			restart = true
		}
		b = a.appendNextChunk(now, b, p)
		cost, ok = a.nextChunk(now, p)
	}
	if ok && p.flight >= p.cc.cwnd {
		p.cc.full = a.flight.xmits
	}
	if !ok || p.flight >= p.cc.cwnd && (p.loss.count <= fewChunks || !a.cfg.Aggregate) {
		// The end of a flight: the peer need not wait for more before it
		// acknowledges (RFC 9260 section 6.2, RFC 7053).
		b[last+1] |= wire.FlagI
	}
	// A chunk that was cut for another path cannot be cut again: IP has to
	// (section 6.9).
	a.marks = oversize(len(b)-start > limit)
	a.marks.ECT = a.capable(p)
	p.pacer.sent(len(b) - start)
	p.lastSent = now
	p.armT3(now, restart)
	if !a.peer.windowProbe {
		p.armProbe(now)
	}
	return a.endPacket(b, start, p), p.pair, true
}

// admits reports whether congestion control lets a packet with DATA leave over
// a path now.
func (a *Assoc) admits(now Time, p *path) bool {
	switch {
	case p.loss.mayRush(&a.flight):
		return true
	case p.flight >= p.cc.cwnd:
		p.cc.full = a.flight.xmits
		return false
	case p.loss.single && p.flight > 0:
		return false
	}
	return p.pacer.allow(now, &p.cc, p.rto.srtt, p.pmdcs(&a.cfg))
}

// maySendData reports whether DATA may leave in the present state (RFC 9260
// section 4, figure 3).
func (a *Assoc) maySendData() bool {
	return a.state == Established || a.state == ShutdownPending || a.state == ShutdownReceived
}

// nextChunk returns what the DATA chunk that comes next costs over p, padding
// and header included, and whether there is one that the peer's window admits.
func (a *Assoc) nextChunk(now Time, p *path) (cost int, ok bool) {
	if t, ok := a.flight.firstLost(); ok {
		return a.flight.at(t).cost(), true
	}
	m := a.out.peek()
	if m == nil || a.flight.len() >= maxInFlight {
		return 0, false
	}
	size := min(len(m.Data)-m.sent, p.maxPayload(&a.cfg))
	if size > a.peer.rwnd && !a.mayProbeWindow(now) {
		return 0, false
	}
	return dataHeader + (size+3)&^3, true
}

// mayProbeWindow reports whether a chunk may exceed the peer's window: one, when
// nothing is in flight and the window has been closed for a retransmission
// timeout. From then on T3-rtx repeats it, ever more seldom (section 6.1 rule
// A). It notes when the first one is due.
func (a *Assoc) mayProbeWindow(now Time) bool {
	probe := &a.peer.probe
	if a.flight.len() > 0 {
		return false
	}
	if !probe.armed {
		probe.set(now.Add(a.paths.current.rto.rto))
	}
	return probe.due(now)
}

// appendNextChunk appends the chunk that nextChunk named and notes it as sent
// over p.
func (a *Assoc) appendNextChunk(now Time, b []byte, p *path) []byte {
	t, repeat := a.flight.firstLost()
	if repeat {
		a.flight.at(t).retries++
		p.stats.retransmits++
		a.stats.Retransmits++
		a.peer.rwnd = max(0, a.peer.rwnd-int(a.flight.at(t).size)) // section 6.2.1 rule B
	} else {
		m := a.out.peek()
		size := min(len(m.Data)-m.sent, p.maxPayload(&a.cfg))
		t = a.flight.push(sentChunk{msg: m, off: int32(m.sent), size: int32(size)})
		a.out.took(m, size)
		a.peer.windowProbe = size > a.peer.rwnd
		a.peer.probe.stop()
		a.peer.rwnd = max(0, a.peer.rwnd-size)
	}
	a.flight.sent(now, t, p)
	a.stats.ChunksSent++
	return a.appendData(b, t)
}

// appendData appends the DATA chunk of a TSN in flight.
func (a *Assoc) appendData(b []byte, t wire.TSN) []byte {
	c := a.flight.at(t)
	end := c.off + c.size
	return wire.AppendData(b, &wire.Data{
		Unordered: c.msg.Unordered,
		Begin:     c.off == 0,
		End:       int(end) == len(c.msg.Data),
		TSN:       t,
		Stream:    c.msg.Stream,
		SSN:       c.msg.ssn,
		PPID:      c.msg.PPID,
		Payload:   c.msg.Data[c.off:end],
	})
}

// pollSack builds a SACK that goes alone.
func (a *Assoc) pollSack(buf []byte) ([]byte, Pair, bool) {
	if !a.sack.now || a.state < Established {
		return buf, Pair{}, false
	}
	p := a.sackPath()
	if p == nil {
		return buf, Pair{}, false
	}
	b := a.appendSack(a.beginPacket(buf, a.peer.tag), p, a.cfg.packetLimit()-commonHeader)
	return a.endPacket(b, len(buf), p), p.pair, true
}
