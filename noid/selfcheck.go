package noid

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A SelfReport is what the DNS says of this host itself.
type SelfReport struct {
	Name    Name
	Local   []netip.Addr // what was asked about
	Missing []netip.Addr // of those, the ones that the name does not have
	Others  []netip.Addr // what the name has beside
	Capable bool         // a capability record says that the name is one host
	Err     error        // why the name has no addresses
}

// SelfCheck looks this host's own name up, as a peer does to whom it is
// claimed, and compares it with the local addresses. The static file is left
// out: peers have others.
func (r *Resolver) SelfCheck(ctx context.Context, own Name, local []netip.Addr) SelfReport {
	rep := SelfReport{Name: own, Local: local}
	s := r.addresses(ctx, own, netip.Addr{})
	list, _ := r.usable(own, r.capabilities(ctx, own))
	rep.Capable = slices.ContainsFunc(list, func(c Capability) bool { return c.Target == own })
	rep.Err = s.Failure()
	for _, a := range local {
		if !s.Contains(a) {
			rep.Missing = append(rep.Missing, a)
		}
	}
	for _, l := range s.Locators {
		if !slices.Contains(local, l.Addr) {
			rep.Others = append(rep.Others, l.Addr)
		}
	}
	return rep
}

// Problem says what keeps peers from using the local addresses, and what to do
// about it; "" when nothing does.
func (s *SelfReport) Problem() string {
	publish := "mh dns publish " + s.Name.String() + " sets it right"
	switch {
	case errors.Is(s.Err, ErrTimeout) || errors.Is(s.Err, ErrServer):
		return fmt.Sprintf("whether %v has the addresses of this host is not known: %v: mh doctor looks at the servers", s.Name, s.Err)
	case s.Err != nil:
		return fmt.Sprintf("%v has no address, so peers cannot verify this host and reach it over one path only (%v): %s", s.Name, s.Err, publish)
	case len(s.Local) == 0 || len(s.Missing) == 0:
		return ""
	case len(s.Missing) == len(s.Local) && s.translated():
		return "" // the outer addresses are not known here
	case len(s.Missing) == len(s.Local):
		return fmt.Sprintf("%v has none of this host's addresses, so peers do not believe that it is: it has %s, this host %s: %s",
			s.Name, addrList(s.Others), addrList(s.Local), publish)
	}
	return fmt.Sprintf("%v lacks %s, so peers do not use it as a second path: %s", s.Name, addrList(s.Missing), publish)
}

// translated reports whether all local addresses are private ones: then a
// translator's stand for them.
func (s *SelfReport) translated() bool {
	return !slices.ContainsFunc(s.Local, func(a netip.Addr) bool { return !in(a, private) })
}

func addrList(addrs []netip.Addr) string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}

// Unfit says why peers would not take an address of a name, as far as this
// host's own configuration of private zones goes; "" when they would.
func (r *Resolver) Unfit(n Name, a netip.Addr) string {
	return r.local().filters.reject(a, origin{names: []Name{n}})
}

// PrivatePrefixes are the networks whose addresses are taken only of names in a
// private zone.
func PrivatePrefixes() []netip.Prefix { return slices.Clone(private) }
