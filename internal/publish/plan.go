package publish

import (
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// Present is what a server has at a name, as far as it matters here.
type Present struct {
	A, AAAA   []dns.RR
	SVCB, TXT []dns.RR // at _mhsctp.NAME
}

// Fate is what becomes of a record.
type Fate byte

// The fates.
const (
	Keep   Fate = ' '
	Add    Fate = '+'
	Remove Fate = '-'
)

// A Change is one record and what becomes of it.
type Change struct {
	Fate Fate
	RR   dns.RR
	Why  string // "" where it goes without saying
}

// A Plan is the way from what is present to what is wanted.
type Plan struct {
	Zone    string
	Name    noid.Name
	Changes []Change
	Notes   []string // what the operator should know beside

	prerequisites []dns.RR
}

// An rrset names a set of records.
type rrset struct {
	owner string
	qtype uint16
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Fate != Keep })
}

// NewPlan finds out what to change in a zone. It refuses what would not work:
// records beside an alias.
func NewPlan(zone string, have *Present, want *Want) (*Plan, error) {
	if want.Host == "" {
		panic("BUG: records of no host")
	}
	l, err := newLedger(have, want)
	if err != nil {
		return nil, err
	}
	p := &Plan{Zone: zone, Name: want.Name, Notes: l.notes()}
	name, owner := string(want.Name), want.capabilityOwner()
	alias := slices.IndexFunc(have.SVCB, func(rr dns.RR) bool { return rr.(*dns.SVCB).Priority == 0 })
	if alias >= 0 && want.Cap != nil && !want.Replace {
		// RFC 9460 section 2.4.1: beside an AliasMode record others are ignored.
		return nil, fmt.Errorf("%s is an alias of %s, beside which no record counts: publish that name, or use --replace", owner, have.SVCB[alias].(*dns.SVCB).Target)
	}
	a, aaaa := want.addresses(dns.TypeA), want.addresses(dns.TypeAAAA)
	service, text := p.yield(l, have.SVCB, want.service()), p.yield(l, have.TXT, want.text())
	marks := want.marker(service, text, a, aaaa)
	p.set(l, rrset{name, dns.TypeA}, have.A, a, "no longer an address of this host")
	p.set(l, rrset{name, dns.TypeAAAA}, have.AAAA, aaaa, "no longer an address of this host")
	p.set(l, rrset{owner, dns.TypeSVCB}, have.SVCB, service, "no longer what this host speaks")
	p.set(l, rrset{owner, dns.TypeTXT}, have.TXT, append(text, marks...), "out of date")
	p.sort()
	return p, nil
}

// yield takes back the capability record that is wanted where somebody has
// entered one: what a person has written is not made undone by a program.
func (p *Plan) yield(l *ledger, have, own []dns.RR) []dns.RR {
	if len(own) == 0 {
		return nil
	}
	found := l.byHand(have, own[0])
	switch {
	case found == nil:
		return own
	case !sameMeaning(found, own[0]):
		p.Notes = append(p.Notes, fmt.Sprintf("%s was not published from here and stays, though it is not what this host speaks (%s): remove it, or have it replaced with --force", line(found), data(own[0])))
	}
	return nil
}

// set plans for one set of records; why is said of what goes because this host
// published it and wants it no more.
func (p *Plan) set(l *ledger, s rrset, have, want []dns.RR, why string) {
	leaves := func(rr dns.RR) string { return l.leaves(rr, why) }
	ttl := l.want.TTL
	for _, rr := range have {
		if _, shared := holder(l.others, itemOf(rr, p.Name)); shared || !contains(want, rr) && leaves(rr) == "" {
			// RFC 2181 section 5.2: all records of a set have one TTL, and
			// whose record was there first has said which.
			ttl = rr.Header().Ttl
		}
	}
	for _, rr := range have {
		switch why := leaves(rr); {
		case contains(want, rr) && rr.Header().Ttl == ttl:
			p.Changes = append(p.Changes, Change{Fate: Keep, RR: rr})
		case contains(want, rr):
			p.Changes = append(p.Changes, Change{Remove, rr, fmt.Sprintf("TTL becomes %d", ttl)})
		case why != "":
			p.Changes = append(p.Changes, Change{Remove, rr, why})
		default:
			p.Changes = append(p.Changes, Change{Keep, rr, l.stays(rr)})
		}
	}
	for _, rr := range want {
		i := slices.IndexFunc(have, func(x dns.RR) bool { return dns.IsDuplicate(x, rr) })
		if i < 0 || have[i].Header().Ttl != ttl {
			rr = dns.Copy(rr)
			rr.Header().Ttl = ttl
			p.Changes = append(p.Changes, Change{Fate: Add, RR: rr})
		}
	}
	p.require(s, have)
}

func contains(all []dns.RR, rr dns.RR) bool {
	return slices.ContainsFunc(all, func(x dns.RR) bool { return dns.IsDuplicate(x, rr) })
}

// require makes it a condition of the update that a set is still as it was
// read: RFC 2136 sections 2.4.2 and 2.4.3. Whoever else changes the name at
// the same time is then noticed and not overwritten.
func (p *Plan) require(s rrset, have []dns.RR) {
	for _, rr := range have {
		rr = dns.Copy(rr)
		rr.Header().Ttl = 0
		p.prerequisites = append(p.prerequisites, rr)
	}
	if len(have) == 0 {
		p.prerequisites = append(p.prerequisites, absent(s))
	}
}

func absent(s rrset) dns.RR {
	return &dns.ANY{Hdr: dns.RR_Header{Name: s.owner, Rrtype: s.qtype, Class: dns.ClassNONE}}
}

// sort puts changes into the order in which people look for them: addresses
// before what is beside them, what goes before what comes.
func (p *Plan) sort() {
	order := func(c Change) int {
		return slices.Index([]uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSVCB, dns.TypeTXT}, c.RR.Header().Rrtype)
	}
	fates := []Fate{Keep, Remove, Add}
	slices.SortFunc(p.Changes, func(a, b Change) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		if d := slices.Index(fates, a.Fate) - slices.Index(fates, b.Fate); d != 0 {
			return d
		}
		return strings.Compare(a.RR.String(), b.RR.String())
	})
	slices.SortStableFunc(p.prerequisites, func(a, b dns.RR) int { return int(a.Header().Rrtype) - int(b.Header().Rrtype) })
}

// message is the update, unsigned (RFC 2136 section 2).
func (p *Plan) message() *dns.Msg {
	m := new(dns.Msg)
	m.SetUpdate(p.Zone)
	// An address beside an alias would be dropped without a word (section
	// 3.4.2.2).
	m.Answer = append(m.Answer, absent(rrset{string(p.Name), dns.TypeCNAME}))
	m.Answer = append(m.Answer, p.prerequisites...)
	for _, c := range p.Changes {
		rr := dns.Copy(c.RR)
		switch c.Fate {
		case Add:
			m.Insert([]dns.RR{rr})
		case Remove:
			m.Remove([]dns.RR{rr})
		}
	}
	return m
}
