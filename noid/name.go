package noid

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// A Name is a host's name in canonical form: lower case, A-labels, absolute,
// with the trailing dot.
type Name string

// String returns the name without the trailing dot, as people write it.
func (n Name) String() string { return strings.TrimSuffix(string(n), ".") }

// ParseName reads a host name. Relative and absolute ones are taken alike:
// nothing is ever searched for.
func ParseName(s string) (Name, error) {
	bad := func(kind kind, detail string) (Name, error) {
		return "", &Error{Step: "name " + quote(s), Kind: kind, Detail: detail}
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return bad(ErrNoName, "it is an address")
	}
	a, err := idna.Lookup.ToASCII(strings.TrimSuffix(s, "."))
	if err != nil {
		return bad(ErrNoName, err.Error())
	}
	a = strings.ToLower(a)
	if again, err := idna.Lookup.ToASCII(a); err != nil || again != a {
		return bad(ErrNoName, "it has no canonical form")
	}
	if a == "" || len(a) > 253 {
		return bad(ErrNoName, "it is empty or longer than 253 octets")
	}
	for label := range strings.SplitSeq(a, ".") {
		if label == "" || len(label) > 63 || !hostLabel(label) {
			return bad(ErrNoName, "label "+quote(label)+" is not one of a host name")
		}
	}
	n := Name(a + ".")
	if zone, yes := n.specialUse(); yes {
		return bad(ErrSpecialUse, zone+" is never looked up in the DNS")
	}
	return n, nil
}

// quote makes a name that somebody sent fit for a log.
func quote(s string) string {
	if len(s) > 255 {
		s = s[:255] + "..."
	}
	b := []byte{'"'}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' {
			b = append(b, '?')
		} else {
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

func hostLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return s[0] != '-' && s[len(s)-1] != '-'
}

// specialUse reports whether the name is one that is not for the DNS (RFC
// 6761 and the registry it made).
func (n Name) specialUse() (zone string, yes bool) {
	for _, z := range []string{"localhost.", "invalid.", "onion.", "local.", "arpa."} {
		if n.within(Name(z)) && !n.within("home.arpa.") {
			return z, true
		}
	}
	return "", false
}

// within reports whether n is zone or below it.
func (n Name) within(zone Name) bool {
	return n == zone || strings.HasSuffix(string(n), "."+string(zone))
}
