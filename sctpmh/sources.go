package sctpmh

import "net/netip"

// sourceCounts counts the associations that each source has made: without a limit
// one host could take all that the endpoint can hold.
type sourceCounts map[netip.Prefix]int

// admit counts one more unless there are too many.
func (s sourceCounts) admit(from netip.Addr) bool {
	k := sourceOf(from)
	if s[k] >= sourceLimit {
		return false
	}
	s[k]++
	return true
}

// dismiss ends what admit counted.
func (s sourceCounts) dismiss(from netip.Addr) {
	k := sourceOf(from)
	if s[k]--; s[k] == 0 {
		delete(s, k)
	}
}

// sourceOf returns who is counted as one: an IPv6 host has a whole /64.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the length fits the family
	return p
}
