package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
	"github.com/sctpmh/mh/sctpmh/internal/wire"
)

// bothered counts what an association sends to an address that never answers.
type bothered struct {
	by      *Assoc
	addr    netip.Addr
	first   Time
	packets int
}

// allowed is how many packets an address that never answers may get within a
// time: maxProbes at first, then one after each silence.
func (b *bothered) allowed(now Time) int {
	n := maxProbes
	quiet := probeQuiet
	for t := b.first.Add(quiet); t <= now; t = t.Add(quiet) {
		n++
		quiet = min(2*quiet, maxProbeQuiet)
	}
	return n
}

// inspect checks a packet that leaves. a is nil when the endpoint sends it.
func (s *simNode) inspect(now Time, a *Assoc, on Pair, p netsim.Packet) {
	if *simTrace {
		fmt.Printf("%d %v sends %s\n", now, s.name, wire.Text(p.Data))
	}
	info := PathInfo{MTU: basePMTU}
	sealed := 0
	if a != nil {
		sealed = a.cfg.SealRoom
		for _, i := range a.AppendPaths(s.paths[:0]) {
			if i.Pair == on {
				info = i
			}
		}
	}
	if slices.Contains(s.silent, on.Remote.Addr()) {
		s.bother(now, a, on.Remote.Addr(), p.Data)
	}
	if has(p.Data, wire.TypeData) && !has(p.Data, wire.TypeCookieEcho) && !info.Confirmed {
		s.fail("DATA over %v, which is not confirmed", on)
	}
	limit := info.MTU
	switch {
	case p.Fragment:
		limit = maxPMTU + 20 + sealed // it was cut for another path, of IPv4 maybe
	case has(p.Data, wire.TypePad):
		limit = a.cfg.MaxPMTU // a probe
	}
	if has(p.Data, wire.TypeInit) {
		sealed = 0
	}
	if p.Len()+sealed > limit && !slices.Contains(s.gone, on.Local.Addr()) { // it was built before its link was gone
		s.fail("an IP packet of %d octets, and %d for sealing, over %v; the limit is %d: %s", p.Len(), sealed, on, limit, wire.Text(p.Data))
	}
}

// bother counts a packet to an address that never answers.
func (s *simNode) bother(now Time, a *Assoc, to netip.Addr, packet []byte) {
	if !has(packet, wire.TypeInit) && !has(packet, wire.TypeHeartbeat) || has(packet, wire.TypePad) && !has(packet, wire.TypeInit) {
		s.fail("no probe, to %v, which never answered: %s", to, wire.Text(packet))
	}
	r := &s.record
	i := slices.IndexFunc(r.bothered, func(b bothered) bool { return b.by == a && b.addr == to })
	if i < 0 {
		i = len(r.bothered)
		r.bothered = append(r.bothered, bothered{by: a, addr: to, first: now})
	}
	b := &r.bothered[i]
	if b.packets++; b.packets > b.allowed(now) {
		s.fail("packet %d within %v to %v, which never answered: %s", b.packets, now.Sub(b.first), to, wire.Text(packet))
	}
}

// check is called when a step is over.
func (s *simNode) check() {
	for _, a := range append(s.former, s.assoc) {
		if a == nil {
			continue
		}
		if err := a.Check(); err != nil {
			s.fail("%w", err)
		}
		if err := checkLimits(a); err != nil {
			s.fail("%w", err)
		}
	}
	if n := len(s.ep.replies); n > 0 {
		s.fail("%d replies are left", n)
	}
}

// checkLimits finds what exceeds its bound in limits.go.
func checkLimits(a *Assoc) error {
	for _, l := range []struct {
		what      string
		n, atMost int
	}{
		{"paths", len(a.paths.all), maxPaths},
		{"addresses", len(a.paths.addrs), maxPaths},
		{"permitted addresses", len(a.paths.permitted), maxPeerAddrs + 1},
		{"listed addresses", len(a.peer.listed), maxPeerAddrs},
		{"replies", len(a.replies), maxReplies},
		{"gaps", len(a.rcv.gaps), maxGaps},
		{"chunks in flight", a.flight.len(), maxInFlight},
		{"octets to be sent", a.out.buffered, a.cfg.SendBuffer + MaxMessage},
		{"octets announced", a.sack.window, a.cfg.ReceiveBuffer},
	} {
		if l.n > l.atMost {
			return fmt.Errorf("%d %s, at most %d", l.n, l.what, l.atMost)
		}
	}
	return nil
}

// verdict is the promise: everything arrives once and in order and both ends
// close, or both report an error. An error needs a reason.
func (s *sim) verdict() error {
	for _, n := range []*simNode{s.a, s.b} {
		// A search takes a few probes, and comes seldom.
		if most := uint64(maxPaths * (20 + 5*int(time.Duration(s.net.Now()-netsim.Start).Seconds()))); n.record.probes > most {
			return fmt.Errorf("%s sent %d probes for the size of packets, more than %d", n.name, n.record.probes, most)
		}
		if !n.over() {
			return fmt.Errorf("not over after %v: %s, %s", time.Duration(s.net.Now()-netsim.Start), s.a, s.b)
		}
		for _, e := range n.record.ends {
			if err := s.plausible(n, e.err); err != nil {
				return err
			}
		}
	}
	if s.plot == plotRestart {
		if err := s.restartReported(); err != nil {
			return err
		}
	}
	ok := s.a.assoc != nil && s.b.assoc != nil && s.a.err == nil && s.b.err == nil
	complete := s.a.complete() && s.b.complete()
	switch {
	case s.plot == plotAbort, s.plot == plotAmnesia:
		return nil // both ended
	case ok && !complete:
		return fmt.Errorf("closed without an error, but %s, %s", s.a, s.b)
	case ok:
		return s.one()
	case s.excuse(complete):
		return nil
	}
	return fmt.Errorf("error without a reason: %s, %s", s.a, s.b)
}

