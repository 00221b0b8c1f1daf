package noid

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
