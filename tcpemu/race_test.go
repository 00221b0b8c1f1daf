package tcpemu

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

// runner is an attempt that a test describes: it succeeds or fails a while after it
// has begun, and what becomes of it is noted.
type runner struct {
	takes    time.Duration // 0: for ever
	err      error         // nil: it succeeds
	stubborn bool          // it succeeds even if it is cancelled before
	lead     time.Duration // 0: attemptDelay

	begun     time.Duration // since the race began; -1: never
	cancelled bool
}

// course is a race in virtual time.
type course struct {
	t       *testing.T
	runners []*runner
	lost    []int // what was given to lose
}

var (
	errFails = errors.New("fails")
	errFinal = errors.New("an answer")
)

// run runs the race and waits until nothing of it is left.
func (c *course) run(ctx context.Context) (f finish[int], took time.Duration) {
	start := time.Now()
	var attempts []attempt[int]
	for i, r := range c.runners {
		r.begun = -1
		if r.lead == 0 {
			r.lead = attemptDelay
		}
		attempts = append(attempts, attempt[int]{lead: r.lead, run: func(ctx context.Context) (int, error) {
			r.begun = time.Since(start)
			var over <-chan time.Time
			if r.takes > 0 {
				over = time.After(r.takes)
			}
			done := ctx.Done()
			if r.stubborn {
				done = nil
			}
			select {
			case <-over:
				r.cancelled = ctx.Err() != nil
				return i, r.err
			case <-done:
				r.cancelled = true
				return 0, ctx.Err()
			}
		}})
	}
	f = race(ctx, attempts, func(err error) bool { return errors.Is(err, errFinal) }, func(i int) { c.lost = append(c.lost, i) })
	took = time.Since(start)
	time.Sleep(time.Minute) // in virtual time: the losers end
	synctest.Wait()
	return f, took
}

// want runs a race and checks its winner, how long it took, and when each
// attempt was begun, -1 for never.
func (c *course) want(winner int, took time.Duration, begun ...time.Duration) finish[int] {
	c.t.Helper()
	f, got := c.run(c.t.Context())
	if f.winner != winner || got != took || winner >= 0 && f.value != winner {
		c.t.Errorf("attempt %d won with %d after %v, want %d after %v", f.winner, f.value, got, winner, took)
	}
	for i, r := range c.runners {
		if r.begun != begun[i] {
			c.t.Errorf("attempt %d began after %v, want %v", i, r.begun, begun[i])
		}
		if i != winner && r.begun >= 0 && !r.cancelled && r.takes == 0 {
			c.t.Errorf("attempt %d was left running", i)
		}
	}
	return f
}

func inBubble(t *testing.T, runners []*runner, f func(*course)) {
	synctest.Test(t, func(t *testing.T) { f(&course{t: t, runners: runners}) })
}

