package tcpemu

import (
	"context"
	"time"
)

const (
	// attemptDelay is how long an attempt has until the next is begun beside it
	// (RFC 8305 section 8, Connection Attempt Delay).
	attemptDelay = 250 * time.Millisecond

	// minAttemptDelay is the least time between the beginnings of two attempts,
	// however fast the first one fails (RFC 8305 section 5: "a subsequent
	// connection MUST NOT be started within 10 milliseconds of the previous
	// attempt").
	minAttemptDelay = 10 * time.Millisecond
)

// An attempt is one of several ways to the same end.
type attempt[T any] struct {
	// run makes the attempt. It returns soon after its context has ended.
	run func(context.Context) (T, error)

	// lead is how long the next attempt waits for this one.
	lead time.Duration
}

// A finish is how a race ended.
type finish[T any] struct {
	winner int     // the number of the attempt that was the first to succeed, -1 when none was
	value  T       // what it made
	errs   []error // by attempt: why those failed that did before
}

// race runs attempts in their order until one succeeds or all have failed. The
// next one is begun when the one before it has used up its lead, or as soon as
// any has failed. A failure that is final is an answer, after which no other
// is looked for: it alone is left in errs.
//
// The attempts that are under way at the end have their context cancelled; who
// of them succeeds all the same is given to lose.
func race[T any](ctx context.Context, attempts []attempt[T], final func(error) bool, lose func(T)) (f finish[T]) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f = finish[T]{winner: -1, errs: make([]error, len(attempts))}
	results := make(chan result[T], len(attempts)) // room for all: no attempt ever waits to report
	started, running := 0, 0
	defer func() { go sweep(results, running, lose) }() // ends with the attempts that are under way
	var last time.Time                                  // when an attempt was begun
	next := time.NewTimer(0)
	defer next.Stop()
	more := func() bool { return started < len(attempts) && (started == 0 || ctx.Err() == nil) }
	for running > 0 || more() {
		select {
		case <-next.C:
			if !more() {
				continue
			}
			i, a := started, attempts[started]
			go func() { // ends with the attempt
				v, err := a.run(ctx)
				results <- result[T]{i, v, err}
			}()
			started++
			running++
			last = time.Now()
			next.Reset(a.lead)
		case r := <-results:
			running--
			switch {
			case r.err == nil:
				f.winner, f.value = r.attempt, r.value
				return f
			case final(r.err):
				clear(f.errs)
				f.errs[r.attempt] = r.err
				return f
			}
			f.errs[r.attempt] = r.err
			next.Reset(max(minAttemptDelay-time.Since(last), 0))
		}
	}
	return f
}

// A result is how an attempt ended.
type result[T any] struct {
	attempt int
	value   T
	err     error
}

// sweep disposes of what attempts make that nobody waits for any more.
func sweep[T any](results <-chan result[T], running int, lose func(T)) {
	for range running {
		if r := <-results; r.err == nil {
			lose(r.value)
		}
	}
}
