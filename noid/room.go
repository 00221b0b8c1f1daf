package noid

// makeRoom takes from a map that has reached its limit what is of no more use,
// and then others, until an eighth is free: so many entries can come before it
// has to look at all of them again.
func makeRoom[K comparable, V any](m map[K]V, limit int, useless func(V) bool) {
	if len(m) < limit {
		return
	}
	for k, v := range m {
		if useless(v) {
			delete(m, k)
		}
	}
	for k := range m {
		if len(m) <= limit-limit/8 {
			return
		}
		delete(m, k)
	}
}
