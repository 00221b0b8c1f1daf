package noid

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Verify finds out which host an observed address is. claim is the name that
// the peer gave itself, or "". The set has a binding of at least claim when a
// name was found whose forward records contain the address; else it is the
// address alone, and the error says why. It is called after a handshake, never
// before: an INIT from a forged address must not cause a query. It may wait for
// its turn: nothing that carries data may wait for it.
func (r *Resolver) Verify(ctx context.Context, src netip.Addr, claim string) (*Set, error) {
	src = src.Unmap()
	if s := r.verifyStatic(src, claim); s != nil {
		return s, nil
	}
	alone := r.newSet("", "")
	alone.Locators = []Locator{{Addr: src, From: FromObserved}}
	alone.seal()
	if !r.turn(ctx, src) {
		return alone, &Error{Step: "verify " + src.String(), Kind: ErrLimit, Detail: "too many peers are being verified"}
	}
	ctx, cancel := context.WithTimeout(ctx, verifyBudget)
	defer cancel()
	s, err := r.verify(ctx, src, claim)
	if err != nil {
		return alone, err
	}
	return s, nil
}

// turn waits for a turn, and once more later when there is none in sight.
func (r *Resolver) turn(ctx context.Context, src netip.Addr) bool {
	for range 2 {
		turn, cancel := context.WithTimeout(ctx, verifyBudget)
		ok := r.turns.wait(turn, src, r.now)
		cancel()
		if ok {
			return true
		}
		retry := time.NewTimer(verifyBudget/2 + rand.N(verifyBudget/2))
		defer retry.Stop()
		select {
		case <-retry.C:
		case <-ctx.Done():
			return false
		}
	}
	return false
}

func (r *Resolver) verify(ctx context.Context, src netip.Addr, claim string) (s *Set, err error) {
	switch {
	case r.trust == Reverse || claim == "":
		s, err = r.verifyReverse(ctx, src, claim)
	default:
		s, err = r.verifyClaim(ctx, src, claim)
	}
	if err != nil {
		return nil, err
	}
	if own := r.staticSet(s.Name); own != nil && !own.Contains(src) { // it stands for the DNS, by whatever way that led to the name
		return nil, &Error{Step: "verify " + src.String() + " as " + s.Name.String(), Kind: ErrNotContained, Detail: "the hosts file gives it others"}
	}
	// An old set may contain an address that is another host's by now: it ties
	// nobody to the name who was not tied to it before (threat N9).
	for _, l := range s.Locators {
		if l.Addr == src && !s.probable(l) {
			return nil, &Error{Step: "verify " + src.String() + " as " + s.Name.String(), Kind: ErrTimeout, Detail: "only an old answer contains it"}
		}
	}
	if r.cfg.ReverseAll {
		r.reverseMembers(ctx, s)
		if !s.Contains(src) {
			return nil, &Error{Step: "verify " + src.String() + " as " + s.Name.String(), Kind: ErrNoReverse, Detail: "its reverse record does not have the name"}
		}
	}
	return s, nil
}

// verifyStatic looks for the address in the operator's file.
func (r *Resolver) verifyStatic(src netip.Addr, claim string) *Set {
	if n, err := ParseName(claim); err == nil {
		if s := r.staticSet(n); s != nil && s.Contains(src) {
			return s
		}
		return nil
	}
	if names := r.local().static.at[src]; claim == "" && len(names) > 0 {
		return r.staticSet(names[0])
	}
	return nil
}

// verifyClaim checks that the forward records of a claimed name contain the
// address: those of the host that its capability record names, else its own.
func (r *Resolver) verifyClaim(ctx context.Context, src netip.Addr, claim string) (*Set, error) {
	n, err := ParseName(claim)
	if err != nil {
		return nil, err
	}
	caps := make(chan capabilities, 1)
	go func() { caps <- r.capabilities(ctx, n) }() // ends with ctx at the latest
	s := r.addresses(ctx, n, src)
	c := <-caps
	hosts, _ := r.hosts(ctx, n, c, src)
	for _, h := range append(hosts, s) {
		if h.Contains(src) {
			return h, nil
		}
	}
	if len(s.Locators) == 0 && s.err != nil {
		return nil, s.err
	}
	return nil, &Error{Step: "verify " + src.String() + " as " + n.String(), Kind: ErrNotContained}
}

