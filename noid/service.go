package noid

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// capabilities are the compatible records of a name.
type capabilities struct {
	list    []Capability
	channel Channel
	stale   bool
	err     error // why there are none
}

// service looks for the capability of a TCP port at a name: in the record of
// the port, if those are in use, else in that of the name.
func (r *Resolver) service(ctx context.Context, n Name, port uint16) capabilities {
	if !r.cfg.PortRecords || port == 0 {
		return r.capabilities(ctx, n)
	}
	name := make(chan capabilities, 1)
	go func() { name <- r.capabilities(ctx, n) }() // ends with ctx at the latest
	if c := r.records(ctx, n, "_"+strconv.Itoa(int(port))+"."+capabilityName(n)); len(c.list) > 0 || notAbsent(c.err) != nil {
		return c
	}
	return <-name
}

// capabilities looks the capability of a name up: its SVCB records, or what
// stands for them where these cannot be published. Success and failure are
// remembered against downgrades.
func (r *Resolver) capabilities(ctx context.Context, n Name) capabilities {
	c := r.records(ctx, n, capabilityName(n))
	if len(c.list) > 0 {
		r.seen.add(n, r.now())
	}
	return c
}

// records follows aliases (RFC 9460 section 2.4.2) and reads the records at
// their end.
func (r *Resolver) records(ctx context.Context, n Name, owner string) (c capabilities) {
	c.channel = ChanLocal
	for range maxAliases + 1 {
		a := r.lookup(ctx, owner, dns.TypeSVCB)
		c.channel, c.stale = min(c.channel, a.channel), c.stale || a.stale
		if a.err != nil {
			c.err = a.err
			if errors.Is(a.err, ErrNoData) { // the owner exists, so something else may be there
				r.text(ctx, n, owner, &c)
			}
			if r.cfg.Native && len(c.list) == 0 && notAbsent(c.err) == nil {
				r.srv(ctx, n, &c)
			}
			return c
		}
		alias, reasons := c.read(a.records, n)
		switch {
		case alias == "" && len(c.list) == 0:
			c.err = &Error{Step: "SVCB " + owner, Kind: ErrNoData, Detail: fmt.Sprintf("no compatible record: %v", errors.Join(reasons...))}
			return c
		case alias == "":
			return c
		case alias == ".":
			c.err = &Error{Step: "SVCB " + owner, Kind: ErrNoData, Detail: "the name says that it has no such service"}
			return c
		}
		n = Name(trimCapability(string(alias)))
		owner = capabilityName(n)
	}
	c.err = &Error{Step: "SVCB " + capabilityName(n), Kind: ErrLimit, Detail: fmt.Sprintf("more than %d aliases", maxAliases)}
	return c
}

// read takes the compatible records, or the first alias.
func (c *capabilities) read(records []dns.RR, owner Name) (alias Name, reasons []error) {
	for _, rr := range records {
		svcb, ok := rr.(*dns.SVCB)
		if !ok {
			continue
		}
		if svcb.Priority == 0 {
			c.list = nil
			return Name(strings.ToLower(svcb.Target)), nil
		}
		one, err := parseSVCB(svcb, owner)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		c.list = append(c.list, one)
	}
	return "", reasons
}

// text looks for a capability in TXT records, for names whose hoster has no
// SVCB.
func (r *Resolver) text(ctx context.Context, n Name, owner string, c *capabilities) {
	r.instead(ctx, question{owner, dns.TypeTXT}, c, func(rr dns.RR) (one Capability, ours bool, err error) {
		txt, ok := rr.(*dns.TXT)
		if !ok {
			return one, false, nil
		}
		return parseTXT(strings.Join(txt.Txt, ""), n)
	})
}

// srv looks for hosts that speak SCTP without UDP.
func (r *Resolver) srv(ctx context.Context, n Name, c *capabilities) {
	r.instead(ctx, question{"_mhsctp._sctp." + string(n), dns.TypeSRV}, c, func(rr dns.RR) (one Capability, ours bool, err error) {
		srv, ours := rr.(*dns.SRV)
		if ours {
			one, err = parseSRV(srv)
		}
		return one, ours, err
	})
}

// instead reads records that stand in for SVCB, those of them that parse says
// are ours.
func (r *Resolver) instead(ctx context.Context, q question, c *capabilities, parse func(dns.RR) (one Capability, ours bool, err error)) {
	a := r.lookup(ctx, q.name, q.qtype)
	if a.err != nil {
		if notAbsent(a.err) != nil {
			c.err = a.err
		}
		return
	}
	var reasons []error
	for _, rr := range a.records {
		switch one, ours, err := parse(rr); {
		case !ours:
		case err != nil:
			reasons = append(reasons, err)
		default:
			c.list = append(c.list, one)
		}
	}
	c.channel, c.stale = min(c.channel, a.channel), c.stale || a.stale
	switch {
	case len(c.list) > 0:
		c.err = nil
	case len(reasons) > 0:
		c.err = &Error{Step: q.String(), Kind: ErrNoData, Detail: fmt.Sprintf("no compatible record: %v", errors.Join(reasons...))}
	}
}

// trimCapability takes the label of the capability record off an alias.
func trimCapability(s string) string {
	const label = "_mhsctp."
	if len(s) > len(label) && s[:len(label)] == label {
		return s[len(label):]
	}
	return s
}

// usable returns the capabilities that are used, best first, and why others
// are not. Equal ones are shuffled (RFC 9460 section 2.4.1).
func (r *Resolver) usable(asked Name, c capabilities) (list []Capability, err error) {
	list, err = slices.Clone(c.list), c.err
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b Capability) int { return cmp.Compare(a.Prio, b.Prio) })
	list = list[:min(len(list), maxTargets)]
	list = slices.DeleteFunc(list, func(c Capability) bool {
		detail := ""
		switch {
		case c.Flags&FlagTLSRequired != 0:
			detail = c.Target.String() + " demands sealed associations"
		case c.UDPPort == 0 && !r.cfg.Native:
			detail = c.Target.String() + " speaks SCTP without UDP, and this host does not"
		default:
			return false
		}
		err = &Error{Step: "SVCB " + capabilityName(asked), Kind: ErrPolicy, Detail: detail}
		return true
	})
	return list, err
}

// notAbsent drops the error that a record simply does not exist. Of several
// errors each has to say that: who forges a record must not hide that behind the
// absence of another.
func notAbsent(err error) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			if notAbsent(e) != nil {
				return err
			}
		}
		return nil
	}
	if errors.Is(err, ErrNoData) || errors.Is(err, ErrNXDomain) {
		return nil
	}
	return err
}
