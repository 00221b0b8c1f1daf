package explain

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sctpmh/mh/noid"
)

// verdict says at a glance whether a second path is used and, if not, why and
// what to do.
func verdict(e, strict *noid.Explanation) (ok bool, s string) {
	name := e.Name.String()
	seen := e
	if e.Trust == noid.Strict {
		seen = strict
	}
	for i, h := range seen.Hosts {
		if addrs, _ := seen.Second(i, e.Trust); len(addrs) > 0 {
			return true, fmt.Sprintf("Second path: yes, %s may be used at %s.", h.Name, list(h.Locators))
		}
	}
	no := "No second path: "
	switch {
	case len(seen.Hosts) > 0:
		_, why := seen.Second(0, e.Trust)
		h := seen.Hosts[0]
		return false, no + h.Name.String() + ": " + why + ". " + advice(h, e.Trust)
	case errors.Is(seen.Err, noid.ErrBogus):
		return false, no + "an answer is forged, or the zone of " + name + " is signed wrong. Have its owner check the signatures; dns.upstream names other servers."
	case errors.Is(seen.Err, noid.ErrDowngrade):
		return false, no + "nothing proves that " + name + " has no capability record. Use a validating server that is trusted, or let dns.validate do it here."
	case errors.Is(seen.Err, noid.ErrTimeout), errors.Is(seen.Err, noid.ErrServer):
		return false, no + "the capability record of " + name + " was not to be had. See the question above that failed; mh doctor looks at the servers."
	case len(seen.Records) > 0:
		return false, no + "no capability record of " + name + " can be used. See above why; mh dns publish writes one that can."
	case len(seen.Plain.Locators) == 0:
		return false, no + name + " has no address that is taken. " + advice(seen.Plain, e.Trust)
	}
	return false, no + name + " has no capability record, so it is plain TCP to it. If it runs mh, publish one there: mh dns publish " + name + "."
}

// advice says what would make a second path of a host.
func advice(s *noid.Set, mode noid.Trust) string {
	for _, d := range s.Dropped {
		if len(s.Locators) < 2 {
			return fmt.Sprintf("%v was dropped: %s.%s", d.Addr, d.Reason, dropAdvice(d, s.Name))
		}
	}
	switch {
	case mode == noid.Single:
		return `Set dns.trust to another mode than "single".`
	case mode == noid.Pinned:
		return "List it with its addresses in dns.hosts."
	case len(s.Locators) == 0:
		return "Publish its addresses: mh dns publish " + s.Name.String() + "."
	case len(s.Locators) == 1:
		return "Publish an address of its second uplink: mh dns publish " + s.Name.String() + " on that host."
	case mode == noid.Reverse:
		return "Have the owner of an address publish the reverse record, or set dns.trust to opportunistic."
	case mode == noid.Strict:
		return "Sign its zone with DNSSEC, list it in dns.hosts, or set dns.trust to opportunistic."
	}
	return "See the questions above."
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
