package noid

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// referrals are the addresses that answers have given to hosts which speak mh,
// and the hosts that they were found to be. An application that its peer tells
// an address, as FTP does for each file, asks for that address and not for a
// name; by the referral its second connection has all the locators of the
// host too.
//
// Invariant: that a name lists an address brings its owner no connection to
// the address. Everybody can publish a name with the address of a victim and
// have it looked up, by a link on a page, and would get what is meant for the
// victim from then on. That the address answers on an association proves too
// little: a UDP port is not the whole of a machine that several people use, or
// of a translator. So the address has to lead to the name, by its reverse
// record, which belongs to who has the address, and the name back to it, by its
// own capability record and the locators of that host; or the operator's file
// says so. An answer alone does no more than have the reverse record asked for.
//
// mu is a leaf.
type referrals struct {
	mu    sync.Mutex
	known map[netip.Addr]referral
}

// A referral is what is known of an address.
type referral struct {
	forget time.Time // unless an answer has the address again
	host   Name      // "": not looked for, or not found
	until  time.Time // host is forgotten earlier: its records have to be asked again
}

func newReferrals() referrals { return referrals{known: make(map[netip.Addr]referral)} }

// seen remembers that an answer gave the set's addresses to a host that
// speaks mh.
func (f *referrals) seen(s *Set, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range s.Locators {
		e, ok := f.known[l.Addr]
		if !ok {
			makeRoom(f.known, maxReferrals, func(e referral) bool { return !now.Before(e.forget) })
		}
		e.forget = now.Add(referralTTL)
		f.known[l.Addr] = e
	}
}

// find returns what is known of an address, if something is.
func (f *referrals) find(a netip.Addr, now time.Time) (referral, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e, ok := f.known[a]
	if !ok || !now.Before(e.forget) {
		return referral{}, false
	}
	if !now.Before(e.until) {
		e.host = ""
	}
	return e, true
}

// found remembers which host an address is, or with an empty set that it is
// none.
func (f *referrals) found(a netip.Addr, s *Set) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.known[a]; ok {
		e.host, e.until = s.Name, s.Expire
		f.known[a] = e
	}
}

// Referral returns the host that an address was found to be when it was last
// resolved, as long as those answers hold. It asks nobody.
func (r *Resolver) Referral(a netip.Addr) (Name, bool) {
	a = a.Unmap()
	if s := r.staticHostAt(a); s != nil {
		return s.Name, true
	}
	e, _ := r.referrals.find(a, r.now())
	return e.host, e.host != ""
}

// ResolveAddr is Resolve of an address, whether an answer has had it or not:
// for those who take over connections and know nothing of them but addresses.
func (r *Resolver) ResolveAddr(ctx context.Context, a netip.Addr) *Result {
	return r.resolveLiteral(ctx, a.Unmap(), true)
}

// resolveLiteral answers an address: plain TCP goes there and nowhere else,
// and associations to the host that it is found to be.
func (r *Resolver) resolveLiteral(ctx context.Context, a netip.Addr, strange bool) *Result {
	s := r.newSet("", "")
	s.Locators = []Locator{{Addr: a, From: FromLiteral}}
	res := &Result{Legacy: s}
	host, err := r.refer(ctx, a, strange)
	if err != nil {
		res.Partial = err
	} else {
		res.MH = []*Set{host}
	}
	// A record that does not come may have been suppressed. All else that keeps a
	// host from being found is an answer.
	res.NoFallback = r.trust.demanding() && (err == nil || unheard(err))
	return res
}

// refer finds the host that an address is. Only addresses that answers had are
// worth the questions, unless strange ones are too.
func (r *Resolver) refer(ctx context.Context, a netip.Addr, strange bool) (*Set, error) {
	if s := r.staticHostAt(a); s != nil {
		return s, nil
	}
	step := "referral of " + a.String()
	if _, known := r.referrals.find(a, r.now()); !known && !strange {
		return nil, &Error{Step: step, Kind: ErrNoReferral}
	}
	if !r.trust.enough(BindingReverse, ChanValidated) { // whatever the answers
		return nil, &Error{Step: step, Kind: ErrPolicy, Detail: r.trust.String()}
	}
	ctx, cancel := context.WithTimeout(ctx, referralBudget)
	defer cancel()
	s, err := r.reverseHost(ctx, a)
	if err == nil && !r.trust.enough(s.Binding, s.Channel) {
		err = &Error{Step: step, Kind: ErrPolicy, Detail: r.trust.String() + ", and the way to the records was " + s.Channel.String()}
	}
	if err != nil {
		r.referrals.found(a, &Set{})
		return nil, err
	}
	r.referrals.found(a, s)
	if r.trust != Reverse {
		s.Binding = BindingClaim // as by the name, so that both share an association
	}
	return s, nil
}

// reverseHost is the walk from an address to a host and back: reverse record,
// capability record, the locators of its targets.
func (r *Resolver) reverseHost(ctx context.Context, a netip.Addr) (*Set, error) {
	rev, err := r.reverse(ctx, a)
	if err != nil {
		return nil, err
	}
	var missing error
	for _, n := range rev.names {
		hosts, err := r.hosts(ctx, n, r.capabilities(ctx, n), netip.Addr{})
		for _, h := range hosts {
			if h.Contains(a) {
				return rev.bind(h), nil
			}
		}
		if unheard(err) {
			missing = errors.Join(missing, err)
		}
	}
	if missing != nil {
		return nil, missing
	}
	return nil, rev.failure("none of its names is a host that speaks mh and has " + a.String())
}

// staticHostAt returns the host that speaks mh to which the operator's file
// gives an address. Of several it is always the same one, for the sake of its
// association.
func (r *Resolver) staticHostAt(a netip.Addr) *Set {
	for _, n := range r.local().static.at[a] {
		if s := r.staticSet(n); s != nil && s.Cap != nil {
			return s
		}
	}
	return nil
}