func TestRace(t *testing.T) {
	const never = -1 * time.Nanosecond
	for _, test := range []struct {
		what    string
		runners []*runner
		winner  int
		took    time.Duration
		begun   []time.Duration
	}{
		{"the first answers", []*runner{{takes: 40 * ms}, {takes: 1 * ms}}, 0, 40 * ms, []time.Duration{0, never}},
		{"the first is silent", []*runner{{}, {takes: 40 * ms}, {takes: 1 * ms}}, 1, 290 * ms, []time.Duration{0, 250 * ms, never}},
		{"the first is slow but faster", []*runner{{takes: 400 * ms}, {takes: 300 * ms}}, 0, 400 * ms, []time.Duration{0, 250 * ms}},
		{"two are silent", []*runner{{}, {}, {takes: 40 * ms}}, 2, 540 * ms, []time.Duration{0, 250 * ms, 500 * ms}},
		{"a failure is not waited for", []*runner{{takes: 30 * ms, err: errFails}, {takes: 40 * ms}}, 1, 70 * ms, []time.Duration{0, 30 * ms}},
		{"failures at once are kept apart", []*runner{{takes: 1 * ms, err: errFails}, {takes: 1 * ms, err: errFails}, {takes: 1 * ms}}, 2, 21 * ms,
			[]time.Duration{0, 10 * ms, 20 * ms}},
		{"the failure of any begins the next", []*runner{{takes: 300 * ms, err: errFails}, {}, {takes: 40 * ms}}, 2, 340 * ms,
			[]time.Duration{0, 250 * ms, 300 * ms}},
		{"a longer lead", []*runner{{lead: 500 * ms}, {takes: 1 * ms}}, 1, 501 * ms, []time.Duration{0, 500 * ms}},
		{"it succeeds within the race", []*runner{{lead: 500 * ms, takes: 600 * ms}, {takes: 200 * ms}}, 0, 600 * ms, []time.Duration{0, 500 * ms}},
		{"all fail", []*runner{{takes: 30 * ms, err: errFails}, {takes: 400 * ms, err: errFails}}, -1, 430 * ms, []time.Duration{0, 30 * ms}},
		{"an answer ends it", []*runner{{takes: 300 * ms, err: errFinal}, {takes: 100 * ms}, {}}, -1, 300 * ms, []time.Duration{0, 250 * ms, never}},
		{"no attempt", nil, -1, 0, nil},
	} {
		t.Run(test.what, func(t *testing.T) {
			inBubble(t, test.runners, func(c *course) { c.want(test.winner, test.took, test.begun...) })
		})
	}
}

// Each failure is kept at its attempt's place; an answer displaces the others.
func TestErrorsOfRace(t *testing.T) {
	inBubble(t, []*runner{{takes: 30 * ms, err: errFails}, {}, {takes: 1 * ms}}, func(c *course) {
		f := c.want(2, 281*ms, 0, 30*ms, 280*ms)
		if f.errs[0] != errFails || f.errs[1] != nil || f.errs[2] != nil {
			t.Errorf("errors: %v", f.errs)
		}
	})
	inBubble(t, []*runner{{takes: 300 * ms, err: fmt.Errorf("mh: %w", errFinal)}, {takes: 10 * ms, err: errFails}}, func(c *course) {
		f, _ := c.run(c.t.Context())
		if !errors.Is(f.errs[0], errFinal) || f.errs[1] != nil {
			t.Errorf("errors: %v", f.errs)
		}
	})
}

// What succeeds too late is handed back, and only that.
func TestLosersAreDisposedOf(t *testing.T) {
	inBubble(t, []*runner{{takes: 300 * ms, stubborn: true}, {takes: 400 * ms, stubborn: true, err: errFails}, {takes: 1 * ms}}, func(c *course) {
		c.runners[0].lead, c.runners[1].lead = 100*ms, 100*ms
		c.want(2, 201*ms, 0, 100*ms, 200*ms)
		if !slices.Equal(c.lost, []int{0}) {
			t.Errorf("%v were disposed of, want attempt 0", c.lost)
		}
	})
}

// The end of the caller's context ends every attempt, and begins none but the
// first, whose error says so.
func TestRaceEndsWithItsContext(t *testing.T) {
	inBubble(t, []*runner{{}, {}, {}}, func(c *course) {
		ctx, cancel := context.WithTimeout(c.t.Context(), 300*ms)
		defer cancel()
		f, took := c.run(ctx)
		if f.winner != -1 || took != 300*ms || c.runners[2].begun != -1 || !errors.Is(f.errs[1], context.DeadlineExceeded) {
			t.Errorf("attempt %d won after %v, the last was begun after %v, errors %v", f.winner, took, c.runners[2].begun, f.errs)
		}
		f, took = c.run(ctx)
		if f.winner != -1 || took != 0 || !errors.Is(f.errs[0], context.DeadlineExceeded) {
			t.Errorf("after the end: attempt %d won after %v, errors %v", f.winner, took, f.errs)
		}
	})
}
