package noid

import "github.com/miekg/dns"

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
	return t.demanding() && (len(r.MH) > 0 || notAbsent(r.Partial) != nil)
}

// unproven returns an error for the absence of a capability record that strict
// mode must not take for one where nothing is validated here: the server is none that
// would say so if it were proven. One that is trusted and does not say so
// has found the zone to be unsigned.
func (t Trust) unproven(q question, m *dns.Msg, up Upstream) error {
	if t != Strict || q.qtype != dns.TypeSVCB || up.Believed() || len(m.Answer) > 0 {
		return nil
	}
	return &Error{Step: q.String(), Upstream: up.Addr.String(), Kind: ErrDowngrade, Detail: "the server is not trusted to validate, and nothing is validated here"}
}
