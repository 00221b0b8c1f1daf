package noid

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// failure says why a set has no locators.
func (s *Set) failure(n Name) error {
	for _, d := range s.Dropped {
		return &Error{Step: "addresses of " + n.String(), Kind: ErrPolicy, Detail: fmt.Sprintf("%v is not taken: %s", d.Addr, d.Reason)}
	}
	return s.err
}

// addresses looks the addresses of a name up, both families at once, and
// filters them. path is where the peer is talked to, if it is.
func (r *Resolver) addresses(ctx context.Context, n Name, path netip.Addr) *Set {
	return r.forward(ctx, n, origin{path: path}, false)
}

// forward is addresses, of a name that others have led to; renew asks even
// where answers hold.
func (r *Resolver) forward(ctx context.Context, n Name, via origin, renew bool) *Set {
	six := make(chan answer, 1)
	go func() { six <- r.find(ctx, question{string(n), dns.TypeAAAA}, renew) }() // ends with ctx at the latest
	four := r.find(ctx, question{string(n), dns.TypeA}, renew)
	return r.assemble(n, via, <-six, four)
}

// An arrangement is how the addresses of a name came: after resolutionDelay,
// and with the other family still to come.
type arrangement struct{ waited, half bool }

// families asks for the addresses of a name, to which asked has led, and hands
// set after set to emit: the first when both families have answered, or
// resolutionDelay after the first that has an address, and another if an answer
// comes later. IPv6 does not wait for IPv4 once known is closed (RFC 8305
// section 3: "If a positive AAAA response is received first, the first IPv6
// connection attempt is immediately started"); nil never is.
func (r *Resolver) families(ctx context.Context, n, asked Name, known <-chan struct{}, emit func(*Set, arrangement)) {
	got := [2]answer{pending(n), pending(n)}
	type arrival struct {
		i int
		answer
	}
	arrivals := make(chan arrival, 2)
	for i, t := range []uint16{dns.TypeAAAA, dns.TypeA} {
		go func() { arrivals <- arrival{i, r.find(ctx, question{string(n), t}, false)} }() // ends with ctx at the latest
	}
	first := <-arrivals
	got[first.i] = first.answer
	var late <-chan time.Time
	if first.err == nil {
		late = time.After(resolutionDelay)
	}
	if first.err != nil || first.i > 0 {
		known = nil
	}
	var second arrival
	how := arrangement{half: true}
	select {
	case second = <-arrivals:
		how.half = false
	case <-known:
	case <-late:
		how.waited = true
	}
	if how.half {
		emit(r.assemble(n, origin{names: []Name{asked}}, got[:]...), how)
		if second = <-arrivals; second.err != nil {
			return
		}
		how.half = false
	}
	got[second.i] = second.answer
	emit(r.assemble(n, origin{names: []Name{asked}}, got[:]...), how)
}

// pending stands for an answer that is still to come.
func pending(n Name) answer {
	return answer{failed: true, err: &Error{Step: "addresses of " + n.String(), Kind: ErrTimeout, Detail: "one family came long before the other"}}
}

// assemble makes a set of the answers for both families. via is how the name
// came to be looked at: no name may lead into a private zone from outside,
// neither by an alias nor by a capability record.
func (r *Resolver) assemble(n Name, via origin, answers ...answer) *Set {
	now := r.now()
	s := r.newSet(n, n)
	s.Binding, s.Channel, s.Expire = BindingClaim, ChanLocal, now.Add(maxTTL)
	for _, a := range answers {
		if a.err != nil {
			s.err = errors.Join(s.err, a.err)
		}
		if a.failed {
			s.partial = true
			continue
		}
		s.Channel = min(s.Channel, a.channel) // also of what there is not
		if a.err == nil && a.expire.Before(s.Expire) {
			s.Expire = a.expire
		}
		if a.stale && (s.StaleUntil.IsZero() || a.staleUntil.Before(s.StaleUntil)) {
			s.StaleUntil = a.staleUntil
		}
		s.partial = s.partial || a.stale
		from := origin{names: append(slices.Clone(via.names), n, a.owner), path: via.path}
		for _, rr := range a.records {
			l := Locator{Expire: a.expire, Stale: a.stale}
			switch rr := rr.(type) {
			case *dns.A:
				l.Addr, _ = netip.AddrFromSlice(rr.A)
				l.From = FromA
			case *dns.AAAA:
				l.Addr, _ = netip.AddrFromSlice(rr.AAAA)
				l.From = FromAAAA
			}
			s.filters.take(s, l, from)
		}
	}
	if h := r.local().static.hosts[n]; h != nil && h.merge {
		for _, l := range h.locators { // the operator's word needs no filter
			if !s.Contains(l.Addr) {
				s.Locators = append(s.Locators, l)
			}
		}
	}
	s.cut()
	if len(s.Locators) > 0 {
		s.err = nil
	}
	s.reached = r.reached.of(n)
	s.seal()
	return s
}

// hosts makes a set of each capability's target: a host each, never merged.
// path is where the peer is talked to, if it is.
func (r *Resolver) hosts(ctx context.Context, asked Name, c capabilities, path netip.Addr) (sets []*Set, err error) {
	list, err := r.usable(asked, c)
	found := make([]*Set, len(list))
	var all sync.WaitGroup
	for i := range list {
		all.Go(func() { // ends with ctx at the latest
			s := r.forward(ctx, list[i].Target, origin{names: []Name{asked}, path: path}, false)
			found[i] = r.host(ctx, asked, &list[i], c, s)
		})
	}
	all.Wait()
	for i, s := range found {
		if len(s.Locators) == 0 {
			err = errors.Join(err, s.failure(list[i].Target))
			continue
		}
		s.rank = i
		sets = append(sets, s)
	}
	return sets, err
}

// host makes the addresses of a target those of a host that speaks mh.
func (r *Resolver) host(ctx context.Context, asked Name, capability *Capability, c capabilities, s *Set) *Set {
	s.Asked, s.Cap, s.hostLevel = asked, capability, true
	s.Channel = min(s.Channel, c.channel)
	s.filters.dropOwn(s)
	if r.trust == Reverse || r.cfg.ReverseAll {
		r.reverseMembers(ctx, s)
	}
	s.seal()
	if len(s.Locators) > 0 {
		r.referrals.seen(s, r.now())
	}
	return s
}