// over reports whether all associations have ended.
func (s *simNode) over() bool { return len(s.all()) == 0 }

// excuse reports whether an error may end the association.
func (s *sim) excuse(complete bool) bool {
	switch {
	case s.dead, s.worst > 0.15, s.torn:
		return true // a dozen attempts in a row can fail
	case s.smooth():
		return false
	case !s.a.up || !s.b.up:
		// An INIT is not repeated for ever, least of all to one of several
		// addresses, and a cookie is for one. With data it gets no second chance.
		return s.is("early messages") || s.fault != "calm" || s.is("NAT that rebinds") || s.is("strangers")
	case s.hasty():
		return true // what was left took longer than T5-shutdown-guard
	}
	// The last packets of the shutdown were lost or overtaken: one end hears that
	// the other has no association any more. Without longer faults it hears that
	// in time, because what is lost is sent again.
	var timeout *TimeoutError
	late := errors.As(s.a.err, &timeout) || errors.As(s.b.err, &timeout)
	return complete && !(late && s.fault == "calm" && !s.is("NAT that rebinds"))
}

// smooth reports whether every packet arrives, once and in order.
func (s *sim) smooth() bool {
	c := s.net.Counts()
	return s.fault == "calm" && !s.is("NAT that rebinds") && !s.is("addresses that come and go") && c.Lost+c.Corrupted+c.Duplicated+c.Reordered+c.Queued+c.Cut+c.TooBig == 0
}

func (s *sim) hasty() bool { return s.a.hasty || s.b.hasty }

// one checks that both ends have one association with each other, and that
// none came before it on a network that loses nothing.
func (s *sim) one() error {
	a, b := s.a.assoc, s.b.assoc
	if a.LocalTag() != b.PeerTag() || a.PeerTag() != b.LocalTag() {
		return fmt.Errorf("tags of a are %x and %x, those of b %x and %x", a.LocalTag(), a.PeerTag(), b.LocalTag(), b.PeerTag())
	}
	for _, n := range []*simNode{s.a, s.b} {
		if r := &n.record; s.smooth() && s.plot != plotRestart && len(r.ends) != 1 {
			return fmt.Errorf("%s had %d associations: %v", n.name, len(r.ends), r.ends)
		}
	}
	return nil
}

// plausible finds ends that nothing here can cause.
func (s *sim) plausible(n *simNode, err error) error {
	var abort *AbortError
	var timeout *TimeoutError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &timeout):
		if !s.smooth() || timeout.Op == "shutdown" && s.hasty() || s.plot == plotAmnesia || s.plot == plotRestart || s.plot == plotAbort {
			return nil
		}
	case !errors.As(err, &abort):
	case abort.Restart:
		if s.plot == plotRestart || !s.smooth() {
			return nil // the peer's handshake began anew
		}
	case abort.Code == wire.CauseUserAbort && abort.Reason == simReason:
		if s.plot == plotAbort && abort.Remote == (n != s.actor) {
			return nil
		}
	case abort.Code == wire.CauseUserAbort && abort.Reason == "shutdown took too long":
		if abort.Remote {
			return nil
		}
	case abort.Code == wire.CauseStaleCookie && abort.Remote:
		if s.is("early messages") && !s.smooth() {
			return nil // it was echoed more than once
		}
	case abort.Code == 0 && abort.Remote:
		// Out of the blue: the peer's end is over, or it has forgotten.
		if !s.smooth() || s.plot != "" || len(n.want.record.ends) > 0 {
			return nil
		}
	}
	return fmt.Errorf("%s ends with %v, which nothing explains", n.name, err)
}

// restartReported checks that the end that remembered has heard of the restart.
func (s *sim) restartReported() error {
	old := s.remembered
	if old == nil || !s.actor.up {
		return nil // it had none, or the other one never came back
	}
	var abort *AbortError
	switch err := old.Err(); {
	case errors.As(err, &abort) && abort.Restart, err == nil && old.shut.requested:
	case err != nil && !s.smooth():
		// It began anew from an address that is not known to be its, and what it
		// left behind ended otherwise.
	default:
		return fmt.Errorf("%s restarted, but the other end's association ended with %v", s.actor.name, err)
	}
	return nil
}

func (s *simNode) String() string {
	state := "none"
	if s.assoc != nil {
		state = fmt.Sprintf("state %d, ports %v, tags %x %x", s.assoc.state, s.ports, s.assoc.LocalTag(), s.assoc.PeerTag())
	}
	live := slices.DeleteFunc(slices.Clone(s.former), (*Assoc).Closed)
	return fmt.Sprintf("%s (%s; up %v, down %v, error %v; got %d of %d, sent %d, %d ended, %d former live)",
		s.name, state, s.up, s.down, s.err, s.got.count, s.want.total(), s.next, len(s.record.ends), len(live))
}
