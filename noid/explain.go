package noid

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// An Explanation is all that went into an answer about a name, for people.
type Explanation struct {
	Name      Name
	Trust     Trust
	Questions []Question // each once: capability records first, then addresses, then reverse records
	Records   []RecordUse
	Hosts     []*Set // that speak mh, best first, also those of which no address is left
	Plain     *Set   // where plain TCP would go
	Err       error  // why there are no hosts
	NoPlain   bool   // the trust mode forbids plain TCP in place of mh

	reversed []*Set // Hosts as the mode "reverse" sees them
}

// A RecordUse is a capability record and what became of it.
type RecordUse struct {
	Record string
	Why    string // it is not used; "": it is
}

// Explain resolves a name as Resolve does, but waits for everything, and says
// how it came about. Beyond what Resolve asks it looks for the reverse record
// of each locator.
func (r *Resolver) Explain(ctx context.Context, name string, port uint16) (*Explanation, error) {
	n, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var t tracing
	ctx = t.trace(ctx)
	e := &Explanation{Name: n, Trust: r.trust}
	if s := r.staticSet(n); s != nil {
		e.explainStatic(s)
	} else {
		r.explainDNS(ctx, e, port)
	}
	for _, s := range e.Hosts {
		copied := *s
		if copied.Binding < BindingReverse {
			r.reverseMembers(ctx, &copied)
		}
		e.reversed = append(e.reversed, &copied)
	}
	e.Questions = t.questions()
	e.Records = append(e.Records, recordUses(e.Questions)...)
	return e, nil
}

func (e *Explanation) explainStatic(s *Set) {
	e.Plain = s
	if s.Cap != nil {
		e.Hosts = []*Set{s}
	} else {
		e.Err = &Error{Step: "hosts file, " + e.Name.String(), Kind: ErrNoData, Detail: "the entry has no udp=PORT, so it is an address only"}
	}
}

func (r *Resolver) explainDNS(ctx context.Context, e *Explanation, port uint16) {
	plain := make(chan *Set, 1)
	go func() { plain <- r.addresses(ctx, e.Name, netip.Addr{}) }() // ends with ctx at the latest
	c := r.service(ctx, e.Name, port)
	var list []Capability
	list, e.Err = r.usable(e.Name, c)
	for i := range list {
		s := r.host(ctx, e.Name, &list[i], c, r.forward(ctx, list[i].Target, origin{names: []Name{e.Name}}, false))
		if len(s.Locators) == 0 {
			e.Err = s.failure(list[i].Target)
		}
		e.Hosts = append(e.Hosts, s)
	}
	e.Plain = <-plain
	res := &Result{Partial: e.Err}
	for _, s := range e.Hosts {
		if len(s.Locators) > 0 {
			res.MH = append(res.MH, s)
		}
	}
	r.judge(e.Name, res)
	e.NoPlain = res.NoFallback
	if e.Err == nil && len(e.Hosts) == 0 {
		e.Err = &Error{Step: "SVCB " + capabilityName(e.Name), Kind: ErrNoData}
	}
}

// Failure says why a set has no locators.
func (s *Set) Failure() error {
	if len(s.Locators) > 0 {
		return nil
	}
	return s.failure(s.Name)
}

// Second returns the addresses of the i-th host that may be used beside
// another of its own under a trust mode, when the peer names none itself, or
// why there are none.
func (e *Explanation) Second(i int, mode Trust) (addrs []netip.Addr, why string) {
	s := *e.Hosts[i]
	if mode == Reverse {
		s = *e.reversed[i]
	}
	s.trust = mode
	for _, l := range s.Locators {
		for _, v := range s.Permit(l.Addr, PeerView{Silent: true})[1:] {
			if !slices.Contains(addrs, v.Addr) {
				addrs = append(addrs, v.Addr)
			}
		}
	}
	if len(addrs) > 0 {
		slices.SortFunc(addrs, netip.Addr.Compare)
		return addrs, ""
	}
	switch {
	case mode == Single:
		why = "multihoming is off"
	case len(s.Locators) == 0:
		why = "it has no address that is taken"
	case len(s.Locators) == 1:
		why = "it has one address only"
	case slices.ContainsFunc(s.Locators, func(l Locator) bool { return !s.probable(l) }):
		why = "no server answers, and what is remembered is too old for addresses that were never used"
	case mode == Reverse:
		why = "no reverse record (PTR) of its addresses leads back to " + s.Name.String()
	case mode == Strict:
		why = "the records came over a channel that is " + s.Channel.String() + ", it takes a validated one"
	case mode == Pinned:
		why = "it is not in the static file"
	default:
		why = "its name is not tied to its addresses"
	}
	return nil, why
}

