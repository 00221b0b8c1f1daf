package dnssec

import (
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Names are in presentation form, lower-case and absolute, as the library
// unpacks them: one name has one form, so they are compared as strings.

// labels returns the labels of a name as the octets on the wire.
func labels(name string) (l [][]byte) {
	var wire [256]byte
	n, err := dns.PackDomainName(name, wire[:], 0, nil, false)
	if err != nil {
		return nil
	}
	for i := 0; i < n && wire[i] != 0; i += 1 + int(wire[i]) {
		l = append(l, wire[i+1:i+1+int(wire[i])])
	}
	return l
}

// compare is the canonical order of names (RFC 4034 section 6.1).
func compare(a, b string) int {
	la, lb := labels(a), labels(b)
	slices.Reverse(la)
	slices.Reverse(lb)
	return slices.CompareFunc(la, lb, slices.Compare)
}

// parent returns the name without its first label, and the root of the root.
func parent(name string) string { return tail(name, dns.CountLabel(name)-1) }

// tail returns the last n labels of a name.
func tail(name string, n int) string {
	starts := dns.Split(name)
	if n <= 0 || len(starts) == 0 {
		return "."
	}
	return name[starts[max(0, len(starts)-n)]:]
}

// below reports whether a name is strictly below another.
func below(name, ancestor string) bool { return name != ancestor && dns.IsSubDomain(ancestor, name) }

// wildcard is the name that answers for what does not exist directly below an
// encloser.
func wildcard(encloser string) string {
	if encloser == "." {
		return "*."
	}
	return "*." + encloser
}

// substitute puts target in the place of the end of a name that is owner, as DNAME
// does (RFC 6672 section 2.2).
func substitute(name, owner, target string) string {
	prefix := name
	if owner != "." {
		prefix = name[:len(name)-len(owner)]
	}
	if target == "." {
		return prefix
	}
	return prefix + target
}

// ownLabels counts labels as the Labels field of RRSIG does (RFC 4034
// section 3.1.3): without a wildcard's.
func ownLabels(name string) int {
	n := dns.CountLabel(name)
	if strings.HasPrefix(name, "*.") {
		n--
	}
	return n
}
