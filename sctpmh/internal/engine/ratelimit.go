package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// A bucket limits a rate: it fills with tokens up to a burst.
type bucket struct {
	tokens int32
	at     Time
}

// take removes a token if there is one; rate is in tokens a second.
func (b *bucket) take(now Time, burst, rate int32) bool {
	every := Time(1e9) / Time(rate)
	if b.at == 0 {
		*b = bucket{burst, now}
	}
	if n := int64((now - b.at) / every); n > 0 {
		b.tokens = int32(min(int64(b.tokens)+n, int64(burst)))
		b.at += Time(n) * every
	}
	if b.tokens == 0 {
		return false
	}
	b.tokens--
	return true
}

// A sourceLimit gives every source of packets a rate of its own, so that one
// that floods takes nothing from the others. Its memory is fixed: sources that
// share a slot share its rate, and the key keeps anybody from choosing which.
type sourceLimit struct {
	key         uint64
	burst, rate int32
	slots       [sourceSlots]bucket
}

func newSourceLimit(rng *rand.Rand, burst, rate int32) *sourceLimit {
	return &sourceLimit{key: rng.Uint64(), burst: burst, rate: rate}
}

// take reports whether a packet from a may be answered.
func (l *sourceLimit) take(now Time, a netip.Addr) bool {
	return l.slots[l.slot(a)].take(now, l.burst, l.rate)
}

// slot mixes an address with the key. One IPv6 host has a whole /64.
func (l *sourceLimit) slot(a netip.Addr) int {
	v := a.As16()
	h, low := binary.BigEndian.Uint64(v[:8]), uint64(0)
	if a.Is4() {
		low = binary.BigEndian.Uint64(v[8:])
	}
	return int(mix(mix(h^l.key)^low) % sourceSlots)
}

// mix is the finalizer of splitmix64: every bit of the result depends on every
// bit of x.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
