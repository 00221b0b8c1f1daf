package engine

import (
	"net/netip"
	"slices"
	"time"
)

// PathState is what is believed of a path.
//
//	              HEARTBEAT ACK with our nonce
//	Unconfirmed ------------------------------> Active <-----------------+
//	                                              |                      |
//	                              first timeout   v                      | HEARTBEAT ACK, or
//	                                    PotentiallyFailed ---------------+ SACK of data that
//	                                              |                      | went over it once
//	            more than PathMaxRetrans errors   v                      |
//	                                           Inactive -----------------+
//
// (RFC 9260 sections 5.4 and 8.2; RFC 7829 section 3 with PFMR 0.)
type PathState uint8

// The states, best last.
const (
	Unconfirmed PathState = iota
	Inactive
	PotentiallyFailed
	Active
)

func (s PathState) String() string {
	switch s {
	case Unconfirmed:
		return "unconfirmed"
	case Inactive:
		return "inactive"
	case PotentiallyFailed:
		return "potentially-failed"
	case Active:
		return "active"
	}
	return "unknown"
}

// Sizes of a packet on a path, in octets.
const (
	// basePMTU is where every path starts: the minimum link of IPv6, which
	// tunnels and mobile networks carry too (RFC 8899 section 5.1.2,
	// BASE_PLPMTU).
	basePMTU = 1280

	// encapsulation is the IPv6 and UDP headers around an SCTP packet.
	encapsulation = 40 + 8

	// basePacket is the largest SCTP packet that every path carries.
	basePacket = basePMTU - encapsulation

	// maxSealRoom is what sealing a packet adds at most.
	maxSealRoom = 28

	commonHeader = 12
	dataHeader   = 16
)

// packetLimit is the largest SCTP packet without DATA that is built, with the
// octets that sealing adds left free.
func (c *Config) packetLimit() int { return basePacket - c.SealRoom }

// A path is one pair of addresses and all that is measured over it.
type path struct {
	pair       Pair
	addr       *peerAddr
	state      PathState
	withdrawal withdrawal
	errors     int // consecutive, RFC 9260 section 8.2
	lastError  Time
	stalls     int // timeouts of data since data was last acknowledged here; a heartbeat does not clear them
	quality    quality
	order      int // position at creation, the last tie-breaker

	rto  rtoState
	cc   congestion
	loss lossState
	hb   heartbeat
	pmtu pmtuState

	pacer  pacer
	ecnOff bool // ECN-capable packets seem not to pass

	delivered bool // data, once

	// Invariant: flight is the sum of the sizes of the chunks in loss.sent.
	flight int

	lastSent Time // last DATA or HEARTBEAT
	heardAt  Time // last packet from the peer
	stats    pathStats
}

type pathStats struct {
	txBytes, rxBytes, retransmits uint64
}

// PathInfo is a path as its user sees it.
type PathInfo struct {
	Pair
	State                         PathState
	Confirmed                     bool // a nonce or the handshake proved it
	InUse                         bool // new data leaves over it now
	SRTT, RTO                     time.Duration
	Cwnd                          int // octets
	MTU                           int // octets of an IP packet
	TxBytes, RxBytes, Retransmits uint64
	Errors                        int // consecutive
}

func (p *path) confirmed() bool { return p.state != Unconfirmed }

// A peerAddr is a remote IP address and how much it was bothered before it
// answered. Several paths end at one.
//
// Invariant: until proven, at most maxProbes packets are sent to it before
// the first quiet period, and one in each after that.
type peerAddr struct {
	addr   netip.Addr
	proven bool // a packet of the handshake or a nonce came back from it
	probes int
	quiet  Time // no probe before it
}

// Silence after maxProbes unanswered probes, doubled after each further one
// up to the maximum. An address of the peer that is dead when the association
// begins is found again this way; a stranger hears ten small packets in the
// first hour.
const (
	probeQuiet    = 30 * time.Second
	maxProbeQuiet = time.Hour
)

