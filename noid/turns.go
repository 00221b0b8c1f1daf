package noid

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// turns limit inbound verifications: to verifyRate a second, and to prefixRate
// for the addresses of one network, so that a flood of peers becomes no flood
// of queries and one network does not take the turns of all others (threats N3,
// N4). Who finds no turn waits for one, verifyQueue at the most.
//
// mu is a leaf.
type turns struct {
	mu       sync.Mutex
	all      bucket
	prefixes map[netip.Prefix]*bucket
	waiting  int
	swept    time.Time
}

func newTurns(now time.Time) turns {
	return turns{all: bucket{tokens: verifyBurst, at: now}, prefixes: make(map[netip.Prefix]*bucket)}
}

// wait returns when it is src's turn. It reports false when the queue is full,
// or the turn would come after ctx's end.
func (t *turns) wait(ctx context.Context, src netip.Addr, clock func() time.Time) (came bool) {
	now := clock()
	t.mu.Lock()
	delay := max(t.all.delay(now, verifyRate, verifyBurst), t.prefix(src, now).delay(now, prefixRate, prefixBurst))
	end, limited := ctx.Deadline()
	if delay > 0 && (t.waiting >= verifyQueue || limited && time.Until(end) < delay) {
		t.mu.Unlock()
		return false
	}
	t.all.tokens--
	t.prefix(src, now).tokens--
	if delay == 0 {
		t.mu.Unlock()
		return true
	}
	t.waiting++
	t.mu.Unlock()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		came = true
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting--
	if !came { // somebody else's, then
		t.all.tokens++
		t.prefix(src, now).tokens++
	}
	return came
}

// prefix returns the bucket of an address's network.
func (t *turns) prefix(src netip.Addr, now time.Time) *bucket {
	p := providerOf(src, 24, 48)
	b := t.prefixes[p]
	if b == nil {
		if len(t.prefixes) >= maxPrefixes && now.Sub(t.swept) >= time.Second {
			t.swept = now
			maps.DeleteFunc(t.prefixes, func(_ netip.Prefix, b *bucket) bool {
				b.delay(now, prefixRate, prefixBurst)
				return b.tokens >= prefixBurst // as good as new
			})
		}
		b = &bucket{tokens: prefixBurst, at: now}
		if len(t.prefixes) < maxPrefixes { // else all limits are of verifyRate
			t.prefixes[p] = b
		}
	}
	return b
}

// A bucket has so many tokens for each second. Below zero they are promised.
type bucket struct {
	tokens float64
	at     time.Time
}

// delay returns how long it takes until there is a token.
func (b *bucket) delay(now time.Time, rate, burst float64) time.Duration {
	if now.After(b.at) {
		b.tokens = min(burst, b.tokens+rate*now.Sub(b.at).Seconds())
		b.at = now
	}
	if b.tokens >= 1 {
		return 0
	}
	return time.Duration((1 - b.tokens) / rate * float64(time.Second))
}
