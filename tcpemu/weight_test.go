package tcpemu

import (
	"errors"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sctpmh/mh/internal/netsim"
)

// dsl is a slow link: 1 Mbit/s, half a second of queue.
var dsl = netsim.Config{Delay: 10 * time.Millisecond, Rate: 125_000, Queue: 64 << 10}

// RESET does not wait behind what its connection has queued, the end of its
// direction included, and the association goes on.
func TestResetOvertakesBulk(t *testing.T) {
	for _, closed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newSimWorld(t, 1, dsl)
			a, b := w.pipe()
			must(t, a.SetWriteDeadline(time.Now().Add(10*time.Millisecond)))
			n, err := a.Write(make([]byte, 1<<20))
			if n < 200_000 {
				t.Fatalf("%d octets written: %v", n, err)
			}
			if closed {
				must(t, a.CloseWrite())
			}
			start := time.Now()
			a.Reset()
			got, err := io.Copy(io.Discard, b)
			if took := time.Since(start); !errors.Is(err, syscall.ECONNRESET) || took > time.Second || got > 128<<10 {
				t.Errorf("%v after %v and %d octets", err, took, got)
			}
			c, d := w.pipe()
			if c.AssocID() != a.AssocID() {
				t.Error("it is another association")
			}
			_, err = c.Write([]byte("x"))
			must(t, err)
			_, err = io.ReadFull(d, make([]byte, 1))
			must(t, err)
		})
	}
}

// Connections share as their weights are, and a number's next use has the usual
// one again.
func TestSetWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSimWorld(t, 1, dsl)
		share := func(weight int) float64 {
			var got [2]atomic.Int64
			for i := range got {
				a, b := w.pipe()
				if i == 1 && weight > 0 {
					must(t, a.SetWeight(weight))
				}
				defer b.Close()
				defer a.Reset()
				go a.ReadFrom(zeros{}) // ends with Reset
				go func() {            // so does this
					for buf := make([]byte, 4<<10); ; {
						n, err := b.Read(buf)
						if got[i].Add(int64(n)); err != nil {
							return
						}
					}
				}()
			}
			time.Sleep(5 * time.Second)
			before := [2]int64{got[0].Load(), got[1].Load()}
			time.Sleep(20 * time.Second)
			return float64(got[1].Load()-before[1]) / float64(got[0].Load()-before[0])
		}
		for _, c := range []struct {
			weight int
			want   float64
		}{{4, 4}, {0, 1}} {
			if s := share(c.weight); s < 0.85*c.want || s > 1.15*c.want {
				t.Errorf("with weight %d it gets %.2f times as much as the other", c.weight, s)
			}
			synctest.Wait()
		}
	})
}

// zeros is endless.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