// mayProbe reports whether a packet may be sent to the address now.
func (r *peerAddr) mayProbe(now Time) bool { return r.proven || !now.Before(r.quiet) }

// probed counts a packet to the address.
func (r *peerAddr) probed(now Time) {
	if r.probes++; !r.proven && r.probes >= maxProbes {
		r.quiet = now.Add(min(probeQuiet<<min(r.probes-maxProbes, 8), maxProbeQuiet))
	}
}

// pathSet is the paths of an association, the known remote addresses, and
// the path that new data takes.
//
// Invariant: current is nil or a confirmed member of all.
type pathSet struct {
	all       []*path
	addrs     []*peerAddr
	permitted []netip.AddrPort // V: the addresses that may be probed, h among them, each with the port to be tried
	current   *path
	primary   *path // preferred while active; nil: whichever works stays
	created   int
}

func (s *pathSet) find(on Pair) *path {
	for _, p := range s.all {
		if p.pair == on {
			return p
		}
	}
	return nil
}

// addrOf returns the record of a remote address, nil when it is unknown.
func (s *pathSet) addrOf(a netip.Addr) *peerAddr {
	for _, r := range s.addrs {
		if r.addr == a {
			return r
		}
	}
	return nil
}

// permits reports whether an address of the peer may be used at all.
func (s *pathSet) permits(a netip.Addr) bool {
	return slices.ContainsFunc(s.permitted, func(r netip.AddrPort) bool { return r.Addr() == a })
}

// joins reports whether there is a path between two addresses, whatever the
// remote port.
func (s *pathSet) joins(local netip.AddrPort, remote netip.Addr) bool {
	return slices.ContainsFunc(s.all, func(p *path) bool { return p.pair.Local == local && p.addr.addr == remote })
}

// answersAt returns where to ask an address of the peer: at the port at which it
// has answered already, if it has.
func (s *pathSet) answersAt(r netip.AddrPort) netip.AddrPort {
	for _, p := range s.all {
		if p.confirmed() && p.addr.addr == r.Addr() {
			return p.pair.Remote
		}
	}
	return r
}

// ensureAddr returns the record of a, made when there is room for it. Records
// of addresses that never answered stay as long as the association does: a name
// whose addresses change would otherwise be a way to bother one stranger after
// the other.
func (s *pathSet) ensureAddr(a netip.Addr) *peerAddr {
	if r := s.addrOf(a); r != nil {
		return r
	}
	if len(s.addrs) >= maxPaths {
		return nil
	}
	r := &peerAddr{addr: a}
	s.addrs = append(s.addrs, r)
	return r
}

// addPath returns the path on a pair, made unconfirmed when it is new and there
// is room. An unconfirmed path between the same addresses whose remote port
// was a guess takes the port of the pair instead.
func (a *Assoc) addPath(on Pair) *path {
	s := &a.paths
	if p := s.find(on); p != nil {
		return p
	}
	addr := s.ensureAddr(on.Remote.Addr())
	if addr == nil {
		return nil
	}
	for _, p := range s.all {
		if p.state == Unconfirmed && p.pair.Local == on.Local && p.addr == addr {
			p.pair = on
			return p
		}
	}
	if len(s.all) >= maxPaths {
		return nil
	}
	p := &path{pair: on, addr: addr, order: s.created}
	p.begin(&a.cfg)
	s.created++
	s.all = append(s.all, p)
	return p
}

// begin sets what is measured of a path to where it starts.
func (p *path) begin(cfg *Config) {
	event := p.cc.undo.event
	p.rto = newRTO(cfg)
	p.pmtu = pmtuState{size: p.base(), high: p.largest(cfg)}
	p.cc = newCongestion(cfg.CongestionControl, p.pmdcs(cfg), p.pair.Remote.Addr().Is4())
	p.cc.undo.event = event + 1 // chunks remember the old one
}

