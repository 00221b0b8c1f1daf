package tcpemu

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Who refuses by one uplink is not waited for by another one for long, but one
// who has not refused is.
func TestAllRefuse(t *testing.T) {
	to := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:80")}
	for _, c := range []struct {
		name    string
		refuses []netip.AddrPort // 100 ms after each other; then one that says nothing
		want    time.Duration
	}{
		{"all", to, 200*time.Millisecond + refusalGrace},
		{"one twice", []netip.AddrPort{to[0], to[0]}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r := watchRefusals(ctx, to)
				defer r.end()
				var attempts []attempt[int]
				for _, d := range c.refuses {
					attempts = append(attempts, attempt[int]{lead: attemptDelay, run: func(context.Context) (int, error) {
						time.Sleep(100 * time.Millisecond)
						r.note(d, syscall.ECONNREFUSED)
						return 0, syscall.ECONNREFUSED
					}})
				}
				attempts = append(attempts, attempt[int]{lead: attemptDelay, run: func(context.Context) (int, error) {
					<-r.ctx.Done()
					return 0, r.ctx.Err()
				}})
				end := race(ctx, attempts, isAnswer, func(int) {})
				wantIs(t, "race", errors.Join(end.errs...), syscall.ECONNREFUSED)
				if took := time.Since(start); end.winner >= 0 || took != c.want {
					t.Errorf("winner %d after %v, want none after %v", end.winner, took, c.want)
				}
			})
		})
	}
}
