package publish

import (
	"fmt"
	"net/netip"
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
	p := &Plan{Zone: zone, Name: want.Name}
	mine, service := have.published()
	service = service || want.Cap != nil
	name, owner := string(want.Name), want.capabilityOwner()
	address := func(rr dns.RR) string {
		switch {
		case slices.Contains(mine, addrOf(rr)):
			return want.or("no longer an address of this host")
		case want.Replace:
			return "not published from here, replaced"
		}
		return ""
	}
	p.set(rrset{name, dns.TypeA}, have.A, want.addresses(dns.TypeA), want.TTL, address)
	p.set(rrset{name, dns.TypeAAAA}, have.AAAA, want.addresses(dns.TypeAAAA), want.TTL, address)
	alias := slices.IndexFunc(have.SVCB, func(rr dns.RR) bool { return rr.(*dns.SVCB).Priority == 0 })
	if alias >= 0 && want.Cap != nil && !want.Replace {
		// RFC 9460 section 2.4.1: beside an AliasMode record others are ignored.
		return nil, fmt.Errorf("%s is an alias of %s, beside which no record counts: publish that name, or use --replace", owner, have.SVCB[alias].(*dns.SVCB).Target)
	}
	p.set(rrset{owner, dns.TypeSVCB}, have.SVCB, want.service(), want.TTL, func(rr dns.RR) string {
		target := rr.(*dns.SVCB).Target
		switch mine := target == "." || strings.EqualFold(target, name); {
		case mine && want.Cap == nil && service:
			return want.or("no longer wanted")
		case mine && service:
			return "says something else of this host"
		case want.Replace:
			return "of another host, replaced"
		}
		return ""
	})
	p.set(rrset{owner, dns.TypeTXT}, have.TXT, want.texts(), want.TTL, func(rr dns.RR) string {
		if _, _, ok := marker(rr); ok || isCapability(rr) && service {
			return want.or("out of date")
		}
		return ""
	})
	p.sort()
	return p, nil
}

// published is what was published from here: addresses, and whether there was
// a capability.
func (h *Present) published() (addrs []netip.Addr, service bool) {
	for _, rr := range h.TXT {
		a, s, _ := marker(rr)
		addrs, service = append(addrs, a...), service || s
	}
	return addrs, service
}

// set plans for one set of records. remove says why a record that is not
// wanted goes, "" when it is somebody else's and stays.
func (p *Plan) set(s rrset, have, want []dns.RR, ttl uint32, remove func(dns.RR) string) {
	for _, rr := range have {
		if !contains(want, rr) && remove(rr) == "" {
			// RFC 2181 section 5.2: all records of a set have one TTL, and
			// whose record was there first has said which.
			ttl = rr.Header().Ttl
		}
	}
	for _, rr := range have {
		switch why := remove(rr); {
		case contains(want, rr) && rr.Header().Ttl == ttl:
			p.Changes = append(p.Changes, Change{Fate: Keep, RR: rr})
		case contains(want, rr):
			p.Changes = append(p.Changes, Change{Remove, rr, fmt.Sprintf("TTL becomes %d", ttl)})
		case why != "":
			p.Changes = append(p.Changes, Change{Remove, rr, why})
		default:
			p.Changes = append(p.Changes, Change{Keep, rr, "not published from here"})
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