// evictPath makes room for a path that the peer was heard over, or for those of
// a local address that is new and spared: one goes that the peer was never heard
// over, else one that is dead, such as the old port of an address whose
// translator began anew.
func (a *Assoc) evictPath(now Time, spared netip.AddrPort) {
	var dead *path
	for _, p := range a.paths.all {
		switch {
		case p.pair.Local == spared:
		case !p.confirmed() && p.stats.rxBytes == 0:
			a.removePath(now, p)
			return
		case p.state == Inactive && p != a.paths.current && p.flight == 0:
			dead = p
		}
	}
	if dead != nil {
		a.removePath(now, dead)
	}
}

// setState records what is now believed of a path and tells the user.
func (a *Assoc) setState(now Time, p *path, st PathState) {
	if p.state == st {
		return
	}
	switch {
	case st == Active:
		p.quality.returned(now, p.pto())
	case p.state == Active:
		p.quality.failed(now)
	}
	p.state = st
	a.events.push(Event{Kind: EventPath, Pair: p.pair, State: st})
}

// confirm makes a path usable: its nonce came back, or the handshake did.
func (a *Assoc) confirm(now Time, p *path) {
	p.addr.proven = true
	if !p.confirmed() {
		a.startPMTU(now, p)
	}
	a.pathWorks(now, p)
}

// pathWorks notes proof that both directions of a path work (RFC 9260
// section 8.2: "the endpoint MUST clear the error counter").
func (a *Assoc) pathWorks(now Time, p *path) {
	p.errors = 0
	a.assocErrors = 0
	a.setState(now, p, Active)
	a.reselect(now, CauseCommand)
}

// pathError counts a timeout of data or heartbeat on a confirmed path.
func (a *Assoc) pathError(now Time, p *path, cause FailoverCause) {
	if p.state != Inactive || a.allInactive() {
		p.errors++ // no further once it is inactive (section 8.3), but to give up
	}
	p.lastError = now
	if cause != CauseProbe || p == a.paths.current || a.allInactive() {
		// A path that is idle and dead says nothing of the one in use (section
		// 8.1).
		a.assocErrors++
	}
	if p.errors > a.cfg.PathMaxRetrans {
		a.setState(now, p, Inactive)
	} else if p.state == Active {
		a.setState(now, p, PotentiallyFailed)
		a.probeAll(now)
	}
	a.reselect(now, cause)
	if a.assocErrors > a.maxErrors() {
		a.fail(now, &TimeoutError{Op: "association", Tried: a.confirmedPairs()})
	}
}

// allInactive reports whether no path is believed to work.
func (a *Assoc) allInactive() bool {
	for _, p := range a.paths.all {
		if p.state >= PotentiallyFailed {
			return false
		}
	}
	return true
}

// maxErrors is Association.Max.Retrans: never less than the paths' own limits
// together, so that no working path is given up because others died (RFC 9260
// section 8.1).
func (a *Assoc) maxErrors() int {
	sum := 0
	for _, p := range a.paths.all {
		if p.confirmed() {
			sum += a.cfg.PathMaxRetrans
		}
	}
	return max(sum, a.cfg.AssocMaxRetrans)
}

func (a *Assoc) confirmedPairs() []Pair {
	var pairs []Pair
	for _, p := range a.paths.all {
		if p.confirmed() {
			pairs = append(pairs, p.pair)
		}
	}
	return pairs
}

// AppendPaths appends every path to dst.
func (a *Assoc) AppendPaths(dst []PathInfo) []PathInfo {
	for _, p := range a.paths.all {
		dst = append(dst, PathInfo{
			Pair:        p.pair,
			State:       p.state,
			Confirmed:   p.confirmed(),
			InUse:       a.inUse(p),
			SRTT:        p.rto.srtt,
			RTO:         p.rto.rto,
			Cwnd:        p.cc.cwnd,
			MTU:         p.pmtu.size + p.headers(),
			TxBytes:     p.stats.txBytes,
			RxBytes:     p.stats.rxBytes,
			Retransmits: p.stats.retransmits,
			Errors:      p.errors,
		})
	}
	return dst
}
