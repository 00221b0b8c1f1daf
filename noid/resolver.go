package noid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Config sets a resolver up. The zero value of each field means its default.
type Config struct {
	// Upstreams are the DNS servers. None: those of /etc/resolv.conf.
	Upstreams []Upstream

	// HostsFile is the static file. "": none.
	HostsFile string

	// Zones are names below which private addresses are expected.
	Zones []Zone

	// Trust says what it takes to use further addresses of a peer.
	Trust Trust

	// Lab takes documentation, loopback and private addresses for any name:
	// for tests and closed networks.
	Lab bool

	// Own returns the addresses of this host, which no other can have.
	Own func() []netip.Addr

	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// A Resolver finds and verifies the locators of names. Its methods may be
// called from any goroutine.
type Resolver struct {
	upstreams *upstreams
	static    *static
	filters   filters
	trust     Trust
	now       func() time.Time
	cache     cache
	referrals referrals
	limiter   bucket
	ctx       context.Context
	cancel    context.CancelFunc
	running   sync.WaitGroup // lookups
}

// New returns a resolver. It fails when a file cannot be read; the error names
// it and the line.
func New(cfg Config) (*Resolver, error) {
	r := &Resolver{
		static: newStatic(), trust: cfg.Trust, now: cfg.Now,
		cache: newCache(), referrals: newReferrals(),
	}
	if r.now == nil {
		r.now = time.Now
	}
	servers := cfg.Upstreams
	if len(servers) == 0 {
		ups, err := SystemUpstreams("/etc/resolv.conf")
		if err != nil && cfg.HostsFile == "" {
			return nil, fmt.Errorf("no DNS server is configured and resolv.conf cannot be read: %w", err)
		}
		servers = ups
	}
	r.upstreams = newUpstreams(servers, &r.running)
	if cfg.HostsFile != "" {
		if err := r.static.read(cfg.HostsFile); err != nil {
			return nil, err
		}
	}
	r.filters = filters{lab: cfg.Lab, zones: append(slices.Clone(cfg.Zones), r.static.zones...), deny: r.static.deny, own: cfg.Own}
	r.limiter = bucket{tokens: verifyBurst, at: r.now()}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Close ends the lookups that are under way and returns when none is left.
func (r *Resolver) Close() error {
	r.cancel()
	r.running.Wait()
	return nil
}

// Resolve finds the hosts behind a name: those that speak mh, and where plain
// TCP would go. An address is its own answer, unless it is found to be a host
// that speaks mh (see [Resolver.Referral]). When the name has neither, the error
// says which question failed at which server.
func (r *Resolver) Resolve(ctx context.Context, name string, port uint16) (*Result, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return r.resolveLiteral(ctx, a.Unmap(), r.trust == Reverse), nil
	}
	n, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	if h := r.static.hosts[n]; h != nil && !h.merge {
		s := r.staticSet(n, h)
		res := &Result{Legacy: s}
		if s.Cap != nil {
			res.MH = []*Set{s}
		}
		res.NoFallback = r.trust.noFallback(res)
		return res, nil
	}
	return r.resolveDNS(ctx, n)
}

func (r *Resolver) newSet(name, asked Name) *Set {
	return &Set{Name: name, Asked: asked, trust: r.trust, filters: &r.filters}
}

func (r *Resolver) staticSet(n Name, h *staticHost) *Set {
	s := r.newSet(n, n)
	s.Locators, s.Cap, s.Binding, s.Channel, s.hostLevel = h.locators, h.cap, BindingStatic, ChanLocal, true
	return s
}

// resolveDNS asks for the capability record and the addresses at once. Once
// there are addresses the capability has resolutionDelay to arrive as well,
// unless the trust mode demands an answer. A late one can still be waited for.
func (r *Resolver) resolveDNS(ctx context.Context, n Name) (*Result, error) {
	caps := make(chan capabilities, 1)
	go func() { caps <- r.capabilities(ctx, n) }() // ends with ctx at the latest
	legacy := r.addresses(ctx, n)
	legacy.Asked = n
	var c capabilities
	isLate := false
	select {
	case c = <-caps:
	default:
		var late <-chan time.Time
		if len(legacy.Locators) > 0 && !r.trust.demanding() { // else there is no use for them alone
			t := time.NewTimer(resolutionDelay)
			defer t.Stop()
			late = t.C
		}
		select {
		case c = <-caps:
		case <-late:
			isLate = true
			c.err = &Error{Step: "SVCB " + capabilityName(n), Kind: ErrTimeout, Detail: "the addresses came long before it"}
		case <-ctx.Done():
			c.err = &Error{Step: "SVCB " + capabilityName(n), Kind: ErrTimeout, Detail: ctx.Err().Error()}
		}
	}
	res := &Result{}
	if isLate {
		res.Late = func(ctx context.Context) ([]*Set, error) { return r.hosts(ctx, n, r.capabilities(ctx, n)) }
	}
	if len(legacy.Locators) > 0 {
		res.Legacy = legacy
	}
	res.MH, res.Partial = r.hosts(ctx, n, c)
	res.NoFallback = r.trust.noFallback(res)
	if len(res.MH) == 0 && res.Legacy == nil {
		return nil, errors.Join(legacy.failure(n), notAbsent(res.Partial))
	}
	return res, nil
}

// failure says why a set has no locators.
func (s *Set) failure(n Name) error {
	for _, d := range s.Dropped {
		return &Error{Step: "addresses of " + n.String(), Kind: ErrPolicy, Detail: fmt.Sprintf("%v is not taken: %s", d.Addr, d.Reason)}
	}
	return s.err
}

// notAbsent drops the error that a record simply does not exist.
func notAbsent(err error) error {
	if errors.Is(err, ErrNoData) || errors.Is(err, ErrNXDomain) {
		return nil
	}
	return err
}

// capabilities are the compatible records of a name.
type capabilities struct {
	list    []Capability
	channel Channel
	err     error // why there are none
}

// capabilities looks the capability records up and follows aliases (RFC 9460
// section 2.4.2).
func (r *Resolver) capabilities(ctx context.Context, n Name) (c capabilities) {
	owner := n
	c.channel = ChanLocal
	for range maxAliases {
		a := r.lookup(ctx, capabilityName(owner), dns.TypeSVCB)
		if a.err != nil {
			c.err = a.err
			return c
		}
		c.channel = min(c.channel, a.channel)
		alias := Name("")
		var reasons []error
		for _, rr := range a.records {
			svcb, ok := rr.(*dns.SVCB)
			if !ok {
				continue
			}
			if svcb.Priority == 0 {
				alias = Name(svcb.Target)
				break
			}
			cap, err := parseSVCB(svcb, owner)
			if err != nil {
				reasons = append(reasons, err)
				continue
			}
			c.list = append(c.list, cap)
		}
		if alias == "" {
			if len(c.list) == 0 {
				c.err = &Error{Step: "SVCB " + capabilityName(owner), Kind: ErrNoData, Detail: fmt.Sprintf("no compatible record: %v", errors.Join(reasons...))}
			}
			return c
		}
		if alias == "." {
			c.err = &Error{Step: "SVCB " + capabilityName(owner), Kind: ErrNoData, Detail: "the name says that it has no such service"}
			return c
		}
		owner = Name(trimCapability(string(alias)))
	}
	c.err = &Error{Step: "SVCB " + capabilityName(n), Kind: ErrLimit, Detail: fmt.Sprintf("more than %d aliases", maxAliases)}
	return c
}

// trimCapability takes the label of the capability record off an alias.
func trimCapability(s string) string {
	const label = "_mhsctp."
	if len(s) > len(label) && s[:len(label)] == label {
		return s[len(label):]
	}
	return s
}

// hosts makes a set of each capability's target: a host each, never merged.
func (r *Resolver) hosts(ctx context.Context, asked Name, c capabilities) ([]*Set, error) {
	rand.Shuffle(len(c.list), func(i, j int) { c.list[i], c.list[j] = c.list[j], c.list[i] })
	slices.SortStableFunc(c.list, func(a, b Capability) int { return cmp.Compare(a.Prio, b.Prio) })
	var sets []*Set
	err := c.err
	for _, cap := range c.list[:min(len(c.list), maxTargets)] {
		if cap.UDPPort == 0 || cap.Flags&FlagTLSRequired != 0 {
			err = &Error{Step: "SVCB " + capabilityName(asked), Kind: ErrPolicy, Detail: cap.Target.String() + " demands sealed associations"}
			continue
		}
		s := r.addresses(ctx, cap.Target)
		if len(s.Locators) == 0 {
			err = s.failure(cap.Target)
			continue
		}
		s.Asked, s.Cap, s.hostLevel = asked, &cap, true
		s.Channel = min(s.Channel, c.channel)
		r.referrals.seen(s, r.now())
		sets = append(sets, s)
	}
	return sets, err
}

// addresses looks the addresses of a name up, both families at once, and
// filters them.
func (r *Resolver) addresses(ctx context.Context, n Name) *Set {
	six := make(chan answer, 1)
	go func() { six <- r.lookup(ctx, string(n), dns.TypeAAAA) }() // ends with ctx at the latest
	four := r.lookup(ctx, string(n), dns.TypeA)
	s := r.newSet(n, n)
	s.Binding, s.Channel, s.Expire = BindingClaim, ChanLocal, r.now().Add(maxTTL)
	for _, a := range []answer{<-six, four} {
		if a.err != nil {
			s.err = errors.Join(s.err, a.err)
			continue
		}
		s.Channel = min(s.Channel, a.channel)
		if a.expire.Before(s.Expire) {
			s.Expire = a.expire
		}
		for _, rr := range a.records {
			l := Locator{Expire: a.expire}
			switch rr := rr.(type) {
			case *dns.A:
				l.Addr, _ = netip.AddrFromSlice(rr.A)
				l.From = FromA
			case *dns.AAAA:
				l.Addr, _ = netip.AddrFromSlice(rr.AAAA)
				l.From = FromAAAA
			}
			r.filters.take(s, n, l)
		}
	}
	if h := r.static.hosts[n]; h != nil && h.merge {
		for _, l := range h.locators {
			r.filters.take(s, n, l)
		}
	}
	if len(s.Locators) > 0 {
		s.err = nil
	}
	return s
}
