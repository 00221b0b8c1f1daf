package engine

import (
	"encoding/binary"
	"time"

	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// pmtuState finds the largest packet that a path carries: Datagram
// Packetization Layer Path MTU Discovery (RFC 8899), with HEARTBEATs that PAD
// chunks (RFC 4820) fill up as probes. It starts from what every path carries
// and asks for more; what routers say is at most a reason to ask for less.
//
//	base --probe answered--> larger --nothing left to try--> complete
//	 ^                          |                               |
//	 +------- black hole -------+------- (asked again after) ---+ pmtuRaise
//
// Sizes are those of SCTP packets in octets, room for sealing included.
//
// Invariant: base <= size <= high <= largest of the path, and at most one probe
// is outstanding.
type pmtuState struct {
	size    int // packets up to it pass
	high    int // none above it does, as far as is known
	probe   int // size of the probe that is due or outstanding, 0: none
	tries   int // times that this size was probed
	due     bool
	resting bool // next is PMTU_RAISE_TIMER
	nonce   uint64
	next    deadline // for the next probe
	timeout deadline // of the outstanding one
}

const (
	// maxPMTU is the largest IP packet that may be tried: jumbo frames.
	maxPMTU = 9000

	// etherMTU is what most networks carry.
	etherMTU = 1500

	// pmtuTries is MAX_PROBES: so many are lost before a size is given up (RFC
	// 8899 section 5.1.2).
	pmtuTries = 3

	// pmtuStep ends the search: less is not worth a probe.
	pmtuStep = 16

	// pmtuTimeout is the least PROBE_TIMER (RFC 8899 section 5.1.1: not below
	// one second).
	pmtuTimeout = time.Second

	// pmtuRaise is PMTU_RAISE_TIMER: how long a result is good (RFC 8899
	// section 5.1.1).
	pmtuRaise = 600 * time.Second

	// staleRepeats is how often a large chunk is lost over one path before its
	// size is suspected, while smaller ones arrive.
	staleRepeats = 2
)

// headers is what IP and UDP add to a packet on a path.
func (p *path) headers() int {
	if p.pair.Remote.Addr().Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// largest is the largest packet that is tried.
func (p *path) largest(cfg *Config) int { return cfg.MaxPMTU - p.headers() }

// base is the largest packet that needs no proof.
func (p *path) base() int { return basePMTU - p.headers() }

// startPMTU begins the search on a path that was just proved.
func (a *Assoc) startPMTU(now Time, p *path) {
	p.pmtu.next.set(now)
}

// nextSize returns the size to be tried next, 0 when the search is complete:
// Ethernet's first, then jumbo frames, else the middle of what is unknown.
func (p *path) nextSize(cfg *Config) int {
	m := &p.pmtu
	ether, largest := etherMTU-p.headers(), p.largest(cfg)
	switch {
	case m.size < ether && m.high >= ether:
		return ether
	case m.size == ether && m.high == largest && largest > ether:
		return largest
	case m.size >= ether || m.high-m.size < pmtuStep:
		return 0 // links between Ethernet and jumbo frames are rare
	}
	return (m.size + m.high + 1) / 2 &^ 3
}

// expirePMTU handles both deadlines of a path's search.
func (a *Assoc) expirePMTU(now Time, p *path) {
	m := &p.pmtu
	if m.timeout.due(now) {
		m.timeout.stop()
		if m.tries >= pmtuTries {
			m.high = max(m.size, m.probe-4)
			m.tries, m.nonce = 0, 0
		}
		m.next.set(now)
	}
	if !m.next.due(now) {
		return
	}
	m.next.stop()
	switch {
	case p.state != Active:
		m.next.set(now.Add(pmtuTimeout)) // losses would mean nothing
		return
	case m.resting:
		m.high = p.largest(&a.cfg) // the route may carry more by now
	}
	m.resting = false
	if m.probe = p.nextSize(&a.cfg); m.probe == 0 {
		m.resting = true
		m.next.set(now.Add(pmtuRaise))
		return
	}
	m.due = true
}

// pollPMTU builds a probe that is due.
func (a *Assoc) pollPMTU(now Time, buf []byte) ([]byte, Pair, bool) {
	for _, p := range a.paths.all {
		m := &p.pmtu
		if !m.due {
			continue
		}
		m.due = false
		m.tries++
		m.nonce = newNonce(a.rng)
		m.timeout.set(now.Add(max(pmtuTimeout, 2*p.rto.srtt)))
		b := a.beginPacket(buf, a.peer.tag)
		b = wire.AppendHeartbeat(b, wire.TypeHeartbeat, binary.BigEndian.AppendUint64(a.scratch[:0], m.nonce))
		if n := m.probe - a.cfg.SealRoom - (len(b) - len(buf)) - wire.ChunkHeaderLen; n >= 0 {
			b = wire.AppendPad(b, n)
		}
		a.stats.SizeProbes++
		a.marks = Marks{Alone: true}
		return a.endPacket(b, len(buf), p), p.pair, true
	}
	return buf, Pair{}, false
}

// sizePassed takes the answer to a probe.
func (a *Assoc) sizePassed(now Time, p *path) {
	m := &p.pmtu
	m.nonce = 0
	m.timeout.stop()
	m.size = max(m.size, m.probe)
	m.probe, m.tries = 0, 0
	m.next.set(now)
}

// suspectSize notes that large packets vanish on a path that still carries
// others, or seems dead: from base on it is searched again. The window keeps
// its octets.
func (a *Assoc) suspectSize(now Time, p *path) {
	m := &p.pmtu
	if m.size == p.base() {
		return
	}
	m.high = max(p.base(), m.size-4)
	m.size, m.probe, m.tries, m.nonce, m.due, m.resting = p.base(), 0, 0, 0, false, false
	m.timeout.stop()
	m.next.set(now.Add(pmtuTimeout))
	a.stats.BlackHoles++
}

// Hint takes what an ICMP message says of a packet that left over a pair: the
// start of the packet as quoted, and the largest IP packet that would pass, in
// octets. Whoever does not know the peer's tag and ports cannot have seen the
// packet and is not believed (RFC 9260 section 10, RFC 8899 section 4.6.1). A
// hint only ever lowers the size, to base at the least, and has the size that
// it names probed.
func (a *Assoc) Hint(now Time, on Pair, quoted []byte, mtu int) {
	h, ok := wire.ParseHeader(quoted)
	p := a.paths.find(on)
	if !ok || p == nil || a.peer.tag == 0 || h.Tag != a.peer.tag || h.SrcPort != a.cfg.Port || h.DstPort != a.peer.port {
		return
	}
	m := &p.pmtu
	size := (mtu - p.headers()) &^ 3
	if size < p.base() || size >= m.high {
		return // nonsense, or news of old
	}
	if size < m.size {
		m.size = p.base()
		a.stats.BlackHoles++
	}
	m.high, m.probe, m.tries, m.nonce, m.due, m.resting = size, size, 0, 0, true, false
	m.timeout.stop()
	m.next.stop()
}

// packetLimit is the largest packet with DATA that is built for a path, with
// the octets that sealing adds left free.
func (p *path) packetLimit(cfg *Config) int { return p.pmtu.size - cfg.SealRoom }

// maxPayload is the largest payload of a DATA chunk that is alone in its
// packet.
func (p *path) maxPayload(cfg *Config) int { return p.packetLimit(cfg) - commonHeader - dataHeader }

// pmdcs is the Path Maximum DATA Chunk Size, in which the window is counted
// (RFC 9260 section 1.3).
func (p *path) pmdcs(cfg *Config) int { return p.packetLimit(cfg) - commonHeader }
