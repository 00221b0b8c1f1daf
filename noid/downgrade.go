package noid

import (
	"errors"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A host that speaks mh is reached without it when somebody on the way keeps its
// capability record away. The modes that demand more than what anybody on the way
// can make up do not go on without mh unless it is certain that there
// is no such record:
//
//	the record is there                            mh or nothing
//	no answer, SERVFAIL, bogus                     nothing
//	absent, proven by the zone                     without mh
//	absent, the zone is proven to be unsigned      without mh
//	absent, nobody has validated that              nothing
//
// An unsigned zone cannot say for certain what it has. To demand it would cut off
// most of the Internet and gain nothing: the addresses that such a connection
// goes to come from the same zone, and none is ever added to it.

// demanding reports whether a mode wants more than what anybody on the way
// can make up. Who suppresses packets must not make such a host talk plainly
// to one that speaks mh.
func (t Trust) demanding() bool { return t == Strict || t == Pinned }

// noFallback reports whether plain TCP must not take the place of mh: the name
// speaks it, or nobody knows because the answer did not come. That there is no
// record is an answer.
func (t Trust) noFallback(r *Result) bool {
	return t.demanding() && (len(r.MH) > 0 || len(r.Hints) > 0 || r.named || notAbsent(r.Partial) != nil)
}

// unheard reports whether an error says of an answer that it did not come or
// cannot be believed, so that nobody knows what it would have been.
func unheard(err error) bool {
	for _, k := range []kind{ErrTimeout, ErrServer, ErrBogus, ErrDowngrade, ErrLimit} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// unproven takes back an answer by which a name has no capability, or none that
// can be used, where strict mode must not take that for true because nothing is
// validated here: the server is none that would say so if it were proven. One
// that is trusted and does not say so has found the zone to be unsigned.
func (t Trust) unproven(q question, a answer, up Upstream) answer {
	if t != Strict || q.qtype != dns.TypeSVCB || up.Believed() || a.failed || slices.ContainsFunc(a.records, func(rr dns.RR) bool { return leads(rr, q.name) }) {
		return a
	}
	err := &Error{Step: q.String(), Upstream: up.Addr.String(), Kind: ErrDowngrade, Detail: "the server is not trusted to validate, and nothing is validated here"}
	return answer{name: a.name, owner: a.owner, err: err, failed: true}
}

// leads reports whether a record leads to a host that speaks mh, or to another
// record.
func leads(rr dns.RR, question string) bool {
	svcb, ok := rr.(*dns.SVCB)
	if !ok || svcb.Priority == 0 {
		return ok && svcb.Target != "."
	}
	_, n, _ := strings.Cut(question, capabilityName(""))
	_, err := parseSVCB(svcb, Name(n))
	return err == nil
}
