package engine

import (
	"net/netip"
	"slices"
)

// What becomes of addresses that the peer gives up, or this host. New data leaves a path to
// one as soon as another path works. The path is kept while it is of use: it
// may be the last one that works, and as long as the peer sends data over it,
// to forget it would be to drop that data.

// idleIntervals is how many heartbeat intervals a withdrawn path is kept after
// the last DATA over it. The peer, whose probes of it are not answered from
// then on, has had the time to see that others work.
const idleIntervals = 2

// withdrawal is the end of one path.
//
// Invariant: due is armed exactly while one of the path's addresses is withdrawn.
type withdrawal struct {
	due    deadline // forget the path if it is idle
	dataAt Time     // last DATA, either way
}

// withdrawn reports whether the peer's address is no longer permitted, or the
// local one is gone.
func (p *path) withdrawn() bool { return p.withdrawal.due.armed }

// SetCandidates says which addresses the peer has, and the UDP port of each, 0
// for that of the handshake. It replaces what was permitted before, the address
// of the handshake with it: unless that is named it is withdrawn like any other
// that is missing. What is new is probed, and used once it has answered; what
// comes back is asked at once.
func (a *Assoc) SetCandidates(now Time, v []netip.AddrPort) {
	if a.state < Established || a.state == Closed {
		return
	}
	var allowed []netip.AddrPort
	for _, r := range v {
		addr, port := r.Addr().Unmap(), or(r.Port(), a.peer.handshake.Remote.Port())
		named := func(x netip.AddrPort) bool { return x.Addr() == addr }
		if len(allowed) <= maxPeerAddrs && addr.IsValid() && !slices.ContainsFunc(allowed, named) {
			allowed = append(allowed, netip.AddrPortFrom(addr, port))
		}
	}
	a.paths.permitted = allowed
	a.sortOut(now)
	a.permitPaths(now)
	a.reselect(now, CauseCommand)
}

// mayUse reports whether a pair may become a path: the peer's address is
// permitted, and the local one is there.
func (a *Assoc) mayUse(on Pair) bool {
	return a.paths.permits(on.Remote.Addr()) && slices.Contains(a.cfg.Locals, on.Local)
}

// sortOut withdraws the paths that may not be used any more, and takes that back
// for those that may again.
func (a *Assoc) sortOut(now Time) {
	for _, p := range slices.Clone(a.paths.all) {
		switch {
		case a.mayUse(p.pair):
			a.reinstate(now, p)
		case !p.confirmed():
			a.removePath(now, p)
		case !p.withdrawn():
			p.withdrawal.due.set(now.Add(idleIntervals * a.cfg.HeartbeatInterval))
		}
	}
}

// permitPaths probes the pairs that may become paths, as far as there is room.
func (a *Assoc) permitPaths(now Time) {
	for _, r := range a.paths.permitted {
		for _, local := range a.cfg.Locals {
			if local.Addr().Is4() == r.Addr().Is4() {
				// The port may be a guess; the peer's own probes correct it.
				a.permitPath(now, Pair{Local: local, Remote: r})
			}
		}
	}
}

// permitPath probes a pair unless there is a path between its addresses.
func (a *Assoc) permitPath(now Time, on Pair) {
	if a.paths.joins(on.Local, on.Remote.Addr()) {
		return
	}
	on.Remote = a.paths.answersAt(on.Remote)
	if p := a.addPath(on); p != nil {
		a.probeNow(now, p)
	}
}

// reinstate takes a withdrawal back. The address may have served somebody else
// meanwhile, so it is asked at once.
func (a *Assoc) reinstate(now Time, p *path) {
	if p.withdrawn() {
		p.withdrawal.due.stop()
		a.probeNow(now, p)
	}
}

// expireWithdrawn forgets withdrawn paths that nobody uses. One that data takes
// stays, and so does the last one that works.
func (a *Assoc) expireWithdrawn(now Time) {
	for _, p := range slices.Clone(a.paths.all) {
		w := &p.withdrawal
		if !w.due.due(now) {
			continue
		}
		keep := idleIntervals * a.cfg.HeartbeatInterval
		idle := w.dataAt == 0 || now.Sub(w.dataAt) >= keep
		other := slices.ContainsFunc(a.paths.all, func(q *path) bool { return q != p && q.state == Active })
		switch {
		case !idle:
			w.due.set(w.dataAt.Add(keep))
		case p == a.paths.current || p.flight > 0 || !other || a.state > ShutdownReceived:
			w.due.set(now.Add(keep))
		default:
			a.removePath(now, p)
			a.permitPaths(now) // there is room
		}
	}
}

// removePath forgets a path that carries no data, and its address when that has
// answered once and no other path ends there. An address that never did stays
// known, so that to name it again and again does not bother it any more.
func (a *Assoc) removePath(now Time, p *path) {
	s := &a.paths
	if p.flight != 0 || p == s.current {
		panic("BUG: removing a path that carries data")
	}
	if p == s.primary {
		s.primary = nil
	}
	a.setState(now, p, Unconfirmed) // should it come back, it has to be proved
	s.all = slices.DeleteFunc(s.all, func(q *path) bool { return q == p })
	if p.addr.proven && !slices.ContainsFunc(s.all, func(q *path) bool { return q.addr == p.addr }) {
		s.addrs = slices.DeleteFunc(s.addrs, func(r *peerAddr) bool { return r == p.addr })
	}
}
