package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/sctpmh/mh/noid"
)

// verdict says at a glance whether a second path is used and, if not, why and
// what to do.
func verdict(e, strict *noid.Explanation) (ok bool, s string) {
	seen := e
	if e.Trust == noid.Strict {
		seen = strict
	}
	for i, h := range seen.Hosts {
		if addrs, _ := seen.Second(i, e.Trust); len(addrs) > 0 {
			return true, fmt.Sprintf("Second path: yes, %s may be used at %s.", h.Name, list(h.Locators))
		}
	}
	return false, "No second path: " + reason(e, seen)
}

// reason says why no host has a second path, and what to do.
func reason(e, seen *noid.Explanation) string {
	name := e.Name.String()
	switch {
	case len(seen.Hosts) > 0:
		h := seen.Hosts[0]
		_, why := second(seen, 0, e.Trust)
		who := h.Name.String()
		if h.Name != e.Name {
			who = "the capability record of " + name + " names " + who + ":"
		} else {
			who += ":"
		}
		return who + " " + why + ". " + advice(seen, h)
	case errors.Is(seen.Err, noid.ErrBogus):
		return "an answer is forged, or the zone of " + name + " is signed wrong. Have its owner check the signatures; dns.upstream names other servers."
	case errors.Is(seen.Err, noid.ErrDowngrade):
		return "nothing proves that " + name + " has no capability record. Use a validating server that is trusted, or let dns.validate do it here."
	case failed(seen.Err):
		return "the capability record of " + name + " was not to be had. See the question above that failed; mh doctor looks at the servers."
	case len(seen.Records) > 0 && danglingAlias(seen.Questions) != "":
		to := danglingAlias(seen.Questions)
		return "the capability record of " + name + " is an alias of " + to + ", where there is none. Publish one there, or correct the alias."
	case len(seen.Records) > 0:
		return "no capability record of " + name + " can be used. See above why; mh dns publish writes one that can."
	case len(seen.Questions) == 0:
		return "the hosts file, which comes before the DNS, has " + name + " without udp=PORT, so it is plain TCP to it. Complete its line there, or remove it."
	case len(seen.Plain.Locators) == 0 && failed(seen.Plain.Failure()):
		return "the addresses of " + name + " were not to be had. See the question above that failed; mh doctor looks at the servers."
	case len(seen.Plain.Locators) == 0:
		return name + " has no address that is taken. " + advice(seen, seen.Plain)
	}
	none := name + " has no capability record, so it is plain TCP to it. "
	if to := canonical(seen); to != "" {
		return none + "It is an alias of " + to + ", which does not cover the capability record. If that host runs mh: _mhsctp." + name + ". SVCB 0 _mhsctp." + to + "."
	}
	return none + "If it runs mh, publish one there: mh dns publish " + name + "."
}

// failed reports whether servers did not tell.
func failed(err error) bool {
	return errors.Is(err, noid.ErrTimeout) || errors.Is(err, noid.ErrServer)
}

// second says which addresses may be a second path of the i-th host. That
// servers did not tell its addresses is another thing than that it has none.
func second(e *noid.Explanation, i int, mode noid.Trust) (addrs []netip.Addr, why string) {
	addrs, why = e.Second(i, mode)
	if h := e.Hosts[i]; why != "" && mode != noid.Single && failed(h.Failure()) {
		why = "its addresses were not to be had"
	}
	return addrs, why
}

// danglingAlias is the name to which an alias among capability records leads
// and at which there is nothing.
func danglingAlias(questions []noid.Question) string {
	for _, q := range questions {
		for _, rr := range q.Records {
			alias, ok := rr.(*dns.SVCB)
			if !ok || alias.Priority != 0 {
				continue
			}
			empty := func(x noid.Question) bool {
				return x.Type == "SVCB" && strings.EqualFold(x.Name, alias.Target) && x.Rcode != "" && len(x.Records) == 0
			}
			if slices.ContainsFunc(questions, empty) {
				return strings.TrimSuffix(alias.Target, ".")
			}
		}
	}
	return ""
}

// canonical is the name of which the name that was asked for is an alias
// (CNAME); "" when it is none.
func canonical(e *noid.Explanation) string {
	for _, q := range e.Questions {
		for _, rr := range q.Records {
			owner := rr.Header().Name
			if (q.Type == "A" || q.Type == "AAAA") && strings.EqualFold(q.Name, string(e.Name)) && !strings.EqualFold(owner, q.Name) {
				return strings.TrimSuffix(owner, ".")
			}
		}
	}
	return ""
}

// advice says what would make a second path of a host.
func advice(e *noid.Explanation, s *noid.Set) string {
	mode := e.Trust
	switch {
	case mode == noid.Single:
		return `Set dns.trust to another mode than "single".`
	case failed(s.Failure()):
		return "See the question above that failed; mh doctor looks at the servers."
	case len(s.Locators) < 2 && len(s.Dropped) > 0:
		d := s.Dropped[0]
		return fmt.Sprintf("%v was dropped: %s.%s", d.Addr, d.Reason, dropAdvice(d, s.Name))
	case s.Binding == noid.BindingStatic:
		return "Add an address of its second uplink to its line in dns.hosts."
	case mode == noid.Pinned:
		return "List it with its addresses in dns.hosts."
	case len(s.Locators) == 0:
		return "Publish its addresses: mh dns publish " + s.Name.String() + "."
	case len(s.Locators) == 1:
		return "Publish an address of its second uplink: mh dns publish " + s.Name.String() + " on that host."
	case slices.ContainsFunc(s.Locators, func(l noid.Locator) bool { return l.Stale }):
		return "mh doctor looks at the servers."
	case mode == noid.Reverse:
		return reverseAdvice(e, s)
	case mode == noid.Strict:
		return "Sign its zone with DNSSEC, list it in dns.hosts, or set dns.trust to opportunistic."
	}
	return "See the questions above."
}

// reverseAdvice says which record is missing, of the first address.
func reverseAdvice(e *noid.Explanation, s *noid.Set) string {
	a := s.Locators[0].Addr.String()
	seen := "There is none of " + a
	if names := reverseNames(e.Questions, a); len(names) > 0 {
		seen = "That of " + a + " names " + strings.Join(names, ", ")
	}
	return seen + ": have the owner of the address enter " + s.Name.String() + ", or set dns.trust to opportunistic."
}

func dropAdvice(d noid.Drop, n noid.Name) string {
	if strings.HasPrefix(d.Reason, "private") {
		return fmt.Sprintf(" If that is meant: dns.private-zones = { %q = [%q] }.", n.String(), netip.PrefixFrom(d.Addr, d.Addr.BitLen()))
	}
	return ""
}

func list(all []noid.Locator) string {
	var out []string
	for _, l := range all {
		out = append(out, l.Addr.String())
	}
	return strings.Join(out, ", ")
}
