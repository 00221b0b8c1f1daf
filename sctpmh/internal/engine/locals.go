package engine

import (
	"net/netip"
	"slices"
)

// What becomes of the paths when this host's addresses change: one stops or
// starts to lead out, a new one comes, one goes for good.

// LocalFailed says that a local address or its link went away: its paths are
// in doubt at once, without waiting for a timeout.
//
// It may be called for every packet that cannot leave: only news makes probes.
// Were the failure of a probe to cause the next one, there would be no end.
func (a *Assoc) LocalFailed(now Time, local netip.Addr) {
	news := false
	for _, p := range a.paths.all {
		if p.pair.Local.Addr() == local && p.state == Active {
			a.setState(now, p, PotentiallyFailed)
			a.loseFlight(now, p)
			p.begin(&a.cfg) // what comes back may be another network (section 7.2.5)
			news = true
		}
	}
	if news {
		a.probeAll(now)
		a.reselect(now, CauseInterface)
	}
}

// LocalRestored says that a local address leads out again: its paths are asked
// at once.
func (a *Assoc) LocalRestored(now Time, local netip.Addr) {
	for _, p := range a.paths.all {
		if p.pair.Local.Addr() == local && p.confirmed() && p.state != Active {
			p.hb.timeout.stop()
			p.hb.next.set(now)
		}
	}
}

// LocalAdded says that there is one more local address, or one again. Its pairs
// with the permitted addresses of the peer are probed and, once they answered,
// used; how many and how often is bounded as for those that were there at first.
// The peer takes them for paths if it permits the address: it may have to learn of
// it first, so it is asked again and again.
func (a *Assoc) LocalAdded(now Time, local netip.AddrPort) {
	if !slices.Contains(a.cfg.Locals, local) {
		a.cfg.Locals = append(slices.Clip(a.cfg.Locals), local)
	}
	if !a.Established() {
		return // establish comes to it
	}
	a.sortOut(now)
	a.LocalRestored(now, local.Addr())
	for _, r := range a.paths.permitted {
		if r.Addr().Is4() != local.Addr().Is4() || a.paths.joins(local, r.Addr()) {
			continue
		}
		if len(a.paths.all) >= maxPaths {
			a.evictPath(now, local) // what has come up counts more than what is dead
		}
		a.permitPath(now, Pair{Local: local, Remote: r})
	}
	a.reselect(now, CauseCommand)
}

// LocalRemoved says that a local address is gone for good, and the socket with
// it. Its paths are left at once and forgotten like those to an address that the
// peer gave up; the last one that worked stays, for the address to come back.
func (a *Assoc) LocalRemoved(now Time, local netip.AddrPort) {
	gone := func(l netip.AddrPort) bool { return l == local }
	a.cfg.Locals = slices.DeleteFunc(slices.Clone(a.cfg.Locals), gone)
	if !a.Established() {
		return
	}
	a.sortOut(now)
	a.LocalFailed(now, local.Addr())
	a.permitPaths(now) // where unconfirmed ones made room
}