// Leads reports whether the reverse record of an address of the i-th host
// leads back to the host's name.
func (e *Explanation) Leads(i int, a netip.Addr) bool {
	s := e.reversed[i]
	return s.Binding == BindingReverseAll || s.Binding == BindingReverse && (s.reversed == nil || slices.Contains(s.reversed, a))
}

// An AddrExplanation says which host an address is, and why.
type AddrExplanation struct {
	Addr      netip.Addr
	Claim     Name // that was checked, may be empty
	Questions []Question
	Names     []NameCheck // of the reverse record

	// Verified is what a host learns when it is called from the address: the
	// host and all its addresses, or the address alone and why.
	Verified    *Set
	VerifyError error

	// Host is what a host learns when it is to call the address: the one that
	// speaks mh there, or nil and why.
	Host      *Set
	HostError error
}

// A NameCheck is a name that an address may have.
type NameCheck struct {
	Name    Name
	Forward []netip.Addr // what the name has
	Host    Name         // the host that its capability record names and that has the address; "": none
	Err     error        // why it has no addresses
}

// Contains reports whether the name has the address.
func (c *NameCheck) Contains(a netip.Addr) bool { return slices.Contains(c.Forward, a) }

// ExplainAddr goes from an address to names and back as Verify does for a peer
// that has said claim, and as ResolveAddr does for one that is called.
func (r *Resolver) ExplainAddr(ctx context.Context, a netip.Addr, claim string) *AddrExplanation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var t tracing
	ctx = t.trace(ctx)
	a = a.Unmap()
	e := &AddrExplanation{Addr: a}
	names := []Name(nil)
	if rev, err := r.reverse(ctx, a); err == nil {
		names = rev.names
	}
	if n, err := ParseName(claim); claim != "" && err == nil {
		e.Claim = n
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	for _, n := range names {
		e.Names = append(e.Names, r.checkName(ctx, n, a))
	}
	e.Verified, e.VerifyError = r.Verify(ctx, a, claim)
	res := r.ResolveAddr(ctx, a)
	e.HostError = res.Partial
	if len(res.MH) > 0 {
		e.Host = res.MH[0]
	}
	e.Questions = t.questions()
	return e
}

func (r *Resolver) checkName(ctx context.Context, n Name, a netip.Addr) NameCheck {
	c := NameCheck{Name: n}
	s := r.staticSet(n)
	if s == nil {
		s = r.addresses(ctx, n, a)
	}
	for _, l := range s.Locators {
		c.Forward = append(c.Forward, l.Addr)
	}
	c.Err = s.Failure()
	hosts, _ := r.hosts(ctx, n, r.capabilities(ctx, n), a)
	for _, h := range hosts {
		if h.Contains(a) {
			c.Host = h.Name
		}
	}
	return c
}

// tracing gathers questions.
type tracing struct {
	mu  sync.Mutex // leaf; late lookups report too
	all []Question
}

// maxTraced is how many questions an explanation has: far more than the limits
// on targets, aliases and addresses let one name cause.
const maxTraced = 256

func (t *tracing) trace(ctx context.Context) context.Context {
	return withTrace(ctx, func(q Question) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if len(t.all) < maxTraced {
			t.all = append(t.all, q)
		}
	})
}

// questions returns each question once, by the lookup that asked it if one
// did.
func (t *tracing) questions() (out []Question) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, q := range t.all {
		i := slices.IndexFunc(out, func(x Question) bool { return x.Name == q.Name && x.Type == q.Type })
		switch {
		case i < 0:
			out = append(out, q)
		case out[i].Cached && !q.Cached:
			out[i] = q
		}
	}
	order := []string{"SVCB", "TXT", "SRV", "AAAA", "A", "PTR"}
	slices.SortStableFunc(out, func(x, y Question) int {
		if d := slices.Index(order, x.Type) - slices.Index(order, y.Type); d != 0 {
			return d
		}
		return strings.Compare(x.Name, y.Name)
	})
	return out
}

// recordUses says of each capability record that came whether it counts.
func recordUses(questions []Question) (out []RecordUse) {
	for _, q := range questions {
		_, owner, ok := strings.Cut("."+q.Name, "._mhsctp.")
		if !ok {
			continue
		}
		for _, rr := range q.Records {
			use := RecordUse{Record: rr.String()}
			switch rr := rr.(type) {
			case *dns.SVCB:
				if rr.Priority != 0 {
					use.Why = whyUnused(parseSVCB(rr, Name(owner)))
				}
			case *dns.TXT:
				c, ours, err := parseTXT(strings.Join(rr.Txt, ""), Name(owner))
				if !ours {
					continue
				}
				use.Why = whyUnused(c, err)
			default:
				continue
			}
			out = append(out, use)
		}
	}
	return out
}

// whyUnused says why a record that was read does not count.
func whyUnused(c Capability, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case c.Flags&FlagTLSRequired != 0:
		return "it demands sealed associations, which this version does not have"
	}
	return ""
}
