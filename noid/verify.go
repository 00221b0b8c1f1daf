package noid

import (
	"context"
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
// before: an INIT from a forged address must not cause a query.
func (r *Resolver) Verify(ctx context.Context, src netip.Addr, claim string) (*Set, error) {
	src = src.Unmap()
	if s := r.verifyStatic(src, claim); s != nil {
		return s, nil
	}
	alone := r.newSet("", "")
	alone.Locators = []Locator{{Addr: src, From: FromObserved}}
	if !r.limiter.take(r.now()) {
		return alone, &Error{Step: "verify " + src.String(), Kind: ErrLimit, Detail: "too many peers are being verified"}
	}
	ctx, cancel := context.WithTimeout(ctx, verifyBudget)
	defer cancel()
	var err error
	if claim != "" && r.trust != Reverse {
		var s *Set
		if s, err = r.verifyClaim(ctx, src, claim); err == nil {
			return s, nil
		}
	}
	if claim == "" || r.trust == Reverse {
		s, reverse := r.verifyReverse(ctx, src, claim)
		if reverse == nil {
			return s, nil
		}
		err = reverse
	}
	return alone, err
}

// verifyStatic looks for the address in the operator's file.
func (r *Resolver) verifyStatic(src netip.Addr, claim string) *Set {
	if n, err := ParseName(claim); err == nil {
		if h := r.static.hosts[n]; h != nil && !h.merge {
			if s := r.staticSet(n, h); s.Contains(src) {
				return s
			}
			return nil
		}
	}
	for n, h := range r.static.hosts {
		if s := r.staticSet(n, h); claim == "" && !h.merge && s.Contains(src) {
			return s
		}
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
	s := r.addresses(ctx, n)
	c := <-caps
	hosts, _ := r.hosts(ctx, n, c)
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
		if s := r.addresses(ctx, n); s.Contains(src) {
			return rev.bind(s), nil
		}
	}
	return nil, rev.failure("none of its names has " + src.String())
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

// A bucket limits inbound verifications to verifyRate a second.
//
// mu is a leaf.
type bucket struct {
	mu     sync.Mutex
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(verifyBurst, b.tokens+verifyRate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
