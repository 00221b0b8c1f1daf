package dnssec

import (
	"fmt"

	"github.com/miekg/dns"
)

// A Status is what validation comes to (RFC 4033 section 5). Worse ones compare
// less.
type Status uint8

// The statuses. Indeterminate of RFC 4033 is insecure when no anchor is above
// the name, and bogus when records of the chain cannot be had.
const (
	Bogus    Status = iota // not what the owner published, or nobody can tell
	Insecure               // the owner does not sign, which is proven
	Secure                 // what the owner published
)

func (s Status) String() string { return [...]string{"bogus", "insecure", "secure"}[s] }

// A Result says how an answer was judged, and why when it is not secure.
type Result struct {
	Status Status
	Code   uint16 // INFO-CODE of RFC 8914
	Reason string // which records, which key, what is wrong
	Err    error  // why records of the chain could not be had, if that is the reason
}

func (r Result) String() string {
	if r.Status == Secure {
		return "secure"
	}
	s := fmt.Sprintf("%v: %s (%s)", r.Status, r.Reason, dns.ExtendedErrorCodeToString[r.Code])
	if a := advice[r.Code]; a != "" && r.Status == Bogus {
		s += ": " + a
	}
	return s
}

// advice is what to do about an answer that is bogus.
var advice = map[uint16]string{
	dns.ExtendedErrorCodeDNSBogus:             "the zone's operator has to sign it again, or somebody changes answers on the way",
	dns.ExtendedErrorCodeSignatureExpired:     "the zone's operator has to sign it again, or this host's clock is wrong",
	dns.ExtendedErrorCodeSignatureNotYetValid: "set this host's clock",
	dns.ExtendedErrorCodeDNSKEYMissing:        "the zone's operator has to publish the key, or the right DS record in the zone above",
	dns.ExtendedErrorCodeRRSIGsMissing:        "use a DNS server that passes signatures on",
	dns.ExtendedErrorCodeNSECMissing:          "use a DNS server that passes proofs of absence on",
	dns.ExtendedErrorCodeNoReachableAuthority: "use another DNS server",
}

var secure = Result{Status: Secure}

func bogus(code uint16, format string, args ...any) Result {
	return Result{Status: Bogus, Code: code, Reason: fmt.Sprintf(format, args...)}
}

func insecure(code uint16, format string, args ...any) Result {
	return Result{Status: Insecure, Code: code, Reason: fmt.Sprintf(format, args...)}
}

// worse returns the worse of two results, the first of equals.
func worse(a, b Result) Result {
	if b.Status < a.Status {
		return b
	}
	return a
}