// verifyReverse is the classic walk: reverse record, then forward, then
// compare. Names like the claimed one are tried first.
func (r *Resolver) verifyReverse(ctx context.Context, src netip.Addr, claim string) (*Set, error) {
	rev, err := r.reverse(ctx, src)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rev.names, func(x, y Name) int {
		return commonSuffix(string(y), claim) - commonSuffix(string(x), claim)
	})
	for _, n := range rev.names {
		if s := r.addresses(ctx, n, src); s.Contains(src) {
			return rev.bind(s), nil
		}
	}
	return nil, rev.failure("none of its names has " + src.String())
}

// reverseMembers finds out which members of a set have a reverse record that
// leads back to its name, all at once. With Config.ReverseAll the others are
// dropped.
func (r *Resolver) reverseMembers(ctx context.Context, s *Set) {
	back := make([]bool, len(s.Locators))
	channels := make([]Channel, len(s.Locators))
	var all sync.WaitGroup
	for i, l := range s.Locators {
		all.Go(func() { // ends with ctx at the latest
			rev, _ := r.reverse(ctx, l.Addr)
			back[i], channels[i] = slices.Contains(rev.names, s.Name), rev.answer.channel
		})
	}
	all.Wait()
	kept := s.Locators[:0:0]
	for i, l := range s.Locators {
		if back[i] {
			s.reversed = append(s.reversed, l.Addr)
			s.Channel = min(s.Channel, channels[i])
		}
		if back[i] || !r.cfg.ReverseAll {
			kept = append(kept, l)
			continue
		}
		s.drop(l.Addr, "its reverse record does not lead back to the name")
	}
	s.Locators = kept
	switch {
	case len(s.reversed) == 0:
	case len(s.reversed) == len(kept):
		s.Binding, s.reversed = max(s.Binding, BindingReverseAll), nil
	default:
		s.Binding = max(s.Binding, BindingReverse)
	}
	s.seal()
}

// reversed is what the reverse record of an address says.
type reversed struct {
	arpa   string
	names  []Name
	answer answer
}

// reverse looks the reverse record of an address up.
func (r *Resolver) reverse(ctx context.Context, a netip.Addr) (rev reversed, err error) {
	if rev.arpa, err = dns.ReverseAddr(a.String()); err != nil {
		return rev, &Error{Step: "PTR " + a.String(), Kind: ErrNoReverse, Detail: err.Error()}
	}
	rev.answer = r.lookup(ctx, rev.arpa, dns.TypePTR)
	records := rev.answer.records
	for _, rr := range records[:min(len(records), maxPTRNames)] {
		if ptr, ok := rr.(*dns.PTR); ok {
			if n, err := ParseName(ptr.Ptr); err == nil {
				rev.names = append(rev.names, n)
			}
		}
	}
	return rev, rev.answer.err
}

// bind ties a set to the address, which its forward records have. It holds as
// long as both.
func (rev *reversed) bind(s *Set) *Set {
	s.Binding = BindingReverse
	s.Channel = min(s.Channel, rev.answer.channel)
	if rev.answer.expire.Before(s.Expire) {
		s.Expire = rev.answer.expire
	}
	return s
}

func (rev *reversed) failure(detail string) error {
	return &Error{Step: "PTR " + rev.arpa, Kind: ErrNoReverse, Detail: detail}
}

// commonSuffix counts the octets at the end that two names share.
func commonSuffix(a, b string) (n int) {
	a, b = strings.TrimSuffix(a, "."), strings.TrimSuffix(strings.ToLower(b), ".")
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}
